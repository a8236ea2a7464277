"""Search algorithms: which configurations are tried."""

from typing import Any

from rltune.tune.suggest.basic_variant import BasicVariantGenerator
from rltune.tune.suggest.search import SearchAlgorithm
from rltune.tune.suggest.suggestion import SuggestionAlgorithm

__all__ = ["SEARCH_ALGORITHMS", "BasicVariantGenerator", "SearchAlgorithm", "SuggestionAlgorithm"]

SEARCH_ALGORITHMS: dict[str, str] = {
    "Optuna": "rltune.tune.suggest.optuna:OptunaSearch",
    "HyperOpt": "rltune.tune.suggest.hyperopt:HyperOptSearch",
    "BayesOpt": "rltune.tune.suggest.bayesopt:BayesOptSearch",
    "Nevergrad": "rltune.tune.suggest.nevergrad:NevergradSearch",
    "Ax": "rltune.tune.suggest.ax:AxSearch",
    "SkOpt": "rltune.tune.suggest.skopt:SkOptSearch",
}
"""Each has `for_ranges(space, ...)`, and needs its library. Name -> "module:Class"."""

_MODULE_OF = {cls: module for module, cls in (w.split(":") for w in SEARCH_ALGORITHMS.values())}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        raise ImportError(f"{name} has moved: from {_MODULE_OF[name]} import {name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
