"""Reading `-f FILE.yaml`: experiment name -> spec, the format of RLlib's tuned examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from rltune.cli.tuning import TUNING_KEYS
from rltune.config import ConfigError, nearest
from rltune.tune.experiment import Experiment


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, not text, and a key given twice is an error."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    written = [
        key.value for key, _ in node.value
    ]  # before `<<` is filled in, which may repeat a key
    twice = next((key for key in written if written.count(key) > 1), None)
    if twice is not None:
        raise yaml.constructor.ConstructorError(
            None, None, f"the key {twice!r} is given twice", node.start_mark
        )
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


WHOLE = ("a whole number", _is_whole)
TEXT = ("text", _is(str))
VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "config": ("a mapping", _is(dict)),
    "stop": ("a mapping", _is(dict)),
    "resources_per_trial": ("a mapping", _is(dict)),
    "num_samples": WHOLE,
    "checkpoint_freq": WHOLE,
    "keep_checkpoints_num": WHOLE,
    "max_failures": WHOLE,
    "checkpoint_at_end": ("true or false", _is(bool)),
    "checkpoint_score_attr": TEXT,
    "restore": TEXT,
    "local_dir": TEXT,
    "upload_dir": TEXT,
    "export_formats": ("a list", _is(list)),
    "scheduler": TEXT,
    "scheduler_config": ("a mapping", _is(dict)),
    "search_alg": TEXT,
    "search_config": ("a mapping", _is(dict)),
    "reuse_actors": ("true or false", _is(bool)),
    "loggers": ("[], which means none; others can be given in Python only", lambda v: v == []),
    "trial_name_creator": ("a function, which can be given in Python only", lambda v: False),
}
"""What a spec key of a file must be; null always means the default."""


def spec_keys() -> list[str]:
    """The keys that an experiment may have in a file: what `Experiment` takes, and a few more."""
    known = [key for key in inspect.signature(Experiment).parameters if key != "name"]
    return ["env", *known, *TUNING_KEYS]


def load_experiments(path: str | Path) -> dict[str, dict[str, Any]]:
    """The experiments of a YAML file, `{name: spec}`, with `env` moved into the config of each.

    Raises ConfigError for a file that cannot be read, for what is not a map of experiments, and for
    unknown spec keys and values of the wrong type.
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
        raise ConfigError(
            [f"{path} must map experiment names to specs (run, env, stop, config, ...)"]
        )
    problems = [p for name, spec in content.items() for p in _problems(f"{path}: {name}", spec)]
    if problems:
        raise ConfigError(problems, str(path))
    return {str(name): _with_env_in_config(spec) for name, spec in content.items()}


def _problems(where: str, spec: Any) -> Iterator[str]:
    """Every problem of a spec, as text."""
    if not isinstance(spec, dict):
        yield f"{where} is {spec!r}; each experiment name must map to a spec (run, env, stop, ...)"
        return
    known = spec_keys()
    for key, value in spec.items():
        if key not in known:
            guess = nearest(str(key), known)
            hint = f"nearest: '{guess}'" if guess else "settings belong under `config`"
            yield f"{where}: unknown key '{key}'; {hint}"
        elif key in VALUES and value is not None and not VALUES[key][1](value):
            yield f"{where}: '{key}' is {value!r}; it must be {VALUES[key][0]}"
    config = spec.get("config")
    if "env" in spec and isinstance(config, dict) and config.get("env", spec["env"]) != spec["env"]:
        env = spec["env"]
        yield f"{where}: 'env' is {env!r} but 'config.env' is {config['env']!r}; give one"


def _with_env_in_config(spec: dict[str, Any]) -> dict[str, Any]:
    filled = {"config": {}, "stop": {}, **{k: v for k, v in spec.items() if v is not None}}
    if "env" in filled:
        filled["config"] = {**filled["config"], "env": filled.pop("env")}
    return filled
