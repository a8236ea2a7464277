"""Between the spaces of environments and the arrays of policies: observations in, actions out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rltune.envs.batching import empty_batch, is_nested, leaves, write_row
from rltune.envs.errors import EnvError
from rltune.envs.space_json import space_from_dict, space_to_dict

__all__ = [
    "ActionAdapter",
    "ObsPreprocessor",
    "ObsSpec",
    "space_from_dict",
    "space_to_dict",
    "unsupported_reason",
]

_OBSERVATIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_ACTIONS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete)


def unsupported_reason(space: Any, role: str) -> str | None:
    """Why `space` cannot be used as `role` ("observation" or "action"); None if it can."""
    if role == "observation" and is_nested(space):
        children = space.values() if isinstance(space, spaces.Dict) else space
        reasons = (unsupported_reason(child, role) for child in children)
        return next((reason for reason in reasons if reason is not None), None)
    supported = _OBSERVATIONS if role == "observation" else _ACTIONS
    if isinstance(space, supported):
        return None
    names = [cls.__name__ for cls in supported] + ["Dict", "Tuple"] * (role == "observation")
    return (
        f"{role} space {space} is not supported: use {', '.join(names)}, "
        f"or wrap the environment (gymnasium.Transform{role.capitalize()})"
    )


@dataclass(frozen=True)
class _Leaf:
    """One array of the observation: `encode(batch [N, ...], out [N, size])` fills its columns."""

    size: int
    encode: Callable[[np.ndarray, np.ndarray], None]


class ObsSpec(NamedTuple):
    """One observation as networks see it: a vector (size,) of float32, or an image (height, width, channels)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


class ObsPreprocessor:
    """Flattens raw observations into float32 vectors, [N, ...] -> [N, size].

    Box and MultiBinary values are cast (images are not scaled), Discrete and MultiDiscrete become
    one-hot vectors, Dict and Tuple are concatenated in the order of the space. One-dimensional
    float32 Boxes pass without a copy.

    Args:
        space: the environment's observation space.
        keep_images: three-dimensional Boxes stay as they are, uint8 or else float32.

    Attributes:
        spec: shape and type of one observation afterwards.

    Raises:
        EnvError: the space is not supported.
    """

    def __init__(self, space: spaces.Space[Any], keep_images: bool = False) -> None:
        reason = unsupported_reason(space, "observation")
        if reason is not None:
            raise EnvError(reason)
        self._space = space
        self._leaves = list(_encoders(space))
        self._size = sum(leaf.size for leaf in self._leaves)
        self.spec = ObsSpec((self._size,))
        if keep_images and isinstance(space, spaces.Box) and len(space.shape) == 3:
            uint8 = space.dtype == np.uint8
            self.spec = ObsSpec(space.shape, np.dtype(np.uint8 if uint8 else np.float32))
        self._as_it_is = self.spec.is_image or _is_flat_float32(space)

    def __call__(self, batch: Any) -> np.ndarray:
        """A batch as `VectorEnv` returns it, preprocessed; [N, *spec.shape], not to be written to."""
        if self._as_it_is:
            return np.asarray(batch, self.spec.dtype)
        arrays = leaves(batch)
        out = np.empty((len(arrays[0]), self._size), np.float32)
        begin = 0
        for leaf, array in zip(self._leaves, arrays, strict=True):
            leaf.encode(array, out[:, begin : begin + leaf.size])
            begin += leaf.size
        return out

    def single(self, obs: Any) -> np.ndarray:
        """Preprocesses one raw observation; [*spec.shape]."""
        batch = empty_batch(self._space, 1)
        write_row(batch, 0, obs)
        return np.asarray(self(batch)[0])


def _is_flat_float32(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32


def _encoders(space: spaces.Space[Any]) -> list[_Leaf]:
    """One encoder for each array that `leaves` finds in a batch of `space`."""
    if isinstance(space, spaces.Dict):
        return [leaf for child in space.values() for leaf in _encoders(child)]
    if isinstance(space, spaces.Tuple):
        return [leaf for child in space for leaf in _encoders(child)]
    if isinstance(space, spaces.Discrete):
        return [_one_hot(np.array([space.n]), np.array([space.start]))]
    if isinstance(space, spaces.MultiDiscrete):
        return [_one_hot(space.nvec.ravel(), space.start.ravel())]
    return [_Leaf(math.prod(space.shape or ()), _cast)]


def _cast(batch: np.ndarray, out: np.ndarray) -> None:
    out[:] = batch.reshape(len(batch), -1)


def _one_hot(nvec: np.ndarray, start: np.ndarray) -> _Leaf:
    """Each of the k values becomes nvec[k] columns, one of which is 1."""
    shift = np.concatenate([[0], np.cumsum(nvec)[:-1]]) - start

    def encode(batch: np.ndarray, out: np.ndarray) -> None:
        out[:] = 0.0
        out[np.arange(len(batch))[:, None], batch.reshape(len(batch), -1) + shift] = 1.0

    return _Leaf(int(nvec.sum()), encode)


class ActionAdapter:
    """Turns a policy's actions into what the environment takes.

    On the policy's side actions are int32: [N] for Discrete in [0, n), [N, k] for MultiDiscrete
    (flattened), or float32 [N, d] for Box (flattened).

    Args:
        space: the environment's action space.
        clip_actions: Box values are clipped to the bounds.
        normalize_actions: the policy's [-1, 1] is mapped to the bounds where both are finite.

    Attributes:
        shape: of one action on the policy's side: (), (k,) or (d,).
        dtype: int32 or float32.
        nvec: number of values of each discrete action, [1] or [k]; None for Box.

    Raises:
        EnvError: the space is not supported.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        clip_actions: bool = True,
        normalize_actions: bool = False,
    ) -> None:
        reason = unsupported_reason(space, "action")
        if reason is not None:
            raise EnvError(reason)
        self.space = space
        self._env_shape = space.shape or ()
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype[Any] = np.dtype(np.int32)
        self.nvec: np.ndarray | None = None
        if isinstance(space, spaces.Box):
            self.shape, self.dtype = (math.prod(space.shape),), np.dtype(np.float32)
            self._clip, self._normalize = clip_actions, normalize_actions
            self._set_bounds(space.low.ravel(), space.high.ravel())
        elif isinstance(space, spaces.Discrete):
            self.nvec, self._start = np.array([space.n]), space.start
        elif isinstance(space, spaces.MultiDiscrete):
            self.shape = (space.nvec.size,)
            self.nvec, self._start = space.nvec.ravel(), space.start.ravel()

    def _set_bounds(self, low: np.ndarray, high: np.ndarray) -> None:
        self._low, self._high = low.astype(np.float64), high.astype(np.float64)
        bounded = np.isfinite(self._low) & np.isfinite(self._high)
        self._center, self._half = np.zeros(low.shape), np.ones(low.shape)
        self._center[bounded] = (self._low[bounded] + self._high[bounded]) / 2
        self._half[bounded] = (self._high[bounded] - self._low[bounded]) / 2

    def to_env(self, actions: np.ndarray) -> np.ndarray:
        """[N, *shape] of the policy -> a new array [N, ...] of the space's shape and dtype."""
        if self.nvec is None:
            return self._box_to_env(actions)
        return self._shaped(actions + self._start)

    def _box_to_env(self, actions: np.ndarray) -> np.ndarray:
        values = self._center + actions * self._half if self._normalize else actions.copy()
        if self._clip:
            values = np.clip(values, self._low, self._high)
        if np.issubdtype(self.space.dtype, np.integer):
            values = np.rint(values)
        return self._shaped(values)

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return values.astype(self.space.dtype, copy=False).reshape(len(values), *self._env_shape)
