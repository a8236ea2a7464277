"""OptunaSearch: suggestions by Optuna."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rltune.tune.ranges import Choice, LogUniform, RandInt, Range
from rltune.tune.suggest.library_search import (
    MAX_CONCURRENT,
    METRIC,
    LibrarySearch,
    Outcome,
    native,
    require,
)
from rltune.tune.suggest.range_space import RangeSpace, options

if TYPE_CHECKING:
    import optuna


class OptunaSearch(LibrarySearch):
    """Optuna's samplers, of which TPE is the default.

    A trial that was stopped early is PRUNED, with its last value at its last iteration: TPE then
    ranks it below all that ran to their end, and among its like the longer one first, rather than
    comparing values of different iterations. A failed one is FAIL, which samplers leave out.

    Args:
        space: `{"lr": tune.loguniform(1e-5, 1e-2), "model": {...}}`; Optuna's distributions may
            stand for ranges.
        max_concurrent: how many trials may be unfinished at a time.
        metric, mode: what is optimized, "max" or "min".
        sampler: of `optuna.samplers`. Give it a seed if a resumed run is to go on alike: it is
            asked again for all that it had suggested.
        seed: of the default sampler.
        points_to_evaluate: configs to try first; what they leave out is sampled.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        sampler: optuna.samplers.BaseSampler | None = None,
        seed: int | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    ):
        require("optuna", "optuna", type(self).__name__)
        import optuna

        super().__init__(max_concurrent, None, metric, mode, seed)
        self._space = RangeSpace(space, (optuna.distributions.BaseDistribution,))
        self._distributions = {n: _distribution(r) for n, r in self._space.ranges.items()}
        self._first = [self._space.point(point) for point in points_to_evaluate or ()]
        self._sampler = sampler

    @classmethod
    def for_ranges(
        cls,
        space: Mapping[str, Any],
        max_concurrent: int = MAX_CONCURRENT,
        metric: str = METRIC,
        mode: str = "max",
        seed: int | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    ) -> OptunaSearch:
        """From what a file can say."""
        return cls(space, max_concurrent, metric, mode, None, seed, points_to_evaluate)

    def _begin(self) -> None:
        import optuna

        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study is of no interest here
        try:
            self._study = optuna.create_study(
                direction="maximize" if self.mode == "max" else "minimize",
                sampler=copy.deepcopy(self._sampler),
            )
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._open: dict[int, optuna.Trial] = {}

    def _ask(self, number: int) -> dict[str, Any]:
        import optuna

        if self._sampler is None:
            self._study.sampler = optuna.samplers.TPESampler(seed=self._seed_of(number))
        if number < len(self._first):
            self._study.enqueue_trial(self._first[number])
        self._open[number] = self._study.ask(self._distributions)
        return {name: native(value) for name, value in self._open[number].params.items()}

    def _ask_again(self, number: int, point: dict[str, Any]) -> bool:
        if self._sampler is not None:
            return super()._ask_again(number, point)
        self._put(number, point)
        return True

    def _replace(self, number: int, point: dict[str, Any]) -> None:
        import optuna

        self._study.tell(self._open[number], state=optuna.trial.TrialState.FAIL)
        self._put(number, point)

    def _put(self, number: int, point: dict[str, Any]) -> None:
        """A trial with this point, whatever the sampler would say."""
        import optuna

        sampler, self._study.sampler = self._study.sampler, optuna.samplers.RandomSampler()
        self._study.enqueue_trial(point)
        self._open[number] = self._study.ask(self._distributions)
        self._study.sampler = sampler

    def _tell(self, number: int, point: dict[str, Any], outcome: Outcome) -> None:
        from optuna.trial import TrialState

        trial = self._open.pop(number)
        if outcome.value is None:
            self._study.tell(trial, state=TrialState.FAIL)
        elif outcome.early:
            trial.report(outcome.value, outcome.step)
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, outcome.value)

    def _config(self, point: dict[str, Any]) -> dict[str, Any]:
        return self._space.config(point)


def _distribution(found: Any) -> Any:
    """A range as Optuna's; what is Optuna's already, as it is."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(found, Range):
        return found
    if isinstance(found, Choice):
        return CategoricalDistribution(list(options(found)))
    if isinstance(found, RandInt):
        return IntDistribution(*found.ends)
    low, high = found.ends
    return FloatDistribution(low, high, log=isinstance(found, LogUniform))
