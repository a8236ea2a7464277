"""How far a run is, and how long it still takes, as far as its stop criteria tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from rltune import result as keys
from rltune.result import get_metric
from rltune.tune import stopping

# Fields that grow evenly with the work done, so that a limit on one says how much there is.
STEADY = (
    keys.TRAINING_ITERATION,
    keys.TIMESTEPS_TOTAL,
    keys.EPISODES_TOTAL,
    keys.TIME_TOTAL_S,
    "iterations_since_restore",
    "timesteps_since_restore",
    "time_since_restore",
)


def fraction(trial: Any) -> float | None:
    """How much of a trial is done, from 0 to 1; None where its stop criteria do not tell."""
    if trial.is_finished():
        return 1.0
    limits = {
        name: limit
        for name, direction, limit in stopping.criteria(trial.stopping_criterion)
        if name in STEADY and direction in (">=", ">") and limit > 0
    }
    if not limits:
        return None
    done = [float(_value(trial.last_result, name)) / float(limits[name]) for name in limits]
    return min(1.0, max(done))


def duration(seconds: float) -> str:
    """A rough time for people: `40 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


class TimeLeft:
    """Estimates the end of a run from its pace since the first look at it.

    An upper bound where a scheduler stops trials earlier, or another criterion does.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._begin: tuple[float, float] | None = None  # time and work done at the first look

    def text(self, trials: Sequence[Any]) -> str:
        """`Progress: 25 %, about 3 min left`; "" where there is a trial that could be endless."""
        fractions = [fraction(trial) for trial in trials]
        known = [done for done in fractions if done is not None]
        if not known or len(known) < len(fractions):
            return ""
        work, now = sum(known), self._clock()
        if self._begin is None:
            self._begin = now, work
        began, before = self._begin
        text = f"Progress: {int(100 * work / len(known))} %"
        left = len(known) - work
        if work <= before or left <= 0:
            return text
        return f"{text}, about {duration((now - began) * left / (work - before))} left"


def _value(result: dict[str, Any], name: str) -> float:
    try:
        return get_metric(result, name) or 0.0
    except KeyError:
        return 0.0
