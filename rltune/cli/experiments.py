"""Flags and YAML to experiments: what wins over what, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rltune.cli.params import flag_name
from rltune.cli.tuning import ARGUMENTS_OF, TUNING_KEYS
from rltune.cli.yaml_file import load_experiments
from rltune.config import ConfigError
from rltune.tune.ranges import RANGES

SPEC_FLAGS = (
    "run",
    "num_samples",
    "resources_per_trial",
    "checkpoint_freq",
    "checkpoint_at_end",
    "keep_checkpoints_num",
    "checkpoint_score_attr",
    "export_formats",
    "max_failures",
    "restore",
    "local_dir",
    "upload_dir",
    *TUNING_KEYS,
)
"""Flags that are spec keys of the same name: they override what the file says."""

LOG_LEVELS = {1: "INFO", 2: "DEBUG"}
"""-v and -vv as values of the config key `log_level`."""

UNRESOLVED = [{word} for word in ("grid_search", "eval", *RANGES)]
"""Keys of a dict that stands for a value still to be chosen: replaced whole, never merged into."""


def build_experiments(flags: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Experiments `{name: spec}` (`env` in each config) and notes saying which flag overrode what.

    `flags` holds the values by parameter name; None means not given. Raises ConfigError for a
    contradiction, for a file that cannot be read, and for an experiment without an algorithm.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    notes: list[str] = []
    overrides = _overrides(given, notes)
    if given.get("no_ray_ui"):
        notes.append("--no-ray-ui: Ray's dashboard is never started")
    experiments = {}
    for name, spec in _named_specs(given).items():
        spec = _without_arguments_of_others(name, spec, given, notes)
        for flag, patch in overrides:
            changes: list[str] = []
            spec = merge(spec, patch, "", changes)
            notes += [f"{name}: {flag} overrides {change}" for change in changes]
        if not spec.get("run"):
            raise ConfigError([f"{name}: no algorithm given; use --run, e.g. --run PPO"])
        spec["config"] = spec.get("config", {})
        experiments[name] = spec
    return experiments, notes


def _named_specs(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The experiments before any flag: those of the file, or an empty one."""
    name = given.get("experiment_name")
    if "config_file" not in given:
        return {name or "default": {}}
    specs = load_experiments(given["config_file"])
    if name is None:
        return specs
    if len(specs) > 1:
        names = ", ".join(specs)
        raise ConfigError([f"--experiment-name {name}: the file holds {len(specs)}: {names}"])
    (spec,) = specs.values()
    return {name: spec}


def _without_arguments_of_others(
    name: str, spec: dict[str, Any], given: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """The spec of the file without what its scheduler or search takes, if a flag names another."""
    for key, arguments in ARGUMENTS_OF.items():
        was, wanted = str(spec.get(key)), given.get(key, str(spec.get(key)))
        if arguments in spec and was.lower() != wanted.lower():
            spec = {k: v for k, v in spec.items() if k != arguments}
            notes.append(f"{name}: {flag_name(key)} {wanted}: {arguments} of {was} is left out")
    return spec


def _overrides(given: Mapping[str, Any], notes: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """What each given flag lays over a spec: `--config` first, so that flags for one key win."""
    overrides = [
        (flag_name(key), {key: given[key]})
        for key in ("config", "stop", *SPEC_FLAGS)
        if key in given
    ]
    flag, framework = _framework(given, notes)
    single = [
        ("--env", "env", given.get("env")),
        ("--seed", "seed", given.get("seed")),
        (flag, "framework", framework),
    ]
    verbosity = given.get("verbosity", 0)
    if verbosity:
        level = min(verbosity, max(LOG_LEVELS))
        single.append(("-" + "v" * level, "log_level", LOG_LEVELS[level]))
    return overrides + [
        (flag, {"config": {key: value}}) for flag, key, value in single if value is not None
    ]


def _framework(given: Mapping[str, Any], notes: list[str]) -> tuple[str, str | None]:
    """The one flag that chooses a framework, and its choice."""
    if given.get("trace") and not given.get("eager"):
        raise ConfigError(["--trace needs --eager"])
    chosen = {"--framework": given["framework"]} if "framework" in given else {}
    if given.get("torch"):
        chosen["--torch"] = "torch"
    if given.get("eager"):
        typed = "--eager --trace" if given.get("trace") else "--eager"
        chosen[typed] = "tf"
        notes.append(
            f"{typed}: framework tf; its updates are compiled, there is no separate eager mode"
        )
    if len(set(chosen.values())) > 1:
        raise ConfigError([" and ".join(chosen) + " contradict each other; give one"])
    return next(iter(chosen.items()), ("", None))


def merge(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str, changes: list[str]
) -> dict[str, Any]:
    """`new` laid over `old`, section by section; `changes` receives what it replaced."""
    merged = dict(old)
    for key, value in new.items():
        where = path + str(key)
        if where != "resources_per_trial" and is_section(merged.get(key)) and is_section(value):
            merged[key] = merge(merged[key], value, where + ".", changes)
            continue
        if key in merged and merged[key] != value:
            changes.append(f"{where} ({show(merged[key])} -> {show(value)})")
        merged[key] = value
    return merged


def is_section(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) not in UNRESOLVED


def show(value: Any) -> str:
    """A value as it is typed in a flag."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
