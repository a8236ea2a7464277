"""A JSON-able description of spaces, so that a checkpoint says what it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rltune.envs.errors import EnvError


def space_to_dict(space: spaces.Space[Any]) -> dict[str, Any]:
    """Describes a space with JSON-able values; `space_from_dict` makes an equal one.

    Raises:
        EnvError: a kind of space that observations and actions here cannot have.
    """
    kind = type(space).__name__
    if isinstance(space, spaces.Box):
        low, high = _bound_to_json(space.low), _bound_to_json(space.high)
        shape = list(space.shape)
        return {"type": "Box", "low": low, "high": high, "shape": shape, "dtype": str(space.dtype)}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        nvec, start = space.nvec.tolist(), space.start.tolist()
        return {"type": "MultiDiscrete", "nvec": nvec, "start": start, "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):
        n = space.n if isinstance(space.n, int) else list(space.shape)
        return {"type": "MultiBinary", "n": n}
    if isinstance(space, spaces.Dict):
        children = [[key, space_to_dict(child)] for key, child in space.items()]
        return {"type": "Dict", "spaces": children}
    if isinstance(space, spaces.Tuple):
        return {"type": "Tuple", "spaces": [space_to_dict(child) for child in space]}
    raise EnvError(f"a {kind} space cannot be described in a checkpoint")


def space_from_dict(description: dict[str, Any]) -> spaces.Space[Any]:
    """The space that `space_to_dict` described.

    Raises:
        EnvError: an unknown type of space.
    """
    kind = description["type"]
    if kind == "Box":
        shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
        low, high = (_bound_from_json(description[side], shape, dtype) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(description["n"], start=description["start"])
    if kind == "MultiDiscrete":
        dtype = np.dtype(description["dtype"]).type
        return spaces.MultiDiscrete(description["nvec"], dtype, start=description["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(description["n"])
    if kind == "Dict":
        return spaces.Dict([(key, space_from_dict(child)) for key, child in description["spaces"]])
    if kind == "Tuple":
        return spaces.Tuple([space_from_dict(child) for child in description["spaces"]])
    raise EnvError(f"unknown type of space {kind!r}")


def _bound_to_json(bound: np.ndarray) -> list[float | str]:
    """One number if all are equal (images), else all; "inf" as text, which JSON cannot write."""
    values = np.unique(bound)
    flat = values if len(values) == 1 else bound.ravel()
    return [value if np.isfinite(value) else str(value) for value in flat.tolist()]


def _bound_from_json(
    values: list[float | str], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    numbers = np.array([float(v) if isinstance(v, str) else v for v in values]).astype(dtype)
    return np.full(shape, numbers[0]) if len(numbers) == 1 else numbers.reshape(shape)
