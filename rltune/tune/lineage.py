"""The lineage of a PBT run: who copied whom, when, and what that did to scores and settings.

All of it is read from what the run has written into its directory, also while it goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rltune import result as keys
from rltune.tune import experiment_state
from rltune.tune.error import TuneError
from rltune.tune.json_encoding import readable
from rltune.tune.schedulers.policy_log import GLOBAL_FILE, PERTURBED

Values = dict[str, Any]


@dataclass(frozen=True)
class Exploit:
    """`trial` went on from the state of `donor`; both by their tags. Scores are those compared, None
    where no result file tells them.
    """

    trial: str
    donor: str
    iteration: int
    donor_iteration: int
    score: float | None
    donor_score: float | None
    old: Values  # the donor's settings
    new: Values


@dataclass
class Life:
    """A part of a trial's results between two exploits: the settings, and the results.

    `origin` is what it went on from: the donor's settings, and that one result.
    """

    values: Values
    results: list[dict[str, Any]] = field(default_factory=list)
    origin: Life | None = None


@dataclass
class TrialHistory:
    """`ancestors` are the tags of the trials that it descends from, its own trial's last."""

    tag: str
    trial_id: str | None
    status: str | None
    lives: list[Life]
    ancestors: list[str]

    @property
    def last(self) -> dict[str, Any]:
        """Its last result, {} if it has none."""
        return next((life.results[-1] for life in reversed(self.lives) if life.results), {})


@dataclass(frozen=True)
class Lineage:
    """`names` are the settings that change, nested ones as `a/b`."""

    metric: str
    time_attr: str
    names: list[str]
    exploits: list[Exploit]
    trials: list[TrialHistory]


def read_lineage(experiment_dir: str, metric: str | None = None) -> Lineage:
    """The lineage of the PBT run in a directory.

    Args:
        metric: field of the results to show as score; by default the one that PBT compared by.

    Raises TuneError if the directory holds no PBT run, or what it holds cannot be read.
    """
    directory = Path(experiment_dir).expanduser()
    entries = _entries(directory / GLOBAL_FILE)
    path = experiment_state.newest(str(directory))
    state = experiment_state.load(path, json.loads) if path else {}
    scheduler = state.get("runner_data", {}).get("scheduler")
    about: dict[str, Any] = scheduler if isinstance(scheduler, dict) else {}
    if "mutated" not in about and entries is None:
        raise TuneError(f"{directory} holds no run of PBT: there is no {GLOBAL_FILE}.")
    entries = entries or []
    story = _Story(metric or about.get("metric", keys.EPISODE_REWARD_MEAN), _names(about, entries))
    for record in state.get("checkpoints", []):
        story.add_trial(record, about.get("members", {}), directory)
    exploits = [story.tell(entry) for entry in entries]
    return Lineage(
        story.metric,
        about.get("time_attr", keys.TRAINING_ITERATION),
        story.names,
        exploits,
        story.finish(),
    )


def number(value: Any) -> float | None:
    """`value` if it is a number and no truth value, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


def score_in(result: Mapping[str, Any], metric: str) -> float | None:
    try:
        return number(keys.get_metric(result, metric))
    except KeyError:
        return None


def short(tag: str) -> str:
    """The number that a tag begins with; the whole tag if there is none."""
    head = tag.partition("_")[0]
    return head if head.isdigit() else tag


class _Story:
    """Goes through the exploits in order, and finds for each the results it was decided on."""

    def __init__(self, metric: str, names: list[str]):
        self.metric, self.names = metric, names
        self._trials: dict[str, TrialHistory] = {}
        self._to_come: dict[str, list[dict[str, Any]]] = {}  # results after the last exploit

    def add_trial(
        self, record: Mapping[str, Any], members: Mapping[str, Any], directory: Path
    ) -> None:
        tag = str(record["experiment_tag"]).partition(PERTURBED)[0]
        first = members.get(record["trial_id"], {}).get("first", {})
        values = {name: readable(first.get(name)) for name in self.names}
        self._trials[tag] = TrialHistory(
            tag, record["trial_id"], record["status"], [Life(values)], []
        )
        self._to_come[tag] = _results(directory, record.get("logdir"))

    def tell(self, entry: Sequence[Any]) -> Exploit:
        loser_tag, donor_tag, iteration, donor_iteration, old, new = entry
        loser, donor = self._trial(loser_tag), self._trial(donor_tag)
        compared = self._find(loser_tag, iteration)
        copied = self._find(donor_tag, donor_iteration)
        results = self._to_come[loser_tag]
        end = results.index(compared) + 1 if compared else 0
        loser.lives[-1].results, self._to_come[loser_tag] = results[:end], results[end:]
        origin = Life(self._pick(old), [copied]) if copied else None
        loser.lives.append(Life(self._pick(new), origin=origin))
        loser.ancestors = [*donor.ancestors, donor_tag]
        return Exploit(
            loser_tag,
            donor_tag,
            iteration,
            donor_iteration,
            score_in(compared or {}, self.metric),
            score_in(copied or {}, self.metric),
            self._pick(old),
            self._pick(new),
        )

    def finish(self) -> list[TrialHistory]:
        for tag, results in self._to_come.items():
            self._trials[tag].lives[-1].results = results
        return list(self._trials.values())

    def _trial(self, tag: str) -> TrialHistory:
        """Of a trial that no record tells of, only what the log says."""
        if tag not in self._trials:
            empty = Life(dict.fromkeys(self.names))
            self._trials[tag] = TrialHistory(tag, None, None, [empty], [])
            self._to_come[tag] = []
        return self._trials[tag]

    def _find(self, tag: str, iteration: int) -> dict[str, Any] | None:
        there = (r for r in self._to_come[tag] if r.get(keys.TRAINING_ITERATION) == iteration)
        return next(there, None)

    def _pick(self, config: Mapping[str, Any]) -> Values:
        return {name: _value(config, name) for name in self.names}


def _names(about: Mapping[str, Any], entries: Sequence[Sequence[Any]]) -> list[str]:
    """What PBT mutates, and what a custom_explore_fn has changed besides."""
    changed = {
        key: None
        for *_, old, new in entries
        for key in new
        if new[key] != old.get(key) and not isinstance(new[key], dict) and key != "seed"
    }
    return list({**dict.fromkeys(about.get("mutated", [])), **changed})


def _value(config: Mapping[str, Any], name: str) -> Any:
    try:
        return keys.get_metric(config, name)
    except KeyError:
        return None


def _entries(path: Path) -> list[list[Any]] | None:
    """The lines of the log; None if there is no log. The last may just be in the making."""
    if not path.exists():
        return None
    try:
        entries = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    except (OSError, ValueError) as error:
        raise TuneError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(entry, list) and len(entry) == 6 for entry in entries):
        raise TuneError(f"{path} cannot be read: its lines are to be lists of six.")
    return entries


def _results(directory: Path, logdir: str | None) -> list[dict[str, Any]]:
    """The lines of a trial's result file, wherever the experiment lies now; [] without one."""
    path = directory / Path(logdir or "").name / keys.EXPR_RESULT_FILE
    if not logdir or not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    except (OSError, ValueError) as error:
        raise TuneError(f"{path} cannot be read: {error}") from error
