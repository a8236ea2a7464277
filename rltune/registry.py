"""Names for trainables, environments and models, and how they travel to other processes.

Values given by the user stay here as objects; `snapshot()` cloudpickles them (each once) for
worker processes, and `install()` puts them there, unpickled only when asked for. Algorithms are
not registered: an unknown name is looked up in `agents.ALGORITHMS`, among the trainables for tests,
and then in the entry-point group `rltune.trainables`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any

from rltune.config import nearest
from rltune.trainable import Trainable

TRAINABLE_CLASS = "trainable_class"
ENV_CREATOR = "env_creator"
RLLIB_MODEL = "rllib_model"
RLLIB_PREPROCESSOR = "rllib_preprocessor"
CATEGORIES = (TRAINABLE_CLASS, ENV_CREATOR, RLLIB_MODEL, RLLIB_PREPROCESSOR)
ENTRY_POINTS = "rltune.trainables"
FOR_TESTS = {
    "__fake": "rltune.tune.mock:Fake",
    "__sigmoid_fake_data": "rltune.tune.mock:SigmoidFakeData",
    "__parameter_tuning": "rltune.tune.mock:ParameterTuning",
}

logger = logging.getLogger(__name__)


class UnknownTrainable(ValueError):
    """No trainable has this name; the message gives the nearest one."""


class _Pickled:
    """A value that arrived from another process and has not been asked for."""

    def __init__(self, data: bytes):
        self.data = data


_values: dict[tuple[str, str], Any] = {}
_pickles: dict[tuple[str, str], bytes] = {}
_snapshot: bytes | None = None


def register(category: str, name: str, value: Any) -> None:
    """Puts `value` under `name`; an earlier one is replaced.

    Raises ValueError for an unknown category.
    """
    global _snapshot
    if category not in CATEGORIES:
        raise ValueError(f"Unknown registry category {category!r}: one of {', '.join(CATEGORIES)}.")
    _values[category, name] = value
    _pickles.pop((category, name), None)
    _snapshot = None


def lookup(category: str, name: str) -> Any | None:
    """The registered value, or None."""
    value = _values.get((category, name))
    if isinstance(value, _Pickled):
        import cloudpickle

        value = _values[category, name] = cloudpickle.loads(value.data)
    return value


def register_trainable(name: str, trainable: Any) -> None:
    """Registers a Trainable subclass or a training function under `name`.

    Raises TypeError for a class that is no Trainable and for anything that cannot be called.
    """
    if inspect.isclass(trainable):
        if not issubclass(trainable, Trainable):
            raise TypeError(f"{trainable!r} must be a subclass of rltune's Trainable.")
    elif not callable(trainable) or isinstance(trainable, Trainable):
        raise TypeError(f"{trainable!r} is neither a Trainable subclass nor a function.")
    elif not inspect.isroutine(trainable):
        logger.warning("%r is no plain function; it is used like one.", trainable)
    register(TRAINABLE_CLASS, name, trainable)


def register_env(name: str, env_creator: Callable[[Any], Any]) -> None:
    """Registers an environment:

    `env_creator(env_config)` makes one. Raises TypeError if it cannot be called.
    """
    if not callable(env_creator):
        raise TypeError(
            f"{env_creator!r} must be a function of env_config that makes an environment."
        )
    register(ENV_CREATOR, name, env_creator)


def get_env_creator(name: str) -> Callable[[Any], Any] | None:
    return lookup(ENV_CREATOR, name)


def has_trainable(name: str) -> bool:
    """Whether `name` is known. Loads no algorithm."""
    return (
        (TRAINABLE_CLASS, name) in _values
        or name in FOR_TESTS
        or name in _algorithms()
        or any(entry.name == name for entry in metadata.entry_points(group=ENTRY_POINTS))
    )


def get_trainable_cls(name: str) -> Any:
    """What is registered under `name`: a Trainable subclass, or a function as it was given.

    Raises UnknownTrainable.
    """
    value = lookup(TRAINABLE_CLASS, name)
    if value is not None:
        return value
    algorithms = _algorithms()
    place = algorithms.get(name) or FOR_TESTS.get(name)
    if place is not None:
        module, _, attribute = place.partition(":")
        return getattr(import_module(module), attribute)
    entries = {entry.name: entry for entry in metadata.entry_points(group=ENTRY_POINTS)}
    if name in entries:
        return entries[name].load()
    known = [n for category, n in _values if category == TRAINABLE_CLASS] + [*algorithms, *entries]
    near = nearest(name, known)
    hint = f" Did you mean {near}?" if near else f" Known are: {', '.join(sorted(known))}."
    raise UnknownTrainable(f"Unknown trainable: {name}.{hint}")


def snapshot() -> bytes:
    """Everything that was registered here, for `install` in another process.

    Raises TypeError naming the entry that cannot be pickled.
    """
    global _snapshot
    if _snapshot is None:
        import cloudpickle

        for key, value in _values.items():
            if key not in _pickles:
                _pickles[key] = value.data if isinstance(value, _Pickled) else _pickle(key, value)
        _snapshot = cloudpickle.dumps(_pickles)
    return _snapshot


def install(data: bytes) -> None:
    """Takes over a `snapshot` of another process; its entries replace those of the same name."""
    global _snapshot
    import cloudpickle

    entries: dict[tuple[str, str], bytes] = cloudpickle.loads(data)
    _values.update({key: _Pickled(value) for key, value in entries.items()})
    _pickles.update(entries)
    _snapshot = None


def _pickle(key: tuple[str, str], value: Any) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(value))
    except Exception as error:
        raise TypeError(
            f"{key[1]!r} ({key[0]}) cannot be sent to other processes: {error}. "
            "It must not hold open files, locks, threads or the like; make those inside it."
        ) from error


def _algorithms() -> dict[str, str]:
    """The table of built-in algorithms.

    The package is found by name, so that nothing below it depends on it.
    """
    try:
        table: dict[str, str] = getattr(import_module("agents"), "ALGORITHMS", {})
    except ModuleNotFoundError as error:
        if error.name != "agents":
            raise
        return {}
    return table
