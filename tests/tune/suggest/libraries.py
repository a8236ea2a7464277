"""The searches of all libraries, and what a test needs to talk to one without a run."""

from __future__ import annotations

import importlib
import importlib.util
import json
from typing import Any

import pytest

from rltune import tune
from rltune.tune.suggest import SEARCH_ALGORITHMS
from rltune.tune.suggest.library_search import LibrarySearch

PACKAGES = {
    "Optuna": "optuna",
    "HyperOpt": "hyperopt",
    "BayesOpt": "bayes_opt",
    "Nevergrad": "nevergrad",
    "SkOpt": "skopt",
    "Ax": "ax",
}
SPACE = {
    "x": tune.uniform(-10.0, 10.0),
    "inner": {"rate": tune.loguniform(1e-4, 1.0), "size": tune.randint(1, 9)},
    "kind": tune.choice(["a", [1, 2], None]),
}


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test whose library is not installed."""
    missing = importlib.util.find_spec(PACKAGES[name]) is None
    return pytest.mark.skipif(missing, reason=f"{PACKAGES[name]} is not installed")


every_library = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs(name)) for name in SEARCH_ALGORITHMS]
)


def class_of(name: str) -> Any:
    module, cls = SEARCH_ALGORITHMS[name].split(":")
    return getattr(importlib.import_module(module), cls)


def make(name: str, seed: int | None = 1, space: Any = None, **arguments: Any) -> LibrarySearch:
    """A search over SPACE for the smallest `loss`, three trials at a time."""
    arguments = {"max_concurrent": 3, "metric": "loss", "mode": "min", **arguments}
    arguments["random_state" if name == "BayesOpt" else "seed"] = seed
    search: LibrarySearch = class_of(name).for_ranges(space or SPACE, **arguments)
    return search


def loss_of(config: dict[str, Any]) -> float:
    return float((config["x"] - 3) ** 2)


class Trials:
    """Trials `t0`, `t1`, ... of a search, the oldest of which ends when there must be room."""

    def __init__(self, search: LibrarySearch):
        self.search = search
        self.live: list[tuple[str, dict[str, Any]]] = []
        self.count = 0

    def ask(self, number: int) -> list[dict[str, Any]]:
        """The configs of so many trials. Of five, one is stopped early and one fails."""
        return [self._ask() for _ in range(number)]

    def resumed(self, search: LibrarySearch) -> Trials:
        """The same trials of a search that takes over the state of this one as JSON holds it."""
        search.set_state(json.loads(json.dumps(self.search.get_state(), allow_nan=False)))
        other = Trials(search)
        other.live, other.count = list(self.live), self.count
        return other

    def end_oldest(self) -> None:
        trial_id, config = self.live.pop(0)
        number = int(trial_id[1:])
        result = {"loss": loss_of(config), "training_iteration": number % 3 + 1}
        if number % 5 == 2:
            self.search.on_trial_result(trial_id, result)
            self.search.on_trial_complete(trial_id, early_terminated=True)
        elif number % 5 == 3:
            self.search.on_trial_complete(trial_id, error=True)
        else:
            self.search.on_trial_complete(trial_id, result=result)

    def _ask(self) -> dict[str, Any]:
        trial_id = f"t{self.count}"
        while (config := self.search._suggest(trial_id)) is None:
            self.end_oldest()
        self.count += 1
        self.live.append((trial_id, config))
        return config
