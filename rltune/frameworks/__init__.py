"""The only place that knows a deep-learning framework.

`get_ops` binds the closed list of tensor operations, `make_updater` builds what runs a learner's steps. Each framework
is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging

from rltune.config import ConfigError
from rltune.frameworks.ops import OPS, Ops
from rltune.frameworks.spec import ParamSpec
from rltune.frameworks.updater import Updater, UpdaterSettings

__all__ = [
    "OPS",
    "Ops",
    "ParamSpec",
    "Updater",
    "UpdaterSettings",
    "choose_device",
    "choose_framework",
    "make_updater",
    "preload",
]

logger = logging.getLogger(__name__)

_MODULES = {"torch": "rltune.frameworks._torch"}


def choose_framework(name: str) -> str:
    """The framework that trains, for the config key `framework`. Raises ConfigError for one that is not there."""
    name = "torch" if name == "auto" else name
    if name not in _MODULES:
        raise ConfigError([f"framework {name!r} is not supported yet; use 'torch' or 'auto'"])
    if importlib.util.find_spec(name) is None:
        raise ConfigError([f"framework {name!r} is not installed: pip install {name}"])
    return name


def preload(name: str) -> None:
    """Imports framework `name`: something else may start up meanwhile."""
    importlib.import_module(_MODULES[name])


def choose_device(name: str, num_gpus: float) -> str:
    """Where framework `name` trains: `num_gpus` alone decides. A GPU that it does not see: the CPU, and one warning."""
    if not num_gpus:
        return "cpu"
    if importlib.import_module(_MODULES[name]).has_gpu():
        return "cuda"
    logger.warning("num_gpus is %s, but %s sees no GPU here: training on the CPU", num_gpus, name)
    return "cpu"


def make_updater(name: str, settings: UpdaterSettings) -> Updater:
    """The updater of framework `name` (as `choose_framework` gave it)."""
    module = importlib.import_module(_MODULES[name])
    updater: Updater = module.make_updater(settings)
    return updater
