"""Runs in virtual time that are killed within their journal, and what was decided in them.

A kill is an exception that no code of the runner catches: nothing of the run is used after it but its directory, and
the virtual time, in which a resumed run goes on.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rltune.tune import experiment_state, json_encoding
from rltune.tune import journal as journals
from rltune.tune.append_file import AppendFile
from rltune.tune.checkpoints import is_complete
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.suggest import SearchAlgorithm
from rltune.tune.trial import Trial
from rltune.tune.trial_runner import TrialRunner
from tests.tune.scripted import Scripted, ScriptedExecutor, make_scripted

NEVER = 10**9
NAME = "scripted"  # what `make_scripted` calls the experiment
JOURNALS = "journal-*.jsonl"


class Killed(BaseException):
    """The end of a process."""


@dataclass
class VirtualTime:
    """What outlives a kill: the time, and since when each trial does what it does, by its number."""

    now: float = 0.0
    since: dict[int, float] = field(default_factory=dict)


class KilledExecutor(ScriptedExecutor):
    """Goes on in a virtual time: what was shown before a kill comes again at once, and what is new when it would have
    come without the kill. What begins or has come counts from the line of the journal on that tells it.
    """

    def __init__(self, slots: int, reuse_actors: bool, time: VirtualTime):
        super().__init__(slots, reuse_actors)
        self.time, self.now = time, time.now
        self.interrupted: set[str] = set()  # they have begun before
        self._untold: int | None = None

    def set_status(self, trial: Trial, status: str) -> None:
        if status == Trial.RUNNING and trial.trial_id not in self.interrupted:
            self._untold = self._numbers[trial.trial_id]
        self.interrupted.discard(trial.trial_id)
        super().set_status(trial, status)

    def requeue_trial(self, trial: Trial) -> None:
        self._untold = self._numbers[trial.trial_id]
        super().requeue_trial(trial)

    def get_next_available_trial(self) -> Trial:
        trial = super().get_next_available_trial()
        self.time.now = self.now
        return trial

    def fetch_result(self, trial: Trial) -> dict[str, Any]:
        is_new = trial.runner.is_new
        result = super().fetch_result(trial)
        if is_new:
            self._untold = self._numbers[trial.trial_id]
        return result

    def tell(self) -> None:
        """A line of the journal is on the disk."""
        if self._untold is not None:
            self.time.since[self._untold] = self.now
        self._untold = None

    def _begin(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        super()._begin(trial, *args, **kwargs)
        self._place(trial)

    def continue_training(self, trial: Trial) -> None:
        super().continue_training(trial)
        self._place(trial)

    def _place(self, trial: Trial) -> None:
        handle = trial.runner
        handle.is_new = not (trial.catching_up and handle.iteration <= trial.seen)
        since = self.time.since.get(self._numbers[trial.trial_id], self.now)
        handle.end = since + handle.duration if handle.is_new else self.now


class Killable(Scripted):
    """Knows its trial."""

    executor: KilledExecutor  # of the run that goes on

    def trial(self) -> Trial:
        [trial] = [t for t in self.executor.get_running_trials() if t.logdir == self.logdir]
        return trial


@dataclass
class Case:
    """A run that can be made again and again. `more` are further arguments of `make_scripted`."""

    scheduler: Callable[[], TrialScheduler] | None
    trainable: type[Killable]
    search: Callable[[], SearchAlgorithm] | None = None
    n: int = 6
    slots: int = 3
    steps_per_snapshot: int = NEVER
    reuse_actors: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def make(self, directory: Path, time: VirtualTime) -> TrialRunner:
        """A new run, or one that goes on with what is there."""
        path = experiment_state.newest(str(directory / NAME))
        executor = self.trainable.executor = KilledExecutor(self.slots, self.reuse_actors, time)
        runner = make_scripted(
            self.scheduler and self.scheduler(),
            self.trainable,
            n=self.n,
            directory=directory,
            search_alg=self.search and self.search(),
            resume=path is not None and bool(experiment_state.load(path)["checkpoints"]),
            executor=executor,
            **self.more,
        )
        executor.interrupted = {trial.trial_id for trial in runner._interrupted}
        steps = itertools.count()
        assert runner.state is not None
        runner.state.is_due = lambda: next(steps) % self.steps_per_snapshot == 0  # type: ignore[method-assign]
        return runner


def run(case: Case, directory: Path, monkeypatch: pytest.MonkeyPatch, limits: Sequence[int]) -> int:
    """Kills a run when it has written as many bytes of its journal as `limits` say, one kill after another, then lets
    it end. Returns how many kills came off.
    """
    time, kills = VirtualTime(), 0
    for limit in [*limits, NEVER]:
        with monkeypatch.context() as patch:
            file = _dying_file(limit)
            patch.setattr(journals, "AppendFile", file)
            patch.setattr(os, "fsync", lambda descriptor: None)  # the machine goes on
            runner = case.make(directory, time)
            assert isinstance(runner.trial_executor, KilledExecutor) and runner.state is not None
            file.tell = runner.trial_executor.tell
            try:
                while not runner.is_finished():
                    runner.step()
            except Killed:
                kills += 1
                runner.state.close()  # its lock ends with a process
                continue
            runner.run()
    return kills


def _dying_file(limit: int) -> Any:
    class DyingFile(AppendFile):
        left = limit
        tell: Callable[[], None]

        def append(self, record: bytes) -> None:
            part = record[: DyingFile.left]
            super().append(part)
            DyingFile.left -= len(part)
            if part == record:
                DyingFile.tell()
            if DyingFile.left == 0:
                raise Killed

    return DyingFile


def size(experiment: Path) -> int:
    """Bytes of the journals of an experiment."""
    return sum(path.stat().st_size for path in experiment.glob(JOURNALS))


def story(experiment: Path) -> dict[str, Any]:
    """What was shown and decided, trial by trial, and how it ended; trials by the order of their creation."""
    path = experiment_state.newest(str(experiment))
    assert path is not None
    state = experiment_state.load(path)
    numbers = {record["trial_id"]: i for i, record in enumerate(state["checkpoints"])}
    told: dict[int, list[Any]] = {number: [] for number in numbers.values()}
    lines = [line for each in sorted(experiment.glob(JOURNALS)) for line in journals.read(each)]
    for line in lines:
        if line.get("event") != "result":
            continue
        result = line["result"]
        what = [line["how"], line["decision"], result["training_iteration"], result["score"]]
        told[numbers[line["trial_id"]]].append(what)
        for fields in line.get("records", ()):
            if fields["inherits"]:
                told[numbers[fields["trial_id"]]].append(["goes on as a copy", fields["config"]])
    names = ("status", "config", "experiment_tag", "num_failures")
    results = ("training_iteration", "score", "done")
    ends = {
        numbers[record["trial_id"]]: [
            *(record[name] for name in names),
            *(record["last_result"].get(name) for name in results),
        ]
        for record in state["checkpoints"]
    }
    deciders = {name: state["runner_data"][name] for name in ("scheduler", "search")}
    text = json_encoding.dumps(deciders).replace(str(experiment), "")
    for trial_id, number in numbers.items():
        text = text.replace(trial_id, f"trial {number}")
    files = {each.name: each.read_text() for each in experiment.glob("pbt_*.txt")}
    return {"told": told, "ends": ends, "deciders": json.loads(text), "files": files}


def check_checkpoints(experiment: Path) -> None:
    """What records name is there, and nothing is that none of them names, where not all checkpoints are kept."""
    path = experiment_state.newest(str(experiment))
    assert path is not None
    states, named = set(), set()
    for record in experiment_state.load(path)["checkpoints"]:
        paths = {record["checkpoint"], record["donor"], *record["checkpoints_kept"]} - {None}
        assert all(map(is_complete, paths)), paths
        named |= {Path(each).parent for each in paths}
        if record["keep_checkpoints_num"] is not None and record["logdir"] is not None:
            states |= {
                each for each in Path(record["logdir"]).glob("checkpoint_*") if each.is_dir()
            }
            assert len(record["checkpoints_kept"]) <= record["keep_checkpoints_num"]
    assert states <= named, sorted(states - named)
    donors = set(experiment.glob("*/donor_*"))
    assert donors == {each.parent for each in named if "donor_" in each.parent.name}
