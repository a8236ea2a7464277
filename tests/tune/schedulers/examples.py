"""One of each scheduler and a search, with seeds, that decide much in runs of `END` iterations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rltune import tune
from rltune.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)
from rltune.tune.suggest import SearchAlgorithm

END = 16
TIME = "training_iteration"


def pbt(**more: Any) -> PopulationBasedTraining:
    """Trials that have `x` in their config, as all of these."""
    return PopulationBasedTraining(
        TIME,
        metric="score",
        perturbation_interval=3,
        hyperparam_mutations={"x": tune.uniform(0.0, 10.0)},
        seed=3,
        **more,
    )


def asha() -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(
        TIME, metric="score", max_t=END, grace_period=2, reduction_factor=2, brackets=2, seed=1
    )


def median(**more: Any) -> MedianStoppingRule:
    return MedianStoppingRule(
        TIME, metric="score", grace_period=2, min_samples_required=2, verbose=False, **more
    )


def optuna() -> SearchAlgorithm:
    """Needs Optuna."""
    from rltune.tune.suggest.optuna import OptunaSearch

    return OptunaSearch({"x": tune.uniform(0.0, 1.0)}, max_concurrent=4, metric="score", seed=5)


SCHEDULERS: dict[str, Callable[[], TrialScheduler] | None] = {
    "pbt": pbt,
    "pbt-synch": lambda: pbt(synch=True),
    "asha": asha,
    "hyperband": lambda: HyperBandScheduler(TIME, metric="score", max_t=9),
    "median": median,
    "median-pauses": lambda: median(hard_stop=False),
    "optuna": None,
    "optuna-asha": asha,
}
"""By name; where that begins with `optuna`, the search belongs to it."""


def number_of_trials(name: str) -> int:
    """Enough for two brackets of HyperBand."""
    return 13 if name == "hyperband" else 8


def x_of(index: int) -> float:
    """Different good and bad settings, where no search gives them."""
    return (index * 5 % 8) / 8 + index / 100
