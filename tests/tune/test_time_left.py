"""How far a run is, and how long it still takes (T5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from rltune import tune
from rltune.tune.progress import status_block
from rltune.tune.time_left import TimeLeft, duration, fraction
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter


def make(stop: dict[str, Any], result: dict[str, Any] | None = None, status: str = "") -> Trial:
    tune.register_trainable("Counter", Counter)
    trial = Trial("Counter", stopping_criterion=stop)
    trial.last_result = result or {}
    trial.status = status or Trial.PENDING
    return trial


@pytest.mark.parametrize(
    ("stop", "result", "expected"),
    [
        ({"training_iteration": 10}, {"training_iteration": 3}, 0.3),
        ({"training_iteration": 10}, {}, 0.0),
        ({"timesteps_total": 100}, {"timesteps_total": None}, 0.0),
        ({"time_total_s": 8}, {"time_total_s": 2.0}, 0.25),
        ({"training_iteration": 10, "time_total_s": 8}, {"training_iteration": 5}, 0.5),
        ({"training_iteration": ">= 4"}, {"training_iteration": 1}, 0.25),
        ({"training_iteration": 10}, {"training_iteration": 12}, 1.0),
        ({"episode_reward_mean": 200}, {"episode_reward_mean": 100}, None),
        ({"training_iteration": "<= 4"}, {"training_iteration": 1}, None),
        ({"training_iteration": 0}, {}, None),
        ({}, {}, None),
    ],
)
def test_fraction(stop: dict[str, Any], result: dict[str, Any], expected: float | None) -> None:
    assert fraction(make(stop, result)) == expected


def test_a_finished_trial_is_done_whatever_it_stopped_for() -> None:
    for status in (Trial.TERMINATED, Trial.ERROR):
        assert fraction(make({"mean_loss": 1}, {"mean_loss": 0}, status)) == 1.0


def test_the_estimate_follows_the_pace_since_the_first_look() -> None:
    now = 100.0
    left = TimeLeft(clock=lambda: now)
    trials = [make({"training_iteration": 10}, {"training_iteration": n}) for n in (4, 0)]
    assert left.text(trials) == "Progress: 20 %"  # of a resumed run: no pace is known yet
    now += 30
    trials[0].last_result = {"training_iteration": 10}
    trials[0].status = Trial.TERMINATED
    assert left.text(trials) == "Progress: 50 %, about 50 s left"
    trials[1].status = Trial.TERMINATED
    assert left.text(trials) == "Progress: 100 %"


def test_no_figure_if_a_trial_may_be_endless() -> None:
    trials = [make({"training_iteration": 2}), make({})]
    assert TimeLeft().text(trials) == "" == TimeLeft().text([])
    assert "Progress" not in status_block(trials, scheduler_text="", resource_text="")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (150, "2 min"), (3590, "1 h 0 min"), (7500, "2 h 5 min")]
    + [(360_000, "4 d 4 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
