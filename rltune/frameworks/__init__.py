"""The only place that knows a deep-learning framework.

`get_ops` binds the closed list of tensor operations, `make_updater` builds what runs a learner's steps. Each framework
is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any

from rltune.config import ConfigError
from rltune.frameworks.ops import OPS, Ops
from rltune.frameworks.spec import ParamSpec
from rltune.frameworks.updater import Updater, UpdaterSettings

__all__ = [
    "OPS",
    "PACKAGES",
    "Ops",
    "ParamSpec",
    "Updater",
    "UpdaterSettings",
    "choose",
    "choose_framework",
    "for_images",
    "get_ops",
    "make_updater",
]

logger = logging.getLogger(__name__)

PACKAGES = {"jax": "jax", "torch": "torch", "tf": "tensorflow"}
"""The packages that the frameworks are, in the order in which `auto` asks for them."""


def choose_framework(name: str) -> str:
    """The framework that trains on a CPU, for the config key `framework`. Imports none.

    Raises ConfigError for one that is not there.
    """
    if name == "auto":
        name = next(filter(_is_installed, PACKAGES), next(iter(PACKAGES)))
    if not _is_installed(name):
        raise ConfigError([f"framework {name!r} is not installed: pip install {PACKAGES[name]}"])
    return name


def choose(name: str, num_gpus: float) -> tuple[str, str]:
    """The framework, imported, and the device: `num_gpus` alone decides whether it is a GPU, which `auto` leaves to
    torch. A GPU that it does not see: the CPU, and one warning. Raises ConfigError as `choose_framework` does."""
    framework = choose_framework(name)
    if num_gpus:
        wanted = "torch" if name == "auto" and _is_installed("torch") else framework
        if _module(wanted).has_gpu():
            return wanted, "cuda"
        message = "num_gpus is %s, but %s sees no GPU here: training on the CPU"
        logger.warning(message, num_gpus, wanted)
    _module(framework)
    return framework, "cpu"


def for_images(name: str, framework: str, device: str) -> str:
    """The framework, imported, where observations are images and `choose` has answered `framework` and `device`: on a
    CPU torch's convolutions are the fastest, so `auto` means it."""
    if name == "auto" and device == "cpu" and _is_installed("torch"):
        framework = "torch"
        _module(framework)
    return framework


def get_ops(name: str) -> Ops:
    """The operations of framework `name`."""
    ops: Ops = _module(name).OPS
    return ops


def make_updater(name: str, settings: UpdaterSettings) -> Updater:
    """The updater of framework `name`."""
    updater: Updater = _module(name).make_updater(settings)
    return updater


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(PACKAGES[name]) is not None


def _module(name: str) -> Any:
    return importlib.import_module(f"rltune.frameworks._{name}")
