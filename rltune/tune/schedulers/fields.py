"""Numbers of results that schedulers decide by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rltune.config import nearest
from rltune.result import get_metric
from rltune.tune.error import FailureKind, TrialFailure, TuneError


def number_in(result: Mapping[str, Any], name: str) -> float:
    """The field `name` (`a/b` for a nested one) as a number; NaN where it has no value.

    Raises TrialFailure, not to be tried again, where it is not there or no number.
    """
    try:
        value = get_metric(result, name)
    except KeyError:
        near = nearest(name, result)
        there = f"nearest: {near!r}" if near else f"there are {', '.join(result)}"
        raise _failure(
            f"The scheduler needs {name!r}, which is not in the result; {there}."
        ) from None
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise _failure(f"The scheduler needs a number for {name!r}, not {value!r}.") from None


def _failure(text: str) -> TrialFailure:
    return TrialFailure.of(TuneError(text), FailureKind.RUN, retry=False)
