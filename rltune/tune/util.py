"""Large objects shared by all trials, and nested dicts laid over one another."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

from rltune.config import nearest

PINNED_PREFIX = "ray.tune.PinnedObject:"

# The driver's references: an object lives in Ray's store as long as one exists.
_pinned: list[Any] = []


def pin_in_object_store(obj: Any) -> str:
    """Puts `obj` into Ray's object store until this process ends; returns an id for any task.

    The id is a plain text, usable in configs, closures and actors, valid within this Ray session.
    """
    import ray
    from ray import cloudpickle

    reference = ray.put(obj)
    _pinned.append(reference)
    return f"{PINNED_PREFIX}{cloudpickle.dumps(reference).hex()}"


def get_pinned_object(pinned_id: str) -> Any:
    """The object behind an id; numpy arrays come without a copy and read-only.

    Raises ValueError for a text that is no such id.
    """
    import ray
    from ray import cloudpickle

    if not pinned_id.startswith(PINNED_PREFIX):
        raise ValueError(f"{pinned_id!r} is no id of pin_in_object_store.")
    return ray.get(cloudpickle.loads(bytes.fromhex(pinned_id[len(PINNED_PREFIX) :])))


def deep_update(
    original: dict[str, Any],
    new_dict: dict[str, Any],
    new_keys_allowed: bool = True,
    whitelist: Collection[str] = (),
) -> dict[str, Any]:
    """Lays `new_dict` over `original`, in place and dict by dict; returns `original`.

    Where new keys are not allowed, one raises KeyError, except in the dicts named in `whitelist`.
    """
    for key, value in new_dict.items():
        if not new_keys_allowed and key not in original:
            near = nearest(key, original)
            hint = f"; did you mean {near!r}?" if near else ""
            raise KeyError(f"Unknown config parameter `{key}`{hint}")
        inner = original.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            deep_update(inner, value, new_keys_allowed or key in whitelist, whitelist)
        else:
            original[key] = value
    return original


def merge_dicts(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A copy of `below` with `above` laid over it."""
    return deep_update(copy.deepcopy(below), above)
