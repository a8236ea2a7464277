"""AxSearch: suggestions by Ax."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
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
    number_in,
    require,
)
from rltune.tune.suggest.range_space import RangeSpace, options

if TYPE_CHECKING:
    from ax.service.ax_client import AxClient

log = logging.getLogger(__name__)


class AxSearch(LibrarySearch):
    """An `ax.service.ax_client.AxClient`, which says what is optimized: its objective, and its
    constraints, are fields of results. Their noise is for Ax to infer. A trial that was stopped
    early is an observation.

    Args:
        ax_client: with an experiment. Give it a `random_seed` if a resumed run is to go on alike: it
            is asked again for all that it had suggested, which takes it as long as the first time.
        max_concurrent: how many trials may be unfinished at a time; 1 if the client enforces
            sequential optimization. What Ax itself allows may be less.
    """

    def __init__(self, ax_client: AxClient, max_concurrent: int = MAX_CONCURRENT):
        require("ax", "ax-platform", type(self).__name__)
        names = list(ax_client.objective_names)
        assert len(names) == 1, f"AxSearch optimizes one objective, not {names}."
        if ax_client._enforce_sequential_optimization and max_concurrent != 1:
            log.warning("The Ax client enforces sequential optimization: max_concurrent is 1.")
            max_concurrent = 1
        optimized = ax_client.experiment.optimization_config
        assert optimized is not None, "The Ax client's experiment says nothing to optimize."
        mode = "min" if optimized.objective.minimize else "max"
        super().__init__(max_concurrent, None, names[0], mode)
        given = Given(ax_client)
        self._make: Callable[[int], AxClient] = lambda seed: given.take()
        self._metrics = sorted(ax_client.metric_names)
        self._ranges: RangeSpace | None = None

    @classmethod
    def for_ranges(
        cls,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        seed: int | None = None,
    ) -> AxSearch:
        """From what a file can say, with the client's defaults."""
        require("ax", "ax-platform", cls.__name__)
        ranges = RangeSpace(space)
        make = partial(_client, ranges, metric, mode)
        search = cls(make(seed), max_concurrent)
        search._ranges = ranges
        search._seed = search._seed if seed is None else seed
        search._make = make
        return search

    def _begin(self) -> None:
        self._client = self._make(self._seed)
        self._indices: dict[int, int] = {}

    def _ask(self, number: int) -> dict[str, Any] | None:
        from ax.exceptions.core import DataRequiredError
        from ax.exceptions.generation_strategy import MaxParallelismReachedException

        try:
            parameters, self._indices[number] = self._client.get_next_trial()
        except (DataRequiredError, MaxParallelismReachedException):
            if not self._indices:
                raise
            return None
        return dict(native(parameters))

    def _replace(self, number: int, point: dict[str, Any]) -> None:
        self._client.abandon_trial(self._indices[number])
        _, self._indices[number] = self._client.attach_trial(point)

    def _tell(self, number: int, point: dict[str, Any], outcome: Outcome) -> None:
        index = self._indices.pop(number)
        if outcome.value is None:
            self._client.log_trial_failure(index)
        else:
            self._client.complete_trial(index, outcome.value)

    def _value_in(self, result: Mapping[str, Any]) -> dict[str, float] | None:
        values = {name: number_in(result, name) for name in self._metrics}
        finite = {name: value for name, value in values.items() if value is not None}
        return finite if len(finite) == len(values) else None

    def _config(self, point: dict[str, Any]) -> dict[str, Any]:
        return self._ranges.config(point) if self._ranges else dict(point)


def _client(space: RangeSpace, metric: str, mode: str, seed: int | None) -> AxClient:
    from ax.service.ax_client import AxClient
    from ax.service.utils.instantiation import ObjectiveProperties

    client = AxClient(
        enforce_sequential_optimization=False, random_seed=seed, verbose_logging=False
    )
    client.create_experiment(
        parameters=[_parameter(name, found) for name, found in space.ranges.items()],
        objectives={metric: ObjectiveProperties(minimize=mode == "min")},
    )
    return client


def _parameter(name: str, found: Range) -> dict[str, Any]:
    """A range as Ax's parameter."""
    if isinstance(found, Choice):
        values = list(options(found))
        ordered = all(type(value) in (int, float) for value in values)
        if len(values) == 1:
            return {"name": name, "type": "fixed", "value": values[0]}
        return {
            "name": name,
            "type": "choice",
            "values": sorted(values) if ordered else values,
            "is_ordered": ordered,
            "sort_values": ordered,
        }
    return {
        "name": name,
        "type": "range",
        "bounds": found.ends,
        "value_type": "int" if isinstance(found, RandInt) else "float",
        "log_scale": isinstance(found, LogUniform),
    }
