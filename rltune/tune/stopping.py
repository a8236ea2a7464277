"""When a trial has done enough: the `stop` of an experiment."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rltune import result as keys
from rltune.config import nearest
from rltune.result import get_metric
from rltune.tune.error import TuneError

_DIRECTIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TEXT = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Milestones:
    """The results of a trial after which there is more to do than to log them. `seen`: an iteration
    that was decided on before, and is repeated. `decided`: criteria of those that are decided on.
    """

    stop: Mapping[str, Any]
    checkpoint_freq: int = 0
    checkpoint_at_end: bool = False
    seen: int = 0
    decided: Mapping[str, Any] = field(default_factory=dict)

    def is_one(self, result: Mapping[str, Any]) -> bool:
        """Raises TuneError as `reached`."""
        repeated = result[keys.TRAINING_ITERATION] == self.seen
        if repeated or self.is_last(result) or self.is_saved(result):
            return True
        return reached(self.decided, result) is not None

    def is_last(self, result: Mapping[str, Any]) -> bool:
        """Whether the result is done or fulfils a criterion. Raises TuneError as `reached`."""
        return bool(result.get(keys.DONE)) or bool(reached(self.stop, result))

    def is_saved(self, result: Mapping[str, Any]) -> bool:
        """Whether to save after this result: by frequency, at the end, or as the result says."""
        if result.get(keys.DONE) and self.checkpoint_at_end:
            return True
        if result.get(keys.SHOULD_CHECKPOINT):
            return True
        frequency = self.checkpoint_freq
        return frequency > 0 and result[keys.TRAINING_ITERATION] % frequency == 0


def reached(stop: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """The first criterion that `result` fulfils, as text; None if there is none.

    `{"a": 5}` is fulfilled by a >= 5, `{"a": "<= 5"}` by a <= 5; `>`, `<` and `>=` are read too.
    Dicts may be nested as the result is; `a/b` names a nested field too. A field that is there but
    has no value (None) fulfils nothing. Raises TuneError for a field that is not there, naming the
    nearest one.
    """
    for name, direction, limit in criteria(stop):
        try:
            value = get_metric(result, name)
        except KeyError:
            near = nearest(name, result)
            raise TuneError(
                f"The stopping criterion {name!r} is not in the result"
                + (f"; did you mean {near!r}?" if near else f", which has {', '.join(result)}.")
            ) from None
        if value is not None and _DIRECTIONS[direction](value, limit):
            return f"{name} {direction} {limit}"
    return None


def check(stop: Mapping[str, Any]) -> None:
    """Raises TuneError, naming the key, for a criterion that can never be compared."""
    for _ in criteria(stop):
        continue


def criteria(stop: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each criterion: the field's name (`a/b` for a nested one), its direction, and the limit."""
    for key, limit in stop.items():
        if isinstance(limit, Mapping):
            yield from criteria(limit, f"{prefix}{key}/")
        else:
            yield prefix + key, *_criterion(prefix + key, limit)


def _criterion(name: str, limit: Any) -> tuple[str, Any]:
    """Direction and number of one criterion."""
    if isinstance(limit, str):
        text = _TEXT.fullmatch(limit)
        number = _number(text[2]) if text else math.nan
        if text and not math.isnan(number):
            return text[1], number
    elif isinstance(limit, int | float) or hasattr(limit, "__float__"):
        return ">=", limit
    raise TuneError(
        f"The stopping criterion {name!r} must be a number, or text such as '<= 0.1' "
        f"({', '.join(_DIRECTIONS)}), not {limit!r}."
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
