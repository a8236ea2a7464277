"""The schedulers that flags and files name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rltune.cli.named import find_class, make
from rltune.config import ConfigError
from rltune.tune.error import TuneError
from rltune.tune.ranges import Range, with_hints
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.schedulers.explore import check_config, checked
from rltune.tune.trial import Trial

SCHEDULERS = {
    "FIFO": "rltune.tune.schedulers:FIFOScheduler",
    "MedianStopping": "rltune.tune.schedulers:MedianStoppingRule",
    "AsyncHyperBand": "rltune.tune.schedulers:AsyncHyperBandScheduler",
    "HyperBand": "rltune.tune.schedulers:HyperBandScheduler",
    "PBT": "rltune.tune.schedulers:PopulationBasedTraining",
}
"""What a person types (in any case) -> the class."""

MUTATIONS = "hyperparam_mutations"
"""The argument that says which keys of a config a scheduler changes."""


def make_scheduler(name: str, arguments: Mapping[str, Any]) -> TrialScheduler:
    """A new scheduler. Raises ConfigError for an unknown name or argument, or one it refuses."""
    cls = find_class("scheduler", name, SCHEDULERS)
    scheduler: TrialScheduler = make("scheduler_config", cls, arguments)
    return scheduler


def mutation_problems(arguments: Mapping[str, Any], trial: Trial) -> Iterator[str]:
    """What is wrong with the values that a scheduler made with `arguments` may give a trial."""
    mutations = checked(arguments.get(MUTATIONS, {}))
    try:
        check_config(trial.config, mutations)
    except TuneError as error:
        yield f"{MUTATIONS}: {error}"
        return
    trainable = trial.get_trainable_cls()
    for path, values in _mutated(mutations, ()):
        for value in values:
            config = _with(trial.config, path, value)
            try:
                trainable.validate_config(config)
            except ConfigError as error:
                for problem in with_hints(error.problems, config):
                    yield f"{MUTATIONS}: {'.'.join(path)} {value!r}: {problem}"


def _mutated(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Every mutated key with the ends of its range, or its values."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _mutated(value, (*path, key))
    else:
        yield path, node.ends if isinstance(node, Range) else node


def _with(config: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of `config` with one value replaced."""
    key, *deeper = path
    if deeper:
        inner = config.get(key)
        value = _with(inner if isinstance(inner, dict) else {}, tuple(deeper), value)
    return {**config, key: value}
