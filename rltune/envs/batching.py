"""Batches of observations: one array [N, ...] per leaf of the space, in nested dicts and tuples."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from gymnasium import spaces


def is_nested(space: spaces.Space[Any]) -> bool:
    """Whether observations of `space` are dicts or tuples rather than one array."""
    return isinstance(space, (spaces.Dict, spaces.Tuple))


def empty_batch(space: spaces.Space[Any], count: int) -> Any:
    """An uninitialised batch of `count` observations of `space`."""
    if isinstance(space, spaces.Dict):
        return {key: empty_batch(child, count) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(empty_batch(child, count) for child in space)
    return np.empty((count, *(space.shape or ())), space.dtype)


def write_row(batch: Any, index: int, observation: Any) -> None:
    """Writes one environment's `observation` into row `index`."""
    if isinstance(batch, dict):
        for key, child in batch.items():
            write_row(child, index, observation[key])
    elif isinstance(batch, tuple):
        for child, value in zip(batch, observation, strict=True):
            write_row(child, index, value)
    else:
        batch[index] = observation


def read_row(batch: Any, index: int) -> Any:
    """Row `index`: one environment's observation, as views."""
    if isinstance(batch, dict):
        return {key: read_row(child, index) for key, child in batch.items()}
    if isinstance(batch, tuple):
        return tuple(read_row(child, index) for child in batch)
    return batch[index]


def copy_batch(batch: Any) -> Any:
    """A batch that shares no memory with `batch`."""
    return batch.copy() if isinstance(batch, np.ndarray) else copy.deepcopy(batch)


def leaves(batch: Any) -> list[np.ndarray]:
    """The arrays of a batch, in the order of its space."""
    if isinstance(batch, dict):
        return [leaf for child in batch.values() for leaf in leaves(child)]
    if isinstance(batch, tuple):
        return [leaf for child in batch for leaf in leaves(child)]
    return [batch]
