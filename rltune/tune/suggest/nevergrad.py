"""NevergradSearch: suggestions by Nevergrad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rltune.config import nearest
from rltune.tune.ranges import Choice, LogUniform, RandInt, Range
from rltune.tune.suggest.library_search import (
    MAX_CONCURRENT,
    METRIC,
    Given,
    LibrarySearch,
    Outcome,
    native,
    require,
)
from rltune.tune.suggest.range_space import RangeSpace, options
from rltune.tune.suggest.suggestion import check_limit

if TYPE_CHECKING:
    import nevergrad

# Works with few trials, many at a time, and with choices among the ranges.
DEFAULT_OPTIMIZER = "OnePlusOne"


class NevergradSearch(LibrarySearch):
    """An optimizer of `nevergrad.optimizers`. A trial that was stopped early is an observation; one
    in error is left out.

    Args:
        optimizer: an object of `nevergrad.optimizers`, over `nevergrad.p.Instrumentation` with
            keywords, `nevergrad.p.Dict`, or a plain array.
        parameter_names: of an array's elements, in order; None for the others, which have names.
        max_concurrent: how many trials may be unfinished at a time.
        reward_attr: the old way to say `metric`, with mode "max".
        metric, mode: what is optimized, "max" or "min".
        seed: of the suggestions, unless the optimizer's parametrization has a `random_state`
            already; a resumed run then goes on alike if it is seeded.

    Raises ValueError for names that do not fit the optimizer.
    """

    def __init__(
        self,
        optimizer: nevergrad.optimizers.base.Optimizer,
        parameter_names: Sequence[str] | None = None,
        max_concurrent: int = MAX_CONCURRENT,
        reward_attr: str | None = None,
        metric: str = METRIC,
        mode: str = "max",
        seed: int | None = None,
    ):
        require("nevergrad", "nevergrad", type(self).__name__)
        super().__init__(max_concurrent, reward_attr, metric, mode, seed)
        # Asked first: to look at its parameters gives it one.
        self._is_seeded = optimizer.parametrization._random_state is not None
        _check_names(optimizer, parameter_names)
        self._given = Given(optimizer)
        self._names = parameter_names
        self._ranges: RangeSpace | None = None

    @classmethod
    def for_ranges(
        cls,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        optimizer: str = DEFAULT_OPTIMIZER,
        budget: int | None = None,
        seed: int | None = None,
    ) -> NevergradSearch:
        """From what a file can say.

        Args:
            optimizer: a name in `nevergrad.optimizers.registry`.
            budget: the number of trials, which some optimizers need.

        Raises ValueError for a name that is not there.
        """
        require("nevergrad", "nevergrad", cls.__name__)
        import nevergrad

        check_limit(max_concurrent)
        registry = nevergrad.optimizers.registry
        if optimizer not in registry:
            raise ValueError(
                f"Nevergrad has no optimizer {optimizer!r}; nearest: "
                f"{nearest(optimizer, registry)!r}."
            )
        ranges = RangeSpace(space)
        parameters = {name: _parameter(found) for name, found in ranges.ranges.items()}
        made = registry[optimizer](nevergrad.p.Dict(**parameters), budget, max_concurrent)
        search = cls(made, None, max_concurrent, None, metric, mode, seed)
        search._ranges = ranges
        return search

    def _begin(self) -> None:
        self._optimizer = self._given.take()
        self._candidates: dict[int, Any] = {}
        if not self._is_seeded:
            self._optimizer.parametrization.random_state = np.random.RandomState(self._seed)

    def _ask(self, number: int) -> Any:
        self._candidates[number] = self._optimizer.ask()
        return self._point(number)

    def _replace(self, number: int, point: Any) -> None:
        value: Any = ((), point) if _is_instrumented(self._optimizer) else point
        value = value if self._names is None else np.array(point)
        self._candidates[number] = self._optimizer.parametrization.spawn_child(new_value=value)

    def _tell(self, number: int, point: Any, outcome: Outcome) -> None:
        candidate = self._candidates.pop(number)
        if outcome.value is not None:
            self._optimizer.tell(candidate, self._loss(outcome.value))

    def _point(self, number: int) -> Any:
        candidate = self._candidates[number]
        return native(candidate.kwargs if _is_instrumented(self._optimizer) else candidate.value)

    def _config(self, point: Any) -> dict[str, Any]:
        if self._names is not None:
            return dict(zip(self._names, point, strict=True))
        return self._ranges.config(point) if self._ranges else dict(point)


def _is_instrumented(optimizer: Any) -> bool:
    import nevergrad

    return isinstance(optimizer.parametrization, nevergrad.p.Instrumentation)


def _check_names(optimizer: Any, names: Sequence[str] | None) -> None:
    import nevergrad

    parametrization = optimizer.parametrization
    if isinstance(parametrization, nevergrad.p.Array):
        if names is None or len(names) != optimizer.dimension:
            raise ValueError(
                f"The optimizer is over an array of {optimizer.dimension} numbers: parameter_names "
                f"must name each of them, not {names!r}."
            )
    elif names is not None:
        raise ValueError("The optimizer's parameters have names: parameter_names must be None.")
    elif not isinstance(parametrization, nevergrad.p.Instrumentation | nevergrad.p.Dict):
        raise ValueError("The optimizer must be over an Instrumentation, a Dict or an array.")
    elif isinstance(parametrization, nevergrad.p.Instrumentation) and parametrization.args:
        raise ValueError("The optimizer's Instrumentation must have keywords only.")


def _parameter(found: Range) -> Any:
    """A range as Nevergrad's parameter."""
    import nevergrad

    if isinstance(found, Choice):
        return nevergrad.p.Choice(list(options(found)))
    low, high = found.ends
    if isinstance(found, LogUniform):
        return nevergrad.p.Log(lower=low, upper=high)
    scalar = nevergrad.p.Scalar(lower=low, upper=high)
    return scalar.set_integer_casting() if isinstance(found, RandInt) else scalar
