"""Objects that a flag or a file names: the class, found by its name, made with arguments of JSON."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from rltune.config import ConfigError, nearest
from rltune.tune.error import TuneError

REFUSALS = (TypeError, ValueError, AssertionError, ImportError, TuneError)
"""What constructors raise about their arguments, or about a library that is not there."""


def find_class(what: str, name: str, table: Mapping[str, str]) -> type[Any]:
    """The class that `table` has under `name`, in any case; `what` it is, is for messages.

    Raises ConfigError for a name that it has not.
    """
    by_lower = {key.lower(): key for key in table}
    key = by_lower.get(name.lower())
    if key is None:
        guess = nearest(name.lower(), by_lower)
        hint = f"nearest: '{by_lower[guess]}'" if guess else f"there are {', '.join(table)}"
        raise ConfigError([f"{what} {name}: no such {what}; {hint}"])
    module, _, attribute = table[key].partition(":")
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found


def make(
    key: str,
    cls: type[Any],
    given: Mapping[str, Any],
    maker: Callable[..., Any] | None = None,
    **ours: Any,
) -> Any:
    """`cls(**given)`, or what `maker(**ours, **given)` makes in its place; `key` is where the user
    wrote `given`.

    Raises ConfigError for an argument that there is not, and for one that is refused.
    """
    maker = maker or cls
    known = [name for name in inspect.signature(maker).parameters if name not in ours]
    for argument in given:
        if argument not in known:
            guess = nearest(str(argument), known)
            hint = f"nearest: '{guess}'" if guess else f"there are {', '.join(known) or 'none'}"
            raise ConfigError([f"{key}: {cls.__name__} has no argument '{argument}'; {hint}"])
    try:
        return maker(**ours, **given)
    except REFUSALS as error:
        raise ConfigError([f"{key}: {cls.__name__} refuses it: {error}"]) from error
