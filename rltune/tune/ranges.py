"""Values still to be drawn: functions of the spec, numpy draws, and ranges that know their bounds."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from rltune.config import nearest
from rltune.tune.error import TuneError


class sample_from:  # noqa: N801 (Tune's name)
    """A value drawn once per trial: `func(spec)`; `spec.config.x` is another value of the trial."""

    def __init__(self, func: Callable[[Any], Any]):
        self.func = func

    def __repr__(self) -> str:
        return f"tune.sample_from({getattr(self.func, '__name__', self.func)})"


class Range(sample_from):
    """The values that a setting may have: a config value, a PBT mutation, a search space.

    `name(*arguments)` is how it is written: `tune.uniform(0, 1)`, and `{"uniform": [0, 1]}` in
    YAML and JSON. Called with or without a spec, it draws from numpy's global generator. Equal if
    written alike.
    """

    name: ClassVar[str]

    def __init__(self, *arguments: Any):
        self.arguments = arguments
        super().__init__(self)

    def __call__(self, spec: Any = None) -> Any:
        return self.sample(_NUMPY)

    @abstractmethod
    def sample(self, rng: random.Random) -> Any:
        """A value drawn with `rng`."""

    @abstractmethod
    def clip(self, value: Any) -> Any:
        """The allowed value nearest to `value`. An int stays one wherever an int is allowed."""

    @property
    @abstractmethod
    def ends(self) -> list[Any]:
        """The lowest and the highest value; all of them where they have no order."""

    def as_dict(self) -> dict[str, list[Any]]:
        """As YAML and JSON hold it; `range_of_dict` reads it."""
        return {self.name: list(self.arguments)}

    def __repr__(self) -> str:
        return f"tune.{self.name}({', '.join(map(repr, self.arguments))})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.arguments


class _NumpyRandom(random.Random):
    """Ranges draw from it as from any other, and numpy's global generator gives the numbers."""

    def uniform(self, a: float, b: float) -> float:
        return float(np.random.uniform(a, b))

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return int(np.random.randint(start, stop))

    def choice(self, seq: Any) -> Any:
        return seq[int(np.random.choice(len(seq)))]


_NUMPY = _NumpyRandom()


class Interval(Range):
    """Numbers from `low` to `high`."""

    def __init__(self, low: float, high: float):
        super().__init__(*_bounds(self.name, low, high))
        self.low, self.high = map(float, self.arguments)

    def clip(self, value: Any) -> Any:
        low, high = math.ceil(self.low), math.floor(self.high)
        if isinstance(value, int) and low <= high:
            return min(max(value, low), high)
        return min(max(float(value), self.low), self.high)

    @property
    def ends(self) -> list[Any]:
        return [self.low, self.high]


class Uniform(Interval):
    """Numbers from `low` to `high`, all alike likely."""

    name = "uniform"

    def sample(self, rng: random.Random) -> float:
        return rng.uniform(self.low, self.high)


class LogUniform(Interval):
    """Numbers from `low` to `high`, each order of magnitude alike likely."""

    name = "loguniform"

    def __init__(self, low: float, high: float):
        super().__init__(low, high)
        if self.low <= 0:
            raise TuneError(f"{self!r}: both bounds of a loguniform must be above 0.")

    def sample(self, rng: random.Random) -> float:
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # exp and log round


class RandInt(Range):
    """Whole numbers from `low` up to `high`, which is not one of them."""

    name = "randint"

    def __init__(self, low: int, high: int):
        bounds = _bounds(self.name, low, high)
        if any(bound != int(bound) for bound in bounds):
            raise TuneError(f"tune.randint({low!r}, {high!r}): both bounds must be whole numbers.")
        super().__init__(*map(int, bounds))
        self.low, self.high = self.arguments

    def sample(self, rng: random.Random) -> int:
        return rng.randrange(self.low, self.high)

    def clip(self, value: Any) -> int:
        return int(min(max(value, self.low), self.high - 1))

    @property
    def ends(self) -> list[Any]:
        return [self.low, self.high - 1]


class Choice(Range):
    """One of `values`."""

    name = "choice"

    def __init__(self, *values: Any):
        if not values:
            raise TuneError("tune.choice([]): there is nothing to choose from.")
        self.values = list(values)
        super().__init__(*values)

    def sample(self, rng: random.Random) -> Any:
        return rng.choice(self.values)

    def clip(self, value: Any) -> Any:
        """Raises TuneError where the values have no nearest, since not all are numbers."""
        if value in self.values:
            return value
        if not all(map(is_number, [value, *self.values])):
            raise TuneError(f"{value!r} is none of {self.values}.")
        return min(self.values, key=lambda one: abs(one - value))

    @property
    def ends(self) -> list[Any]:
        return self.values

    def __repr__(self) -> str:
        return f"tune.{self.name}({self.values})"


RANGES: dict[str, type[Range]] = {r.name: r for r in (Uniform, LogUniform, RandInt, Choice)}
"""What is written -> the range."""


def range_of_dict(node: Any) -> Range | None:
    """`{"uniform": [0, 1]}` as the range it means; None for whatever else.

    Raises TuneError for bounds that are wrong.
    """
    if not isinstance(node, dict) or len(node) != 1:
        return None
    ((name, arguments),) = node.items()
    if name not in RANGES or not isinstance(arguments, list):
        return None
    if name != Choice.name and len(arguments) != 2:
        raise TuneError(f"{node}: {name} takes a list of two numbers, [low, high].")
    return RANGES[name](*arguments)


def read_ranges(node: Any) -> Any:
    """A copy of nested dicts and lists in which ranges stand for the dicts that mean them.

    Raises TuneError for bounds that are wrong.
    """
    found = range_of_dict(node)
    if found is not None:
        return found
    if isinstance(node, dict):
        return {key: read_ranges(value) for key, value in node.items()}
    return [read_ranges(value) for value in node] if isinstance(node, list) else node


def ranges_in(node: Any) -> Iterator[Range]:
    """Every range in nested dicts and lists."""
    if isinstance(node, Range):
        yield node
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from ranges_in(value)


def at_ends(node: Any) -> list[Any]:
    """Copies of nested dicts and lists with an end in the place of each range: first the first
    ends, then the second ones, and so on. None if there is no range.
    """
    count = max((len(found.ends) for found in ranges_in(node)), default=0)
    return [_at_end(node, index) for index in range(count)]


def _at_end(node: Any, index: int) -> Any:
    if isinstance(node, Range):
        return node.ends[min(index, len(node.ends) - 1)]
    if isinstance(node, dict):
        return {key: _at_end(value, index) for key, value in node.items()}
    return [_at_end(value, index) for value in node] if isinstance(node, list) else node


def with_hints(problems: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """The problems of a refused config, each with what a misspelt range or grid may have meant.

    A problem begins with its key, as in `'model.dim' is {'unifrom': [1, 2]}; ...`.
    """
    meant = {f"'{path}' is ": words for path, words in _hints(config, "")}
    return [
        "; ".join(
            [problem, *(words for start, words in meant.items() if problem.startswith(start))]
        )
        for problem in problems
    ]


def hint(node: Any) -> str | None:
    """What a dict may have been meant to be where none is allowed: a misspelt range or grid."""
    if not isinstance(node, Mapping) or len(node) != 1:
        return None
    (name,) = node
    near = nearest(str(name), [*RANGES, "grid_search"])
    if near == name:
        return f"'{name}' takes a list"
    return f"nearest: '{near}'" if near else None


def _hints(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """The hint of each dict that has one, by its path."""
    if not isinstance(node, Mapping):
        return
    if path and (words := hint(node)):
        yield path, words
    for key, value in node.items():
        yield from _hints(value, f"{path}.{key}" if path else str(key))


def _bounds(name: str, low: Any, high: Any) -> list[Any]:
    """Both as Python's own numbers. Raises TuneError unless `low` is below `high`."""
    call = f"tune.{name}({low!r}, {high!r})"
    for bound in (low, high):
        if not is_number(bound) or not math.isfinite(bound):
            raise TuneError(f"{call}: {bound!r} is no finite number.")
    if low >= high:
        raise TuneError(f"{call}: the lower bound must be below the upper one.")
    return [bound.item() if isinstance(bound, np.generic) else bound for bound in (low, high)]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
