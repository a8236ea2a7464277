"""What a search space is written with: grids, drawn values, functions that are values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rltune.tune.error import TuneError


class sample_from:  # noqa: N801 (Tune's name)
    """A value drawn once per trial: `func(spec)`; `spec.config.x` is another value of the trial."""

    def __init__(self, func: Callable[[Any], Any]):
        self.func = func

    def __repr__(self) -> str:
        return f"tune.sample_from({getattr(self.func, '__name__', self.func)})"


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


def uniform(*args: Any, **kwargs: Any) -> sample_from:
    """`numpy.random.uniform(*args, **kwargs)`, drawn once per trial."""
    return sample_from(_Draw("uniform", args, kwargs))


def randint(*args: Any, **kwargs: Any) -> sample_from:
    """`numpy.random.randint(*args, **kwargs)`, drawn once per trial."""
    return sample_from(_Draw("randint", args, kwargs))


def randn(*args: Any, **kwargs: Any) -> sample_from:
    """`numpy.random.randn(*args, **kwargs)`, drawn once per trial."""
    return sample_from(_Draw("randn", args, kwargs))


def choice(a: int | Sequence[Any], *args: Any, **kwargs: Any) -> sample_from:
    """`numpy.random.choice(a, ...)`, drawn once per trial.

    The elements keep their own types: numpy would first make one array of them, `[1, "a"]` texts.
    """
    index = _Draw("choice", (a if isinstance(a, int) else len(a), *args), kwargs)
    return sample_from(index if isinstance(a, int) else _Pick(a, index))


class _Draw:
    """A call of a numpy random function, with a name that error messages can show."""

    def __init__(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.name, self.args, self.kwargs = name, args, kwargs
        self.__name__ = f"{name}{args}"

    def __call__(self, spec: Any) -> Any:
        value = getattr(np.random, self.name)(*self.args, **self.kwargs)
        return value.item() if isinstance(value, np.generic) else value


class _Pick:
    """The elements of `values` at the drawn position or positions."""

    def __init__(self, values: Sequence[Any], index: _Draw):
        self.values, self.index = values, index
        self.__name__ = f"choice({values})"

    def __call__(self, spec: Any) -> Any:
        index = self.index(spec)
        if isinstance(index, int):
            return self.values[index]
        return [self.values[i] for i in index.ravel()]
