"""What schedulers read of a result (T10.1)."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest

from rltune.tune.error import TrialFailure
from rltune.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)
from rltune.tune.schedulers.objective import WORST, Objective
from tests.tune.scripted import run_scripted

ALL = [MedianStoppingRule, AsyncHyperBandScheduler, HyperBandScheduler]


@pytest.mark.parametrize("cls", ALL)
def test_t10_1_a_mode_is_min_or_max(cls: type[Any]) -> None:
    with pytest.raises(AssertionError, match="'min' or 'max', not 'best'"):
        cls(mode="best")


@pytest.mark.parametrize("cls", ALL)
def test_t10_1_reward_attr_is_an_old_metric(cls: type[Any], caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        scheduler = cls(time_attr="t", reward_attr="old", mode="min")
    assert "metric='old'" in caplog.text
    assert scheduler._objective.read({"t": 1, "old": 5}) == (1, 5)


def test_t10_1_more_is_better_whatever_the_mode() -> None:
    found = {"t": 2, "info": {"loss": 3.0}}
    assert Objective("t", None, "info/loss", "max").read(found) == (2, 3)
    assert Objective("t", None, "info/loss", "min").read(found) == (2, -3)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("value", [math.nan, None, math.inf, -math.inf])
def test_t10_1_what_is_not_finite_is_the_worst(mode: str, value: Any) -> None:
    assert Objective("t", None, "m", mode).read({"t": 2, "m": value}) == (2, WORST)


def test_t10_1_what_cannot_be_read_is_named() -> None:
    objective = Objective("training_iteration", None, "reward", "max")
    with pytest.raises(TrialFailure, match="'reward'.*nearest: 'rewards'") as caught:
        objective.read({"training_iteration": 1, "rewards": 3})
    assert not caught.value.retry
    with pytest.raises(TrialFailure, match="'training_iteration'.*there are x"):
        objective.read({"x": 1})
    with pytest.raises(TrialFailure, match="'training_iteration', not nan"):
        objective.read({"training_iteration": None, "reward": 3})
    with pytest.raises(TrialFailure, match="'reward', not 'good'"):
        objective.read({"training_iteration": 1, "reward": "good"})
    assert objective.read_last({"training_iteration": 1}) is None


@pytest.mark.parametrize("cls", ALL)
def test_t10_1_a_missing_metric_ends_its_trial_and_no_other(cls: type[Any]) -> None:
    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {"score" if config["index"] else "scores": 1.0}

    scheduler: TrialScheduler = cls(time_attr="training_iteration", metric="score")
    runner = run_scripted(scheduler, curve, n=3, stop={"training_iteration": 3}, max_failures=2)
    assert [trial.status for trial in runner.get_trials()] == ["ERROR", "TERMINATED", "TERMINATED"]
    trial = runner.get_trials()[0]
    assert trial.num_failures == 1 and trial.error_file is not None
    with open(trial.error_file, encoding="utf-8") as file:
        assert "'score'" in (text := file.read()) and "nearest: 'scores'" in text
