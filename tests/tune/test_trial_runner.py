"""The event loop (T3.7) step by step, with trials in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.error import TuneError
from rltune.tune.experiment import Experiment
from rltune.tune.local_trial_executor import LocalTrialExecutor
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.suggest import BasicVariantGenerator
from rltune.tune.trial import Trial
from rltune.tune.trial_runner import TrialRunner
from tests.tune.trainables import Counter


class Listens(BasicVariantGenerator):
    """Notes what a search algorithm hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.heard.append(result["count"])

    def on_trial_complete(self, trial_id: str, result: Any = None, **how: Any) -> None:
        self.heard.append(("complete", result and result["count"], how))


class Decides(FIFOScheduler):
    """Decides as it is told and notes what it hears."""

    def __init__(self, **decisions: str) -> None:
        self.decisions = decisions
        self.heard: list[str] = []

    def on_trial_add(self, trial_runner: Any, trial: Any) -> None:
        self.heard.append("add")

    def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
        return self.decisions.get(f"at_{result['count']}", self.CONTINUE)

    def on_trial_complete(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> None:
        self.heard.append(f"complete {result['count']} {result['done']}")

    def on_trial_remove(self, trial_runner: Any, trial: Any) -> None:
        self.heard.append("remove")

    def on_trial_error(self, trial_runner: Any, trial: Any) -> None:
        self.heard.append("error")


def make(scheduler: Any = None, search: Any = None, **spec: Any) -> TrialRunner:
    search = search or BasicVariantGenerator()
    search.add_configurations([Experiment("exp", Counter, **spec)])
    return TrialRunner(search, scheduler, trial_executor=LocalTrialExecutor())


def states(runner: TrialRunner) -> list[str]:
    return [trial.status for trial in runner.get_trials()]


def test_t3_7_one_trial_after_another_in_order() -> None:
    runner = make(stop={"count": 2}, num_samples=2)
    runner.step()
    assert states(runner) == ["RUNNING", "PENDING"]
    runner.step()
    assert states(runner) == ["TERMINATED", "PENDING"]
    runner.step()
    assert states(runner) == ["TERMINATED", "RUNNING"]
    runner.step()
    assert runner.is_finished()
    with pytest.raises(TuneError, match="all trials have ended"):
        runner.step()


def test_t10_1_who_hears_what_of_a_natural_end() -> None:
    scheduler, search = Decides(), Listens()
    make(scheduler, search, stop={"count": 3}).run()
    assert scheduler.heard == ["add", "complete 3 True"]
    assert search.heard == [1, 2, ("complete", 3, {})]


def test_t10_1_a_stop_of_the_scheduler_is_an_early_end_without_a_result() -> None:
    scheduler, search = Decides(at_2="STOP"), Listens()
    runner = make(scheduler, search)
    runner.run()
    assert scheduler.heard == ["add"]
    assert search.heard == [1, 2, ("complete", None, {"early_terminated": True})]
    assert runner.get_trials()[0].last_result["done"] is True


def test_t10_2_a_paused_trial_runs_when_none_is_pending() -> None:
    runner = make(Decides(at_1="PAUSE"), stop={"count": 2}, num_samples=2)
    runner.step()
    assert states(runner) == ["PAUSED", "PENDING"]
    runner.step()
    assert states(runner) == ["PAUSED", "PAUSED"]
    runner.step()
    assert states(runner) == ["TERMINATED", "PAUSED"]
    runner.run()
    assert [trial.last_result["count"] for trial in runner.get_trials()] == [2, 2]


def test_t4_3_only_the_last_failure_is_told() -> None:
    scheduler, search = Decides(), Listens()
    make(scheduler, search, config={"fail_at": 2}, max_failures=2).run()
    assert scheduler.heard == ["add", "error"]
    assert search.heard == [1, ("complete", None, {"error": True})]  # what is repeated, once


def test_t8_2_stopping_trials(tmp_path: Path) -> None:
    scheduler = Decides()
    runner = make(scheduler, stop={"count": 5}, num_samples=2, checkpoint_at_end=True)
    runner.step()
    first, second = runner.get_trials()
    runner.stop_trial(second)
    runner.stop_trial(first)
    assert states(runner) == ["RUNNING", "TERMINATED"]
    runner.step()
    assert first.last_result["count"] == 2 and first.last_result["done"] is True
    assert first.checkpoint.value == f"{first.logdir}/checkpoint_2/checkpoint"
    assert runner.is_finished() and scheduler.heard == ["add", "add", "remove", "remove"]
    runner.stop_trial(first)  # nothing happens


def test_t8_2_a_held_trial_that_is_stopped_stays_so() -> None:
    runner = make(Decides(), stop={"count": 2}, num_samples=2)
    runner.step()
    _, second = runner.get_trials()
    runner.pause_trial(second)
    runner.stop_trial(second)
    runner.resume_trial(second)
    assert states(runner) == ["RUNNING", "TERMINATED"]
    assert Trial.from_record(second.to_record()).status == "TERMINATED"


def test_t3_7_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIALRUNNER_WALLTIME_LIMIT", "25")
    runner = make(config={"metrics": {"time_this_iter_s": [10, 10, 10, 10]}})
    runner.run()
    assert states(runner) == ["TERMINATED"]
    assert runner.get_trials()[0].last_result["count"] == 3


def test_t3_5_a_standstill_is_an_error() -> None:
    class StartsNone(FIFOScheduler):
        def choose_trial_to_run(self, trial_runner: Any) -> Trial | None:
            return None

    with pytest.raises(TuneError, match="starts none of the 1 that wait .PENDING."):
        make(StartsNone()).run()


def test_t3_7_the_search_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltune.tune.trial_runner.SEARCH_POLL_S", 0.01)

    class Hesitates(BasicVariantGenerator):
        asked = 0

        def next_trials(self) -> list[Trial]:
            self.asked += 1
            return super().next_trials() if self.asked > 3 else []

    runner = make(search=Hesitates(), stop={"count": 1})
    runner.run()
    assert states(runner) == ["TERMINATED"]


def test_a_decision_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="decided 'MAYBE'"):
        make(Decides(at_1="MAYBE")).run()


def test_nothing_is_outstanding_after_an_error_of_a_scheduler() -> None:
    class Breaks(FIFOScheduler):
        def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
            raise ZeroDivisionError

    runner = make(Breaks())
    with pytest.raises(ZeroDivisionError):
        runner.run()
    assert runner.trial_executor.get_running_trials() == []


def test_grids_over_trainables_need_a_name() -> None:
    tune.register_trainable("Other", Counter)
    grid = tune.grid_search(["Counter", "Other"])
    with pytest.raises(TuneError, match="needs a name"):
        Experiment(None, grid)
    runner = TrialRunner(BasicVariantGenerator(), trial_executor=LocalTrialExecutor())
    tune.register_trainable("Counter", Counter)
    runner.search_alg.add_configurations([Experiment("exp", grid, stop={"count": 1})])
    runner.run()
    assert [trial.trainable_name for trial in runner.get_trials()] == ["Counter", "Other"]
