"""Objective: how a scheduler reads a result."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from rltune.tune.error import FailureKind, TrialFailure, TuneError
from rltune.tune.schedulers.fields import number_in
from rltune.tune.schedulers.population import WORST, score_of

log = logging.getLogger(__name__)


class Objective:
    """What counts as the time of a result, and what as its score, of which more is better.

    Args:
        time_attr: the field with the time, in any unit that grows.
        reward_attr: the old way to say `metric`, with mode "max"; warned about.
        metric: the field to compare by; `a/b` names a nested one.
        mode: "max" or "min".
    """

    def __init__(self, time_attr: str, reward_attr: str | None, metric: str, mode: str):
        if reward_attr is not None:
            log.warning("reward_attr is old: use metric=%r, mode='max'.", reward_attr)
            metric, mode = reward_attr, "max"
        assert mode in ("min", "max"), f"mode is 'min' or 'max', not {mode!r}."
        self.time_attr = time_attr
        self.metric = metric
        self._mode = mode

    def read(self, result: Mapping[str, Any]) -> tuple[float, float]:
        """Time and score. A score that is not finite, or None, is the worst there is.

        Raises TrialFailure, which ends the trial, for a field that is missing or is no number.
        """
        time = number_in(result, self.time_attr)
        if not math.isfinite(time):
            error = TuneError(f"The scheduler needs a number for {self.time_attr!r}, not {time}.")
            raise TrialFailure.of(error, FailureKind.RUN, retry=False)
        return time, score_of(number_in(result, self.metric), self._mode)

    def read_last(self, result: Mapping[str, Any]) -> tuple[float, float] | None:
        """The same; None where it cannot be read: a trial may end without having reported it."""
        try:
            return self.read(result)
        except TrialFailure:
            return None


def score_to_json(score: float) -> float | None:
    """A score as the state holds it; the worst is None, which strict JSON can hold."""
    return None if score == WORST else score


def score_from_json(score: float | None) -> float:
    return WORST if score is None else score
