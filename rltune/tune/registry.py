"""Registration by name, as Tune's users import it; lookup of what a trial runs."""

from __future__ import annotations

from rltune import registry as _registry
from rltune.registry import (
    ENV_CREATOR,
    RLLIB_MODEL,
    RLLIB_PREPROCESSOR,
    TRAINABLE_CLASS,
    UnknownTrainable,
    register_env,
    register_trainable,
)
from rltune.trainable import Trainable
from rltune.tune.error import TuneError
from rltune.tune.function_runner import wrap_function

__all__ = [
    "ENV_CREATOR",
    "RLLIB_MODEL",
    "RLLIB_PREPROCESSOR",
    "TRAINABLE_CLASS",
    "get_trainable_cls",
    "register_env",
    "register_trainable",
]


def get_trainable_cls(name: str) -> type[Trainable]:
    """The class that runs the trainable of this name. Raises TuneError where there is none."""
    try:
        trainable = _registry.get_trainable_cls(name)
    except UnknownTrainable as error:
        raise TuneError(str(error)) from None
    if isinstance(trainable, type) and issubclass(trainable, Trainable):
        return trainable
    return wrap_function(trainable)
