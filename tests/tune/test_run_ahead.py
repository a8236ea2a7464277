"""Short iterations that a host runs without a word from the runner, where nobody decides on results."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from rltune import tune
from rltune.registry import register_trainable
from rltune.tune import host
from rltune.tune.error import TrialFailure
from rltune.tune.experiment import Experiment
from rltune.tune.host import StartOrder, TrialHost
from rltune.tune.ray_trial_executor import RayTrialExecutor
from rltune.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from rltune.tune.stopping import Milestones
from rltune.tune.suggest import BasicVariantGenerator
from rltune.tune.trial import Trial
from rltune.tune.trial_runner import TrialRunner
from tests.tune.trainables import Counter

run = partial(tune.run, verbose=0)


class Watches(FIFOScheduler):
    """Has a word to say to each result."""

    def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
        return self.CONTINUE


class WatchesPopulation(PopulationBasedTraining):
    def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
        return super().on_trial_result(trial_runner, trial, result)


def pbt(cls: type[PopulationBasedTraining], synch: bool = False) -> PopulationBasedTraining:
    return cls(
        "count",
        metric="score",
        perturbation_interval=3,
        synch=synch,
        seed=1,
        log_config=False,
        hyperparam_mutations={"x": [1, 2]},
    )


class Dawdles(Counter):
    """From its fifth iteration on, it needs `config["seconds"]` for each."""

    def _train(self) -> dict[str, Any]:
        result = super()._train()
        if self.count >= 5:
            time.sleep(self.config["seconds"])
        return result


def begin(
    tmp_path: Path, milestones: Milestones | None, cls: type[Counter] = Counter, **config: Any
) -> TrialHost:
    register_trainable(cls.__name__, cls)
    started = TrialHost(chdir=False)
    started.start(StartOrder(cls.__name__, config, str(tmp_path), milestones=milestones), None)
    return started


def counts(outcomes: list[Any]) -> list[Any]:
    return ["failed" if isinstance(each, TrialFailure) else each["count"] for each in outcomes]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No iteration of a test is a long one, however busy the machine."""
    monkeypatch.setattr(host, "AHEAD_S", 1e9)


@pytest.mark.usefixtures("patient")
def test_calls_bring_twice_as_many_results_while_iterations_are_short(tmp_path: Path) -> None:
    started = begin(tmp_path, Milestones({"count": 100}))
    assert [counts(started.train()) for _ in range(3)] == [[1], [2, 3], [4, 5, 6, 7]]


def test_a_long_iteration_ends_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "AHEAD_S", 0.2)
    started = begin(tmp_path, Milestones({}), Dawdles, seconds=0.3)
    calls = [counts(started.train()) for _ in range(5)]
    assert calls == [[1], [2, 3], [4, 5], [6], [7]]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("milestones", "expected"),
    [
        (None, [[1], [2], [3], [4]]),
        (Milestones({"count": 4}), [[1], [2, 3], [4]]),
        (Milestones({}, checkpoint_freq=4), [[1], [2, 3], [4], [5, 6, 7, 8]]),
        (Milestones({}, seen=2), [[1], [2], [3, 4]]),
        (Milestones({"unknown": 1}), [[1], [2], [3]]),
    ],
)
def test_a_call_ends_where_there_is_more_to_do_than_to_log(
    tmp_path: Path, milestones: Milestones | None, expected: list[list[int]]
) -> None:
    started = begin(tmp_path, milestones)
    assert [counts(started.train()) for _ in expected] == expected


@pytest.mark.usefixtures("patient")
def test_a_failure_comes_after_the_results_before_it(tmp_path: Path) -> None:
    started = begin(tmp_path, Milestones({}), fail_at=6)
    assert [counts(started.train()) for _ in range(3)] == [[1], [2, 3], [4, 5, "failed"]]


@pytest.mark.usefixtures("patient")
def test_a_result_that_is_decided_on_is_waited_for(tmp_path: Path) -> None:
    started = begin(tmp_path, Milestones({}, decided={"count": 5}))
    calls = [counts(started.train()) for _ in range(5)]
    assert calls == [[1], [2, 3], [4, 5], [6], [7]]


@pytest.mark.parametrize(
    ("scheduler", "until"),
    [
        (FIFOScheduler(), {}),
        (Watches(), None),
        (AsyncHyperBandScheduler(), None),
        (TrialScheduler(), None),
        (pbt(PopulationBasedTraining), {"count": 3}),
        (pbt(PopulationBasedTraining, synch=True), {"count": 3}),
        (pbt(WatchesPopulation), None),
    ],
)
def test_a_scheduler_says_what_it_does_not_decide_on(
    scheduler: TrialScheduler, until: dict[str, float] | None
) -> None:
    trial = Trial("__fake", {"x": 1})
    scheduler.on_trial_add(MagicMock(), trial)
    assert scheduler.undecided_until(trial) == until


@pytest.mark.parametrize("synch", [False, True])
def test_pbt_decides_on_none_of_the_results_that_it_says(synch: bool) -> None:
    scheduler, trials = (
        pbt(PopulationBasedTraining, synch),
        [Trial("__fake", {"x": 1}) for _ in "12"],
    )
    runner = MagicMock(**{"get_trial.side_effect": {t.trial_id: t for t in trials}.get})
    for trial in trials:
        scheduler.on_trial_add(runner, trial)
    for count in range(1, 10):
        for trial in trials:
            until, before = scheduler.undecided_until(trial), scheduler.get_state()
            result = {"count": count, "score": count, "training_iteration": count}
            scheduler.on_trial_result(runner, trial, result)
            assert until is not None
            assert (scheduler.get_state() == before) is (count < until["count"])


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
class TestOnRay:
    def test_every_result_is_logged_once_and_saved_where_it_is_to_be(self) -> None:
        [trial] = run(Counter, stop={"count": 100}, checkpoint_freq=7, checkpoint_at_end=True)
        assert trial.logdir is not None
        lines = [json.loads(line) for line in Path(trial.logdir, "result.json").open()]
        assert [line["count"] for line in lines] == list(range(1, 101))
        assert [line["done"] for line in lines] == [False] * 99 + [True]
        saved = {path.name for path in Path(trial.logdir).glob("checkpoint_*")}
        assert saved == {f"checkpoint_{n}" for n in (*range(7, 100, 7), 100)}

    def test_a_trial_that_fails_repeats_from_its_checkpoint(self, tmp_path: Path) -> None:
        config = {"fail_at": 50, "once": str(tmp_path / "failed")}
        stop = {"count": 60}
        [trial] = run(Counter, config=config, stop=stop, checkpoint_freq=20, max_failures=1)
        assert trial.logdir is not None and trial.num_failures == 1
        lines = [json.loads(line)["count"] for line in Path(trial.logdir, "result.json").open()]
        assert lines == [*range(1, 50), *range(41, 61)]

    def test_a_stop_from_outside_waits_until_the_process_is_where_the_result_is(
        self, tmp_path: Path
    ) -> None:
        runner = make_runner(tmp_path)
        [trial] = until(runner, 300)
        runner.stop_trial(trial)
        runner.run()
        reached = trial.last_result["count"]
        assert trial.status == "TERMINATED" and 300 <= reached < ENDLESS
        assert Path(trial.checkpoint.value).parent.name == f"checkpoint_{reached}"

    def test_a_paused_trial_goes_on_with_the_next_result(self, tmp_path: Path) -> None:
        runner = make_runner(tmp_path)
        [trial] = until(runner, 300)
        runner.pause_trial(trial)
        while trial.status != "PAUSED":
            runner.step()
        runner.resume_trial(trial)
        reached = trial.last_result["count"]
        until(runner, reached + 100)
        runner.stop_trial(trial)
        runner.run()
        assert trial.logdir is not None
        lines = [json.loads(line)["count"] for line in Path(trial.logdir, "result.json").open()]
        assert lines == list(range(1, len(lines) + 1)) and len(lines) >= reached + 100


ENDLESS = 10_000_000


def make_runner(tmp_path: Path) -> TrialRunner:
    """One trial that ends only when it is told so."""
    search = BasicVariantGenerator()
    stop = {"count": ENDLESS}
    experiment = Experiment(
        "ahead", Counter, stop=stop, checkpoint_at_end=True, local_dir=str(tmp_path)
    )
    search.add_configurations([experiment])
    return TrialRunner(search, trial_executor=RayTrialExecutor())


def until(runner: TrialRunner, reached: int) -> list[Trial]:
    """Runs until the trials have got there."""
    runner.step()
    while any(trial.last_result.get("count", 0) < reached for trial in runner.get_trials()):
        runner.step()
    return runner.get_trials()
