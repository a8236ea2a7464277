"""What a search space is written with: grids, drawn values, functions that are values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rltune.tune.error import TuneError
from rltune.tune.ranges import Choice, LogUniform, RandInt, Uniform, is_number, sample_from

__all__ = [
    "choice",
    "function",
    "grid_search",
    "loguniform",
    "randint",
    "randn",
    "sample_from",
    "uniform",
]


class function:  # noqa: N801 (Tune's name)
    """A function that is itself the value: it reaches the trial as it is, and can be called."""

    def __init__(self, func: Callable[..., Any]):
        if not callable(func):
            raise TuneError(f"tune.function takes a function, not {func!r}.")
        self.func = func

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)

    def __repr__(self) -> str:
        return f"tune.function({getattr(self.func, '__name__', self.func)})"


def check_grid(values: Any) -> list[Any]:
    """`values` as the axis of a grid. Raises TuneError unless it is a list with something in it."""
    if not isinstance(values, list) or not values:
        raise TuneError(f"grid_search takes a list of at least one value, not {values!r}.")
    return values


def grid_search(values: list[Any]) -> dict[str, list[Any]]:
    """One trial per value (and per combination with other grids).

    Raises TuneError for anything but a list.
    """
    return {"grid_search": check_grid(values)}


def uniform(low: Any = 0.0, high: Any = None, size: Any = None) -> sample_from:
    """A number from `low` to `high` (default 1), all alike likely; drawn once per trial.

    `numpy.random.uniform` draws it, and takes arrays and a `size` too; those have no bounds.
    Raises TuneError for two bounds of which the first is not below the second.
    """
    one_bound = high is None  # numpy then takes `low` for the upper one if it is above 1
    high = 1.0 if one_bound else high
    if size is not None or not (is_number(low) and is_number(high)) or one_bound and low >= high:
        return sample_from(_Draw("uniform", low, high, size))
    return Uniform(low, high)


def loguniform(low: float, high: float) -> LogUniform:
    """A number from `low` to `high`, each order of magnitude alike likely; drawn once per trial.

    Raises TuneError unless 0 < low < high.
    """
    return LogUniform(low, high)


def randint(low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> sample_from:
    """A whole number from `low` to `high` - 1, or from 0 to `low` - 1; drawn once per trial.

    `numpy.random.randint` draws it, and takes arrays, a `size` and a `dtype` too; those have no
    bounds. Raises TuneError for two bounds of which the first is not below the second.
    """
    low, high = (0, low) if high is None else (low, high)
    if size is not None or dtype is not int or not (is_number(low) and is_number(high)):
        return sample_from(_Draw("randint", low, high, size, dtype))
    return RandInt(low, high)


def randn(*args: int) -> sample_from:
    """`numpy.random.randn(*args)`, drawn once per trial."""
    return sample_from(_Draw("randn", *args))


def choice(a: Any, size: Any = None, replace: bool = True, p: Any = None) -> sample_from:
    """One of the elements of `a`, or of the numbers below it; drawn once per trial.

    `numpy.random.choice` draws it, and takes `size`, `replace` and `p` too; those have no bounds.
    The elements keep their own types: numpy would first make one array of them, `[1, "a"]` texts.
    Raises TuneError if there is nothing to choose from.
    """
    bounded = size is None and p is None
    if isinstance(a, int | np.integer):
        return RandInt(0, int(a)) if bounded else sample_from(_Draw("choice", a, size, replace, p))
    # The numbers of an array as Python's own.
    values = a.tolist() if isinstance(a, np.ndarray) else list(a)
    if bounded:
        return Choice(*values)
    return sample_from(_Pick(values, _Draw("choice", len(values), size, replace, p)))


class _Draw:
    """A call of a numpy random function, with a name that error messages can show."""

    def __init__(self, name: str, *args: Any):
        self.name, self.args = name, args
        self.__name__ = f"{name}{args}"

    def __call__(self, spec: Any) -> Any:
        value = getattr(np.random, self.name)(*self.args)
        return value.item() if isinstance(value, np.generic) else value


class _Pick:
    """The elements of `values` at the drawn position or positions."""

    def __init__(self, values: list[Any], index: _Draw):
        self.values, self.index = values, index
        self.__name__ = f"choice({values})"

    def __call__(self, spec: Any) -> Any:
        index = self.index(spec)
        if isinstance(index, int):
            return self.values[index]
        return [self.values[i] for i in index.ravel()]
