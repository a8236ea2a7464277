"""What comes before the fully connected layers: nothing for vectors, convolutions for images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from rltune.algorithm_config import AlgorithmConfig, ModelConfig
from rltune.config import Filters
from rltune.envs.spaces import ObsSpec
from rltune.frameworks.convolution import Axis
from rltune.frameworks.ops import Ops, Tensor
from rltune.models.layers import Params, activation, hidden_gain, orthogonal

DEFAULT_FILTERS: dict[tuple[int, ...], Filters] = {
    (84, 84): ((16, (8, 8), 4), (32, (4, 4), 2), (256, (11, 11), 1)),
    (42, 42): ((16, (4, 4), 2), (32, (4, 4), 2), (256, (11, 11), 1)),
}
"""By height and width: RLlib's."""


def filters_for(shape: tuple[int, ...] | None, config: ModelConfig) -> Filters:
    """The convolutions over observations of this shape; none where they are flattened."""
    if shape is None or len(shape) != 3:
        return ()
    return (
        DEFAULT_FILTERS.get(shape[:2], ()) if config.conv_filters is None else config.conv_filters
    )


def image_problems(space: Any, config: AlgorithmConfig) -> Iterator[str]:
    """Why convolutions do not suit the observation space."""
    if config.model.conv_filters and len(space.shape or ()) != 3:
        yield (
            "'model.conv_filters' is set, but observations are no images [height, width, channels]: "
            f"the environment has {space}"
        )
    filters = filters_for(space.shape, config.model)
    if not filters:
        return
    if config.observation_filter != "NoFilter":
        yield f"'observation_filter' {config.observation_filter!r} is not for images: model.zero_mean scales them"
    *_, (_, (height, width), _) = filters
    if height > (left := shapes(space.shape, filters)[-2])[0] or width > left[1]:
        yield (
            f"'model.conv_filters': the last kernel is {height} x {width}, but the layers before it leave "
            f"{left[0]} x {left[1]} of images of {space.shape[0]} x {space.shape[1]}"
        )


def shapes(shape: tuple[int, ...], filters: Filters) -> list[tuple[int, ...]]:
    """[height, width, channels] before and after each convolution. All but the last add zeros at the edges."""
    found = [shape]
    for i, (channels, kernel, stride) in enumerate(filters):
        same = i < len(filters) - 1
        sides = (Axis.of(found[-1][j], kernel[j], stride, same).size for j in (0, 1))
        found.append((*sides, channels))
    return found


class Encoder(Protocol):
    """Observations to vectors of `size`."""

    size: int

    def init(self, rng: np.random.Generator, name: str) -> dict[str, np.ndarray]:
        """Fresh parameters, all below `name`."""

    def encode(self, ops: Ops, params: Params, name: str, obs: Tensor) -> Tensor:
        """Vectors [..., size]."""


def make_encoder(obs: ObsSpec, config: ModelConfig) -> Encoder:
    filters = filters_for(obs.shape, config)
    return Convolutions(obs, filters, config) if filters else Vectors(obs)


class Vectors:
    """Observations that are vectors already."""

    def __init__(self, obs: ObsSpec):
        (self.size,) = obs.shape

    def init(self, rng: np.random.Generator, name: str) -> dict[str, np.ndarray]:
        return {}

    def encode(self, ops: Ops, params: Params, name: str, obs: Tensor) -> Tensor:
        return obs


class Convolutions:
    """RLlib's vision network: the last convolution, without zeros at the edges, usually spans all that is left."""

    def __init__(self, obs: ObsSpec, filters: Filters, config: ModelConfig):
        self.obs, self.filters, self.config = obs, filters, config
        self.shapes = shapes(obs.shape, filters)
        self.size = int(np.prod(self.shapes[-1]))

    def init(self, rng: np.random.Generator, name: str) -> dict[str, np.ndarray]:
        gain = hidden_gain(self.config.conv_activation)
        params: dict[str, np.ndarray] = {}
        for i, (channels, kernel, _) in enumerate(self.filters):
            inputs = (*kernel, self.shapes[i][-1])
            w = orthogonal(rng, int(np.prod(inputs)), channels, gain)
            params[f"{name}/conv{i}/w"] = w.reshape(*inputs, channels)
            params[f"{name}/conv{i}/b"] = np.zeros(channels, np.float32)
        return params

    def encode(self, ops: Ops, params: Params, name: str, obs: Tensor) -> Tensor:
        """Images [..., height, width, channels]; whole numbers are taken for pixels from 0 to 255."""
        before = obs.shape[:-3]
        x = self._scaled(ops, ops.reshape(obs, (-1, *self.obs.shape)))
        activate = activation(ops, self.config.conv_activation)
        for i, (channels, kernel, stride) in enumerate(self.filters):
            w, same = params[f"{name}/conv{i}/w"], i < len(self.filters) - 1
            if not same and kernel == self.shapes[i][:2]:  # one place: a fully connected layer
                inputs = int(np.prod(self.shapes[i]))
                x = ops.matmul(ops.reshape(x, (-1, inputs)), ops.reshape(w, (inputs, channels)))
            else:
                x = ops.conv2d(x, w, stride, same)
            x = activate(x + params[f"{name}/conv{i}/b"])
        return ops.reshape(x, ((-1,) if len(before) == 1 else before) + (self.size,))

    def _scaled(self, ops: Ops, images: Tensor) -> Tensor:
        x = ops.cast_float(images)
        if self.obs.dtype != np.uint8:
            return x
        return (x - 128.0) / 128.0 if self.config.zero_mean else x / 255.0
