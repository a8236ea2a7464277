"""HyperOptSearch: suggestions by HyperOpt's tree of Parzen estimators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rltune.tune.ranges import Choice, LogUniform, RandInt, Range
from rltune.tune.suggest.library_search import (
    MAX_CONCURRENT,
    METRIC,
    LibrarySearch,
    Outcome,
    native,
    require,
)
from rltune.tune.suggest.range_space import RangeSpace, holds_ranges, options


class HyperOptSearch(LibrarySearch):
    """TPE. A trial that was stopped early is an observation; one in error is left out.

    Args:
        space: dict of `hp.*` expressions, or of ranges such as `tune.uniform(0, 1)`.
        max_concurrent: how many trials may be unfinished at a time.
        reward_attr: the old way to say `metric`, with mode "max".
        metric, mode: what is optimized, "max" or "min".
        points_to_evaluate: what to try first, in this order: values by label, of an `hp.choice` its
            index; configs where the space has ranges.
        seed: of the suggestions.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        reward_attr: str | None = None,
        metric: str = METRIC,
        mode: str = "max",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ):
        require("hyperopt", "hyperopt", type(self).__name__)
        super().__init__(max_concurrent, reward_attr, metric, mode, seed)
        self._ranges = RangeSpace(space) if holds_ranges(space) else None
        self._space: dict[str, Any] = dict(space)
        self._first = list(points_to_evaluate or ())
        if self._ranges is not None:
            self._space = {n: _expression(n, r) for n, r in self._ranges.ranges.items()}
            self._first = [_indexed(self._ranges, point) for point in self._first]

    @classmethod
    def for_ranges(
        cls,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> HyperOptSearch:
        """From what a file can say; `points_to_evaluate` are configs."""
        return cls(space, max_concurrent, None, metric, mode, points_to_evaluate, seed)

    def _begin(self) -> None:
        import hyperopt

        self._domain = hyperopt.Domain(lambda config: config, self._space)
        self._trials = hyperopt.Trials()
        self._documents: dict[int, dict[str, Any]] = {}

    def _ask(self, number: int) -> dict[str, Any]:
        """The values of a point by label, each in a list that is empty where it has no part."""
        import hyperopt

        is_first = number < len(self._first)
        suggest = (
            hyperopt.rand.suggest if is_first else partial(hyperopt.tpe.suggest, verbose=False)
        )
        [document] = suggest([number], self._domain, self._trials, self._seed_of(number))
        point: dict[str, Any] = native(document["misc"]["vals"])
        if is_first:
            first = {label: [value] for label, value in self._first[number].items()}
            # Branches that a given point does not take have no values; ranges have no branches.
            point = {**(point if self._ranges else dict.fromkeys(point, [])), **first}
        self._put(number, point)
        return point

    def _ask_again(self, number: int, point: dict[str, Any]) -> bool:
        self._put(number, point)
        return True

    def _put(self, number: int, point: dict[str, Any]) -> None:
        misc = {
            "tid": number,
            "cmd": self._domain.cmd,
            "workdir": self._domain.workdir,
            "idxs": {label: [number] * len(values) for label, values in point.items()},
            "vals": point,
        }
        documents = self._trials.new_trial_docs(
            [number], [None], [self._domain.new_result()], [misc]
        )
        [self._documents[number]] = documents
        self._trials.insert_trial_docs(documents)
        self._trials.refresh()

    def _tell(self, number: int, point: dict[str, Any], outcome: Outcome) -> None:
        import hyperopt

        document = self._documents.pop(number)
        if outcome.value is None:
            document["state"] = hyperopt.JOB_STATE_ERROR
        else:
            document["state"] = hyperopt.JOB_STATE_DONE
            loss = self._loss(outcome.value)
            document["result"] = {"loss": loss, "status": hyperopt.STATUS_OK}
        self._trials.refresh()

    def _config(self, point: dict[str, Any]) -> dict[str, Any]:
        import hyperopt

        values = {label: value for label, found in point.items() for value in found}
        config: dict[str, Any] = native(hyperopt.space_eval(self._space, values))
        return self._ranges.config(config) if self._ranges else config


def _expression(name: str, found: Range) -> Any:
    """A range as HyperOpt's."""
    from hyperopt import hp

    if isinstance(found, Choice):
        return hp.choice(name, list(options(found)))
    if isinstance(found, RandInt):
        return hp.randint(name, found.low, found.high)
    low, high = found.ends
    if isinstance(found, LogUniform):
        return hp.loguniform(name, math.log(low), math.log(high))
    return hp.uniform(name, low, high)


def _indexed(space: RangeSpace, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as HyperOpt's point: of each choice the index."""
    point = space.point(config)
    for name, value in point.items():
        if isinstance(space.ranges[name], Choice):
            point[name] = list(options(space.ranges[name])).index(value)
    return point
