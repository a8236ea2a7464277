"""Reading `-f FILE.yaml`: a map of experiment name -> spec, in the format of RLlib's tuned examples."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import yaml

from rltune.config import ConfigError, nearest


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number (YAML 1.1 reads it as text) and a key given twice is an error."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    pairs = [(loader.construct_object(k, deep=True), loader.construct_object(v, deep=True)) for k, v in node.value]
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} is given twice", node.start_mark)
    return mapping


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def spec_keys() -> list[str]:
    """The keys that an experiment may have in a file: what `Experiment` takes, and `env`."""
    from rltune.tune.experiment import Experiment

    return ["env", *(key for key in inspect.signature(Experiment).parameters if key != "name")]


def load_experiments(path: str | Path) -> dict[str, dict[str, Any]]:
    """The experiments of a YAML file, `{name: spec}`, with `env` moved into the config of each.

    Raises ConfigError for a file that cannot be read, for what is not a map of experiments, and for unknown spec keys.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"--config-file {path}: {error.strerror}"]) from error
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError([f"{path} is not YAML: {error}"]) from error
    if not isinstance(content, dict) or not content:
        raise ConfigError([f"{path} must map experiment names to specs (run, env, stop, config, ...)"])
    problems: list[str] = []
    experiments = {str(name): _read_spec(f"{path}: {name}", spec, problems) for name, spec in content.items()}
    if problems:
        raise ConfigError(problems, str(path))
    return experiments


def _read_spec(where: str, spec: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(spec, dict):
        problems.append(f"{where} is {spec!r}; each experiment name must map to a spec (run, env, stop, config, ...)")
        return {}
    known = spec_keys()
    for key in spec:
        if key not in known:
            guess = nearest(str(key), known)
            hint = f"nearest: '{guess}'" if guess else "settings of the algorithm belong under `config`"
            problems.append(f"{where}: unknown key '{key}'; {hint}")
    spec = dict(spec)
    for section in ("config", "stop"):
        spec[section] = {} if spec.get(section) is None else spec[section]
        if not isinstance(spec[section], dict):
            problems.append(f"{where}: '{section}' is {spec[section]!r}; it must be a mapping")
            return {}
    if "env" in spec:
        env = spec.pop("env")
        if spec["config"].get("env", env) != env:
            problems.append(f"{where}: 'env' is {env!r} but 'config.env' is {spec['config']['env']!r}; give one")
        spec["config"] = {**spec["config"], "env": env}
    return spec
