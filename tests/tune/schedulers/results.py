"""Results of trials without a runner, for schedulers that are asked directly."""

from __future__ import annotations

from typing import Any

from rltune.tune.registry import register_trainable
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter


def new_trial() -> Trial:
    register_trainable("Counter", Counter)
    return Trial("Counter")


def result(time: float, score: Any, **more: Any) -> dict[str, Any]:
    return {"training_iteration": time, "episode_reward_mean": score, **more}


def decide(scheduler: TrialScheduler, trial: Trial, time: float, score: Any) -> str:
    """What the scheduler decides on a result; no runner is needed where none is asked."""
    return scheduler.on_trial_result(None, trial, result(time, score))  # type: ignore[arg-type]


def complete(scheduler: TrialScheduler, trial: Trial, time: float, score: Any) -> None:
    scheduler.on_trial_complete(None, trial, result(time, score))  # type: ignore[arg-type]


def added(scheduler: TrialScheduler, number: int) -> list[Trial]:
    """New trials that the scheduler has been told of."""
    trials = [new_trial() for _ in range(number)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
    return trials
