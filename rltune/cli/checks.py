"""What can be found wrong with an experiment before anything starts."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rltune import registry
from rltune.checkpoint import MANIFEST, CheckpointError, read_manifest
from rltune.config import ConfigError, nearest
from rltune.envs.errors import EnvError
from rltune.trainable import METADATA_SUFFIX
from rltune.tune.error import TuneError
from rltune.tune.experiment import Experiment
from rltune.tune.ranges import at_ends, read_ranges, with_hints
from rltune.tune.suggest.variant_generator import RecursiveDependencyError, generate_variants
from rltune.tune.trial import ExportFormat, Trial
from rltune.tune.trial_factory import VARIABLE_PARTS, create_trial

MISTAKES = (
    ConfigError,
    EnvError,
    CheckpointError,
    TuneError,
    RecursiveDependencyError,
    registry.UnknownTrainable,
)
"""What the checks raise about input that the user can mend."""


def trainable(run: str) -> tuple[str, Any]:
    """What `--run` names: (registered name, class or function).

    `module:Name` is imported and registered as `Name`. Raises ConfigError for a module or attribute
    that does not exist, UnknownTrainable for a name that nothing has.
    """
    module_name, colon, name = run.partition(":")
    if not colon:
        return run, registry.get_trainable_cls(run)
    if os.getcwd() not in sys.path:  # the console script does not look into the working directory
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module was found, something that it imports was not
        raise ConfigError([f"--run {run}: there is no module {error.name!r}"]) from error
    if not hasattr(module, name):
        guess = nearest(name, vars(module))
        hint = f"; nearest: '{guess}'" if guess else ""
        raise ConfigError([f"--run {run}: module {module_name!r} has no {name!r}{hint}"])
    registry.register_trainable(name, getattr(module, name))
    return name, getattr(module, name)


def algorithm_class(run: str) -> Any:
    """The algorithm that `run` names: a trainable whose settings are declared.

    Raises ConfigError for any other trainable, and what `trainable` raises.
    """
    name, cls = trainable(run)
    if not is_algorithm(cls):
        raise ConfigError([f"{name} is no algorithm: it has no declared settings"])
    return cls


def is_algorithm(cls: Any) -> bool:
    return hasattr(cls, "config_class")


def check_experiment(name: str, spec: Mapping[str, Any]) -> tuple[Experiment, list[Trial]]:
    """The experiment, and a trial for each point of its grid. Nothing is started or written.

    Ranges are tried at their ends, so that no draw can be refused later. Raises ConfigError with
    every problem of every trial, or another of MISTAKES.
    """
    run = spec["run"]
    spec = {**spec, "run": trainable(run)[0] if isinstance(run, str) else run}
    if spec.get("restore"):
        spec["restore"] = _existing_checkpoint(spec["restore"], spec["run"])
    ExportFormat.validate(spec.get("export_formats") or [])
    experiment = Experiment.from_json(name, spec)
    parts = {part: experiment.spec[part] for part in VARIABLE_PARTS}
    points = list(_variants(parts))
    config = {key: read_ranges(value) for key, value in experiment.spec["config"].items()}
    for extreme in at_ends(config):
        _example_trials(experiment, _variants({**parts, "config": extreme}))
    return experiment, _example_trials(experiment, points)


def _example_trials(experiment: Experiment, points: Iterable[dict[str, Any]]) -> list[Trial]:
    """A trial for each point. Raises ConfigError with the problems of all of them."""
    trials: list[Trial] = []
    problems: dict[str, None] = {}  # trials share problems: each once, in the order of the trials
    for point in points:
        try:
            trials.append(create_trial({**experiment.spec, **point}, experiment.checkpoint_dir, ""))
        except ConfigError as error:
            told = (f"{experiment.name}: {problem}" for problem in error.problems)
            problems.update(dict.fromkeys(told))
        except ValueError as error:
            raise ConfigError([f"{experiment.name}: {error}"]) from error
    if problems:
        raise ConfigError(list(problems), "The experiment")
    return trials


def check_settings(algorithm: Any, config: Mapping[str, Any]) -> None:
    """Raises ConfigError unless an algorithm accepts every point of a config, env or not."""
    for point in _variants({"config": dict(config)}):
        try:
            algorithm.config_class.from_dict(point["config"])
        except ConfigError as error:
            raise ConfigError(with_hints(error.problems, config), error.where) from None


def _variants(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every point of the grid of a spec. Raises ConfigError for a value that cannot be computed."""
    try:
        yield from (variant for _, variant in generate_variants(spec))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _existing_checkpoint(path: str, run: Any) -> str:
    """The path made absolute, since trials work in their own directories.

    Raises ConfigError where there is no checkpoint, or one of another algorithm than `run`.
    """
    absolute = os.path.abspath(os.path.expanduser(path))
    if os.path.exists(os.path.join(absolute, MANIFEST)):
        saved_by = read_manifest(absolute)["algorithm"]
        cls: Any = trainable(run)[1] if isinstance(run, str) else None
        if is_algorithm(cls) and cls.__name__ != saved_by:
            raise ConfigError([f"--restore {path}: saved by {saved_by}, which {run} cannot read"])
    elif not os.path.exists(absolute + METADATA_SUFFIX):
        raise ConfigError([f"--restore {path}: there is no such checkpoint"])
    return absolute
