"""BasicVariantGenerator: grids and random samples."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from rltune.config import ConfigError
from rltune.tune.experiment import Experiment
from rltune.tune.suggest.search import SearchAlgorithm
from rltune.tune.suggest.variant_generator import format_vars, generate_variants
from rltune.tune.trial import Trial
from rltune.tune.trial_factory import VARIABLE_PARTS, create_trial


class BasicVariantGenerator(SearchAlgorithm):
    """Every variant of every experiment, `num_samples` times; all at the first call.

    Args:
        shuffle: in random order.
    """

    def __init__(self, shuffle: bool = False):
        self._shuffle = shuffle
        self._experiments: list[Experiment] = []
        self._count = 0
        self._samples: dict[str, int] = {}  # how many of an experiment's samples have been made

    def add_configurations(self, experiments: Sequence[Experiment]) -> None:
        self._experiments += experiments
        for experiment in experiments:
            self._samples.pop(experiment.name, None)

    def next_trials(self) -> list[Trial]:
        """All trials. Raises ConfigError with the problems of all of them."""
        experiments, self._experiments = self._experiments, []
        trials: list[Trial] = []
        problems: dict[str, None] = {}
        for experiment in experiments:
            for spec, tag, variables in self._variants(experiment):
                try:
                    trials.append(create_trial(spec, experiment.checkpoint_dir, tag, variables))
                except ConfigError as error:
                    problems.update(dict.fromkeys(error.problems))
        if problems:
            raise ConfigError(list(problems))
        if self._shuffle:
            random.shuffle(trials)
        return trials

    def is_finished(self) -> bool:
        return not self._experiments

    def get_state(self) -> dict[str, Any]:
        return {"trials": self._count, "samples": self._samples}

    def set_state(self, state: dict[str, Any]) -> None:
        self._count, self._samples = state["trials"], dict(state["samples"])
        self._experiments = [
            e for e in self._experiments if self._samples.get(e.name, 0) < e.spec["num_samples"]
        ]

    def _variants(
        self, experiment: Experiment
    ) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
        """(resolved spec, tag, variables by dotted name) of each trial."""
        unresolved = {key: experiment.spec[key] for key in VARIABLE_PARTS}
        made, wanted = self._samples.get(experiment.name, 0), experiment.spec["num_samples"]
        self._samples[experiment.name] = max(made, wanted)
        for _ in range(made, wanted):
            for variables, resolved in generate_variants(unresolved):
                text = format_vars(variables)
                tag = f"{self._count}_{text}" if text else str(self._count)
                self._count += 1
                named = {"/".join(map(str, path[1:])): v for path, v in variables.items()}
                yield {**experiment.spec, **resolved}, tag, named
