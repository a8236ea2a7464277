"""How an experiment's trials are chosen, compared and hosted: `scheduler`, `search_alg` and such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rltune.cli.params import flag_name
from rltune.cli.schedulers import make_scheduler, mutation_problems
from rltune.cli.searches import make_search
from rltune.config import ConfigError
from rltune.tune.experiment import Experiment
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.suggest import SearchAlgorithm
from rltune.tune.trial import Trial

ARGUMENTS_OF = {"scheduler": "scheduler_config", "search_alg": "search_config"}
"""Spec key that names a class -> spec key with what its constructor takes."""

TUNING_KEYS = ("scheduler", "scheduler_config", "search_alg", "search_config", "reuse_actors")
"""Keys of a spec that are arguments of `tune.run` and not of `Experiment`."""


@dataclass(frozen=True)
class Tuning:
    """What `tune.run` takes beside the experiment; None leaves it to its default."""

    scheduler: TrialScheduler | None
    search_alg: SearchAlgorithm | None
    reuse_actors: bool

    def describe(self) -> str:
        """As the banner says it: `, scheduler PopulationBasedTraining, actors reused`."""
        parts = [
            f", scheduler {type(self.scheduler).__name__}" if self.scheduler else "",
            f", search {type(self.search_alg).__name__}" if self.search_alg else "",
            ", actors reused" if self.reuse_actors else "",
        ]
        return "".join(parts)


def make_tuning(spec: Mapping[str, Any], experiment: Experiment, trials: Sequence[Trial]) -> Tuning:
    """What the TUNING_KEYS of a spec say.

    A search algorithm gets the ranges in the experiment's config, which then holds only the rest.
    `trials` are those of the experiment's grid. Raises ConfigError for every mistake in the keys.
    """
    for key, arguments in ARGUMENTS_OF.items():
        if arguments in spec and key not in spec:
            raise ConfigError(
                [f"{arguments} needs a {key}, by {flag_name(key)} NAME or in the file"]
            )
    scheduler, search_alg = None, None
    if "scheduler" in spec:
        arguments = spec.get("scheduler_config", {})
        scheduler = make_scheduler(spec["scheduler"], arguments)
        problems = [p for trial in trials for p in mutation_problems(arguments, trial)]
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)), "scheduler_config")
    if "search_alg" in spec:
        search_alg = make_search(
            spec["search_alg"], spec.get("search_config", {}), experiment, len(trials)
        )
    return Tuning(scheduler, search_alg, spec.get("reuse_actors", False))
