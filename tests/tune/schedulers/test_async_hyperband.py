"""ASHA (T10.4)."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from rltune.tune.schedulers import ASHAScheduler, AsyncHyperBandScheduler
from tests.tune.schedulers.results import added, complete, decide
from tests.tune.scripted import run_scripted

GO, STOP = "CONTINUE", "STOP"


def milestones(text: str) -> list[list[float]]:
    return [
        [float(part.split()[1].rstrip(":")) for part in line.split(": ", 1)[1].split(" | ")]
        for line in text.splitlines()[1:]
    ]


def test_t10_4_both_names() -> None:
    assert ASHAScheduler is AsyncHyperBandScheduler


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_t": 0},
        {"max_t": 5, "grace_period": 6},
        {"grace_period": 0},
        {"reduction_factor": 1},
        {"brackets": 0},
    ],
)
def test_t10_4_what_arguments_can_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=next(iter(wrong))):
        ASHAScheduler(**wrong)


def test_t10_4_rungs() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2, brackets=3)
    assert milestones(scheduler.debug_string()) == [[8, 4, 2, 1], [8, 4, 2], [8, 4]]
    scheduler = ASHAScheduler()
    assert milestones(scheduler.debug_string()) == [[40, 10]]


def test_t10_4_behind_those_who_came_before_is_out() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2)
    first, second, third = added(scheduler, 3)
    assert decide(scheduler, first, 1, 2) == GO  # nobody was there
    assert decide(scheduler, second, 1, 4) == GO
    assert decide(scheduler, third, 1, 1) == STOP
    assert scheduler.debug_string().startswith("Using AsyncHyperBand: num_stopped=1\nBracket: Iter")
    assert "Iter 1.000: 2.0" in scheduler.debug_string()  # who was stopped counts too


def test_t10_4_the_cutoff_is_interpolated_and_level_is_enough() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=4)
    for trial, score in zip(added(scheduler, 3), [0, 10, 20], strict=True):
        decide(scheduler, trial, 1, score)
    level, below = added(scheduler, 2)
    assert decide(scheduler, level, 1, 15) == GO  # half way between 10 and 20
    # Now 0, 10, 15, 20: a quarter of the way from 15 to 20.
    assert decide(scheduler, below, 1, 16.24) == STOP


def test_t10_4_each_rung_is_recorded_once_the_highest_first() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2)
    ahead, late = added(scheduler, 2)
    assert decide(scheduler, ahead, 5, 7) == GO  # jumps to the rung at 4
    assert decide(scheduler, ahead, 6, 0) == GO  # falls into that at 2, where nobody was
    assert decide(scheduler, late, 2, 1) == GO
    assert decide(scheduler, late, 3, 0) == GO  # that at 1, where nobody was
    assert decide(scheduler, late, 3, -9) == GO  # all are recorded
    assert decide(scheduler, late, 4, 6) == STOP


def test_t10_4_the_end_at_max_t() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10)
    [trial] = added(scheduler, 1)
    assert decide(scheduler, trial, 9, 5) == GO
    assert decide(scheduler, trial, 10, 500) == STOP


def test_t10_4_a_natural_end_is_recorded() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2)
    first, second = added(scheduler, 2)
    complete(scheduler, first, 8, 100)
    assert decide(scheduler, second, 8, 99) == STOP
    scheduler.on_trial_complete(None, first, {})  # type: ignore[arg-type]  # it never reported


def test_t10_4_nan_is_the_worst_and_no_cutoff() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2)
    lost, other, good, again, more, last = added(scheduler, 6)
    assert decide(scheduler, lost, 1, math.nan) == GO  # the first of its rung
    assert decide(scheduler, other, 1, math.nan) == GO  # level
    assert decide(scheduler, good, 1, -5) == GO
    assert decide(scheduler, again, 1, -4) == GO  # the cut-off lies between nothing and -5
    assert decide(scheduler, more, 1, -4) == GO
    assert decide(scheduler, last, 1, math.nan) == STOP


def test_t10_4_less_is_better_in_mode_min() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2, mode="min")
    first, second, third = added(scheduler, 3)
    assert [decide(scheduler, first, 1, 2), decide(scheduler, second, 1, 3)] == [GO, STOP]
    assert decide(scheduler, third, 1, 1) == GO


def test_t10_4_brackets_are_drawn_by_the_number_of_their_rungs() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2, brackets=2, seed=3)
    added(scheduler, 2000)
    share = Counter(scheduler.get_state()["bracket_of"].values())[0] / 2000
    assert share == pytest.approx(math.e / (math.e + 1), abs=0.03)


def test_t10_4_equal_seeds_draw_the_same() -> None:
    def draws(seed: int | None) -> list[int]:
        scheduler = ASHAScheduler(grace_period=1, max_t=10, brackets=3, seed=seed)
        added(scheduler, 30)
        return list(scheduler.get_state()["bracket_of"].values())

    assert draws(1) == draws(1) != draws(2)
    assert draws(None) != draws(None)


def test_t10_4_the_seed_is_part_of_the_state() -> None:
    one, other = (ASHAScheduler(grace_period=1, max_t=10, brackets=3, seed=seed) for seed in (1, 2))
    other.set_state(one.get_state())
    trials = added(one, 30)
    for trial in trials:
        other.on_trial_add(None, trial)  # type: ignore[arg-type]
    assert other.get_state() == one.get_state()


def test_t10_4_a_failed_trial_that_starts_again_keeps_its_bracket_and_its_records() -> None:
    scheduler = ASHAScheduler(grace_period=1, max_t=10, reduction_factor=2, brackets=3, seed=0)
    trials = added(scheduler, 6)
    before = scheduler.get_state()
    for trial in trials:
        scheduler.on_trial_error(None, trial)  # type: ignore[arg-type]
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
    assert scheduler.get_state() == before


def test_t10_4_a_run() -> None:
    """Scores are in the order of the trials, so that each is better than all before it."""

    def rising(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {"episode_reward_mean": config["index"]}

    def falling(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {"episode_reward_mean": -config["index"]}

    def ends(curve: Any) -> list[int]:
        scheduler = ASHAScheduler(grace_period=2, max_t=8, reduction_factor=2)
        runner = run_scripted(scheduler, curve, n=4, slots=1)
        return [trial.last_result["training_iteration"] for trial in runner.get_trials()]

    assert ends(rising) == [8, 8, 8, 8]
    assert ends(falling) == [8, 2, 2, 2]
