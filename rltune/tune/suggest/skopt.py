"""SkOptSearch: suggestions by scikit-optimize."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rltune.tune.ranges import Choice, LogUniform, RandInt, Range
from rltune.tune.suggest.library_search import (
    MAX_CONCURRENT,
    METRIC,
    Given,
    LibrarySearch,
    Outcome,
    native,
    one_thread,
    require,
)
from rltune.tune.suggest.range_space import RangeSpace, options

if TYPE_CHECKING:
    import skopt


class SkOptSearch(LibrarySearch):
    """A `skopt.Optimizer`. A trial that was stopped early is an observation; one in error is left
    out.

    Until it is told something new, the optimizer repeats its point. For trials that run at the same
    time a copy of it is asked, which was told the worst value so far for those that still run.

    Args:
        optimizer: a `skopt.Optimizer`; what it knows is kept. Give it a `random_state` if a resumed
            run is to go on alike.
        parameter_names: of its dimensions, in order.
        max_concurrent: how many trials may be unfinished at a time.
        reward_attr: the old way to say `metric`, with mode "max".
        metric, mode: what is optimized, "max" or "min".
        points_to_evaluate: lists of values to try first.
        evaluated_rewards: their values of the metric, if they are known: then they are not tried.

    Raises TypeError and ValueError for points and rewards that do not fit.
    """

    def __init__(
        self,
        optimizer: skopt.Optimizer,
        parameter_names: Sequence[str],
        max_concurrent: int = MAX_CONCURRENT,
        reward_attr: str | None = None,
        metric: str = METRIC,
        mode: str = "max",
        points_to_evaluate: Sequence[Sequence[Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
    ):
        require("skopt", "scikit-optimize", type(self).__name__)
        super().__init__(max_concurrent, reward_attr, metric, mode)
        self._check(parameter_names, points_to_evaluate, evaluated_rewards)
        given = Given(optimizer)
        self._make: Callable[[int], skopt.Optimizer] = lambda seed: given.take()
        self._names = list(parameter_names)
        points = [list(point) for point in points_to_evaluate or ()]
        self._first = points if evaluated_rewards is None else []
        self._rewards = [] if evaluated_rewards is None else list(evaluated_rewards)
        self._known = points if evaluated_rewards is not None else []
        self._ranges: RangeSpace | None = None

    @classmethod
    def for_ranges(
        cls,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        seed: int | None = None,
    ) -> SkOptSearch:
        """From what a file can say, with the library's default optimizer."""
        require("skopt", "scikit-optimize", cls.__name__)
        import skopt

        ranges = RangeSpace(space)
        dimensions = [_dimension(found) for found in ranges.ranges.values()]
        make = partial(skopt.Optimizer, dimensions)
        search = cls(make(), list(ranges.ranges), max_concurrent, None, metric, mode)
        search._ranges = ranges
        search._seed = search._seed if seed is None else seed
        search._make = lambda seed: make(random_state=seed)
        return search

    def _begin(self) -> None:
        self._optimizer = self._make(self._seed)
        self._pending: dict[int, list[Any]] = {}
        if self._known:
            with one_thread():
                self._optimizer.tell(self._known, [self._loss(value) for value in self._rewards])

    def _ask(self, number: int) -> list[Any]:
        if number < len(self._first):
            point = self._first[number]
        else:
            point = native(self._optimizer.ask())
        if point in self._pending.values():
            point = self._ask_beside(number)
        self._pending[number] = point
        return point

    def _ask_beside(self, number: int) -> list[Any]:
        """A point for a trial that runs beside those that are pending."""
        with one_thread():
            optimizer = self._optimizer.copy(random_state=self._seed_of(number))
            worst = max(optimizer.yi, default=0.0)
            optimizer.tell(list(self._pending.values()), [worst] * len(self._pending))
            point: list[Any] = native(optimizer.ask())
        return point

    def _replace(self, number: int, point: list[Any]) -> None:
        self._pending[number] = point

    def _tell(self, number: int, point: list[Any], outcome: Outcome) -> None:
        del self._pending[number]
        if outcome.value is not None:
            with one_thread():
                self._optimizer.tell(point, self._loss(outcome.value))

    def _config(self, point: list[Any]) -> dict[str, Any]:
        config = dict(zip(self._names, point, strict=True))
        return self._ranges.config(config) if self._ranges else config

    @staticmethod
    def _check(names: Any, points: Any, rewards: Any) -> None:
        for what, value in {
            "parameter_names": names,
            "points_to_evaluate": points if points is not None else [],
            "evaluated_rewards": rewards if rewards is not None else [],
        }.items():
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise TypeError(f"{what} must be a list, not {value!r}.")
        for point in points or ():
            if len(point) != len(names):
                raise ValueError(f"The point {point} must have values of {', '.join(names)}.")
        if rewards is not None and len(rewards) != len(points or ()):
            raise ValueError(
                f"There are {len(rewards)} evaluated_rewards for {len(points or ())} "
                "points_to_evaluate."
            )


def _dimension(found: Range) -> Any:
    """A range as a dimension of scikit-optimize."""
    from skopt.space import Categorical, Integer, Real

    if isinstance(found, Choice):
        return Categorical(list(options(found)))
    if isinstance(found, RandInt):
        return Integer(*found.ends)
    prior = "log-uniform" if isinstance(found, LogUniform) else "uniform"
    return Real(*found.ends, prior=prior)
