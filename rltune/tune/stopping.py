"""When a trial has done enough: the `stop` of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rltune.config import nearest
from rltune.result import get_metric
from rltune.tune.error import TuneError

_DIRECTIONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda value, limit: bool(value >= limit),
    "<=": lambda value, limit: bool(value <= limit),
}


def reached(stop: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """The first criterion that `result` fulfils, as text; None if there is none.

    `{"a": 5}` is fulfilled by a >= 5, `{"a": {"<=": 5}}` by a <= 5. Dicts may be nested as the
    result is; `a/b` names a nested field too. A field that is there but has no value (None)
    fulfils nothing. Raises TuneError for a field that is not there, naming the nearest one.
    """
    for name, direction, limit in _criteria(stop):
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
    """Raises TuneError for a criterion that is no number."""
    for name, _, limit in _criteria(stop):
        if not isinstance(limit, int | float) and not hasattr(limit, "__float__"):
            raise TuneError(f"The stopping criterion {name!r} must be a number, not {limit!r}.")


def _criteria(stop: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    for key, limit in stop.items():
        if not isinstance(limit, Mapping):
            yield prefix + key, ">=", limit
        elif set(limit) <= set(_DIRECTIONS):
            yield from ((prefix + key, direction, value) for direction, value in limit.items())
        else:
            yield from _criteria(limit, f"{prefix}{key}/")
