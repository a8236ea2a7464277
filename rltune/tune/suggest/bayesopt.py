"""BayesOptSearch: suggestions by bayesian-optimization, a Gaussian process over numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rltune.tune.ranges import Choice, LogUniform, RandInt
from rltune.tune.suggest.library_search import (
    MAX_CONCURRENT,
    METRIC,
    LibrarySearch,
    Outcome,
    native,
    one_thread,
    require,
)
from rltune.tune.suggest.range_space import RangeSpace, holds_ranges, options

UPPER_CONFIDENCE_BOUND = {"kind": "ucb", "kappa": 2.5, "xi": 0.0}


class BayesOptSearch(LibrarySearch):
    """A Gaussian process. Suggestions whose outcome is still unknown stand in it with the mean of
    the known ones, so that trials that run at the same time differ. A trial that was stopped early
    is an observation; one in error is left out.

    Args:
        space: `{name: (low, high)}`, or ranges: a loguniform is searched by its logarithm, a choice
            by its position, which suits numbers in order.
        max_concurrent: how many trials may be unfinished at a time.
        reward_attr: the old way to say `metric`, with mode "max".
        metric, mode: what is optimized, "max" or "min".
        utility_kwargs: how a point's promise is measured: `kind` ("ucb", "ei", "poi"), `kappa`,
            `xi`. Required.
        random_state: seed of the suggestions.
        verbose: of the library.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        reward_attr: str | None = None,
        metric: str = METRIC,
        mode: str = "max",
        utility_kwargs: Mapping[str, Any] | None = None,
        random_state: int | None = 1,
        verbose: int = 0,
    ):
        require("bayes_opt", "bayesian-optimization", type(self).__name__)
        assert utility_kwargs is not None, (
            f"utility_kwargs must say how promise is measured, such as {UPPER_CONFIDENCE_BOUND}."
        )
        super().__init__(max_concurrent, reward_attr, metric, mode, random_state)
        self._ranges = RangeSpace(space) if holds_ranges(space) else None
        self._bounds: dict[str, Any] = dict(space)
        if self._ranges is not None:
            self._bounds = {name: _bounds(found) for name, found in self._ranges.ranges.items()}
        self._utility = dict(utility_kwargs)
        self._verbose = verbose

    @classmethod
    def for_ranges(
        cls,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        utility_kwargs: Mapping[str, Any] | None = None,
        random_state: int | None = 1,
    ) -> BayesOptSearch:
        """From what a file can say; `utility_kwargs` has a default here."""
        utility = UPPER_CONFIDENCE_BOUND if utility_kwargs is None else utility_kwargs
        return cls(space, max_concurrent, None, metric, mode, utility, random_state)

    def _begin(self) -> None:
        self._observed: list[tuple[dict[str, float], float]] = []
        self._pending: dict[int, dict[str, float]] = {}

    def _ask(self, number: int) -> dict[str, float]:
        import bayes_opt

        optimizer = bayes_opt.BayesianOptimization(
            None,
            self._bounds,
            random_state=self._seed_of(number),
            verbose=self._verbose,
            allow_duplicate_points=True,
        )
        known = list(self._observed)
        if known:
            mean = float(np.mean([value for _, value in known]))
            known += [(point, mean) for point in self._pending.values()]
        for point, value in known:
            optimizer.register(point, value)
        with one_thread():
            suggested = optimizer.suggest(bayes_opt.UtilityFunction(**self._utility))
        self._pending[number] = native(suggested)
        return self._pending[number]

    def _ask_again(self, number: int, point: dict[str, float]) -> bool:
        self._pending[number] = point
        return True

    def _tell(self, number: int, point: dict[str, float], outcome: Outcome) -> None:
        del self._pending[number]
        if outcome.value is not None:
            self._observed.append((point, -self._loss(outcome.value)))

    def _config(self, point: dict[str, float]) -> dict[str, Any]:
        if self._ranges is None:
            return dict(point)
        ranges = self._ranges.ranges
        return self._ranges.config({name: _value(ranges[name], x) for name, x in point.items()})


def _bounds(found: Any) -> tuple[float, float]:
    """The interval in which a range is searched; each whole number and each option has 1 of it."""
    if isinstance(found, Choice):
        return 0.0, float(len(options(found)))
    if isinstance(found, RandInt):
        return float(found.low), float(found.high)
    low, high = found.ends
    return (math.log(low), math.log(high)) if isinstance(found, LogUniform) else (low, high)


def _value(found: Any, x: float) -> Any:
    """What a number of that interval stands for."""
    if isinstance(found, Choice):
        listed = list(options(found))
        return listed[min(int(x), len(listed) - 1)]
    if isinstance(found, RandInt):
        return math.floor(x)
    return math.exp(x) if isinstance(found, LogUniform) else x
