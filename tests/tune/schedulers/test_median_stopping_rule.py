"""MedianStoppingRule (T10.3)."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from rltune.tune.schedulers import MedianStoppingRule
from rltune.tune.trial import Trial
from tests.tune.schedulers.results import complete, decide, new_trial
from tests.tune.scripted import run_scripted

GO, STOP, PAUSE = "CONTINUE", "STOP", "PAUSE"


def rule(**arguments: Any) -> MedianStoppingRule:
    defaults: dict[str, Any] = {"grace_period": 0, "min_samples_required": 1}
    return MedianStoppingRule("training_iteration", **{**defaults, **arguments})


def finished(scheduler: MedianStoppingRule, scores: list[float]) -> Trial:
    """A trial that has completed with these scores at 1, 2, ..."""
    trial = new_trial()
    for time, score in enumerate(scores[:-1], start=1):
        assert decide(scheduler, trial, time, score) == GO
    complete(scheduler, trial, len(scores), scores[-1])
    return trial


def test_t10_3_the_defaults() -> None:
    scheduler = MedianStoppingRule()
    assert scheduler.debug_string() == "Using MedianStoppingRule: num_stopped=0."
    trial = new_trial()
    for time in (1, 61, 1000):
        shown = {"time_total_s": time, "episode_reward_mean": -time}
        assert scheduler.on_trial_result(None, trial, shown) == GO  # type: ignore[arg-type]


def test_t10_3_the_best_so_far_against_the_mean_up_to_that_time() -> None:
    scheduler = rule()
    finished(scheduler, [0, 10, 20, 30])  # means 0, 5, 10, 15
    trial = new_trial()
    assert decide(scheduler, trial, 1, 0) == GO  # not below
    assert decide(scheduler, trial, 2, 10) == GO
    assert decide(scheduler, trial, 3, -9) == GO  # its best is 10
    assert decide(scheduler, trial, 4, 14.9) == STOP
    assert "num_stopped=1" in scheduler.debug_string()


def test_t10_3_the_median_of_the_completed() -> None:
    scheduler = rule(min_samples_required=3)
    finished(scheduler, [1, 1])
    finished(scheduler, [100, 100])
    assert decide(scheduler, new_trial(), 2, -5) == GO  # two are too few
    finished(scheduler, [3, 3])
    assert decide(scheduler, new_trial(), 2, 2.9) == STOP
    assert decide(scheduler, new_trial(), 2, 3) == GO


def test_t10_3_of_who_is_completed_only_what_is_not_later_counts() -> None:
    scheduler = rule(min_samples_required=2)
    finished(scheduler, [5, 5])
    late = new_trial()
    complete(scheduler, late, 10, 100)
    assert decide(scheduler, new_trial(), 9, 0) == GO  # only one has a result by then
    assert decide(scheduler, new_trial(), 10, 52) == STOP
    assert decide(scheduler, new_trial(), 10, 52.5) == GO


def test_t10_3_the_grace_period() -> None:
    scheduler = rule(grace_period=3)
    finished(scheduler, [1, 1])
    trial = new_trial()
    assert [decide(scheduler, trial, time, 0) for time in (1, 3, 3.1)] == [GO, GO, STOP]


def test_t10_3_who_is_stopped_by_the_rule_does_not_count() -> None:
    scheduler = rule(min_samples_required=2)
    finished(scheduler, [5, 5])
    finished(scheduler, [5, 5])
    before = scheduler.get_state()["completed"]
    assert decide(scheduler, new_trial(), 2, 0) == STOP
    assert scheduler.get_state()["completed"] == before


def test_t10_3_a_soft_stop_is_a_pause_once() -> None:
    scheduler = rule(hard_stop=False)
    finished(scheduler, [1, 1])
    trial = new_trial()
    assert [decide(scheduler, trial, time, 0) for time in (1, 2, 3)] == [PAUSE, GO, GO]


def test_t10_3_a_paused_trial_that_is_taken_out_has_completed() -> None:
    scheduler = rule(hard_stop=False)
    running, paused, new = new_trial(), new_trial(), new_trial()
    for trial in (running, paused):
        decide(scheduler, trial, 1, 5)
    running.status, paused.status, new.status = Trial.RUNNING, Trial.PAUSED, Trial.PAUSED
    for trial in (running, paused, new):
        scheduler.on_trial_remove(None, trial)  # type: ignore[arg-type]
    assert scheduler.get_state()["completed"] == [paused.trial_id]


def test_t10_3_less_is_better_in_mode_min() -> None:
    scheduler = rule(mode="min")
    finished(scheduler, [5, 5])
    assert decide(scheduler, new_trial(), 1, 5.1) == STOP
    assert decide(scheduler, new_trial(), 1, 5) == GO


def test_t10_3_nan_has_no_say_in_means_and_is_no_best() -> None:
    scheduler = rule()
    finished(scheduler, [math.nan, 6, 8])
    assert decide(scheduler, new_trial(), 1, -1e9) == GO  # nobody has a number by then
    assert decide(scheduler, new_trial(), 3, 6.9) == STOP
    assert decide(scheduler, new_trial(), 3, math.nan) == STOP


def test_t10_3_a_trial_that_starts_again_is_taken_anew() -> None:
    scheduler = rule()
    finished(scheduler, [5, 5, 5])
    trial = new_trial()
    assert decide(scheduler, trial, 1, 9) == GO
    assert decide(scheduler, trial, 3, 9) == GO
    assert decide(scheduler, trial, 0.5, 0) == GO  # from scratch; nobody was judged by then
    assert decide(scheduler, trial, 1, 4) == STOP


def test_t10_3_the_former_results_of_a_trial_that_starts_again_have_no_say_in_its_mean() -> None:
    scheduler = rule()
    again = new_trial()
    for time, score in [(1, 100), (3, 100), (1, 0)]:
        assert decide(scheduler, again, time, score) == GO
    complete(scheduler, again, 2, 0)
    assert decide(scheduler, new_trial(), 3, 0) == GO
    assert decide(scheduler, new_trial(), 3, -1) == STOP


@pytest.mark.parametrize("verbose", [True, False])
def test_t10_3_verbose_says_who_is_stopped(verbose: bool, caplog: Any) -> None:
    scheduler = rule(verbose=verbose)
    finished(scheduler, [5, 5])
    with caplog.at_level(logging.INFO):
        decide(scheduler, new_trial(), 1, 4)
    assert ("the median is 5" in caplog.text) is verbose


@pytest.mark.parametrize("hard_stop", [True, False])
def test_t10_3_a_run(hard_stop: bool) -> None:
    """Paused trials go on when none is pending, to their natural end."""

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {"episode_reward_mean": -config["index"] * iteration}

    scheduler = rule(grace_period=3, min_samples_required=2, hard_stop=hard_stop)
    runner = run_scripted(scheduler, curve, n=6, slots=2, stop={"training_iteration": 5})
    ends = [trial.last_result["training_iteration"] for trial in runner.get_trials()]
    assert ends == [5, 5, *([4] * 4 if hard_stop else [5] * 4)]
    assert {trial.status for trial in runner.get_trials()} == {"TERMINATED"}
    assert "num_stopped=4" in scheduler.debug_string()
