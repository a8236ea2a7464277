"""Action distributions. Densities are written on ops; sampling is numpy, from noise that is handed in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import log, pi, prod
from typing import Any, Protocol

import numpy as np

from rltune.frameworks import _numpy as numpy_ops
from rltune.frameworks.ops import Ops, Tensor


class Distribution(Protocol):
    """A family of action distributions; `inputs` [..., num_inputs] is what the policy network puts out."""

    num_inputs: int
    noise_size: int

    def noise(self, rng: np.random.Generator, steps: int) -> np.ndarray:
        """Noise [steps, noise_size] for `sample`; drawn for many steps of one environment at once."""

    def sample(self, inputs: np.ndarray, noise: np.ndarray, exploration: float) -> np.ndarray:
        """Actions [N, ...]; `exploration` is epsilon where there is one."""

    def mode(self, inputs: np.ndarray) -> np.ndarray:
        """The most likely (greedy) actions."""

    def logp(self, ops: Ops, inputs: Tensor, actions: Tensor) -> Tensor: ...
    def entropy(self, ops: Ops, inputs: Tensor) -> Tensor: ...

    def kl(self, ops: Ops, inputs: Tensor, other: Tensor) -> Tensor:
        """KL(self || other) per row."""


class _Discrete(ABC):
    """Samples are modes under the noise of the Gumbel-max trick (https://arxiv.org/abs/1411.0030, section 2): with it
    added, each logit is the largest as often as its category's probability says. It lies between -5 and 88, so a
    category 100 below another one in its logit is never picked."""

    noise_size: int

    def noise(self, rng: np.random.Generator, steps: int) -> np.ndarray:
        exponential = rng.standard_exponential((steps, self.noise_size), np.float32)
        return -np.log(np.maximum(exponential, np.finfo(np.float32).tiny))

    def sample(self, inputs: np.ndarray, noise: np.ndarray, exploration: float) -> np.ndarray:
        return self.mode(inputs + noise)

    @abstractmethod
    def mode(self, inputs: np.ndarray) -> np.ndarray: ...


class Categorical(_Discrete):
    """One of n actions, inputs are logits."""

    def __init__(self, n: int):
        self.num_inputs = self.noise_size = n

    def mode(self, inputs: np.ndarray) -> np.ndarray:
        actions: np.ndarray = inputs.argmax(-1)  # np.argmax takes five times as long for a few rows
        return actions

    def logp(self, ops: Ops, inputs: Tensor, actions: Tensor) -> Tensor:
        return ops.gather(ops.log_softmax(inputs), actions)

    def entropy(self, ops: Ops, inputs: Tensor) -> Tensor:
        logp = ops.log_softmax(inputs)
        return -ops.sum(ops.exp(logp) * logp, -1)

    def kl(self, ops: Ops, inputs: Tensor, other: Tensor) -> Tensor:
        logp = ops.log_softmax(inputs)
        return ops.sum(ops.exp(logp) * (logp - ops.log_softmax(other)), -1)


class MultiCategorical(_Discrete):
    """Independent categoricals; inputs are their logits side by side, actions [N, parts]."""

    def __init__(self, sizes: list[int]):
        self.sizes, self.parts = sizes, [Categorical(n) for n in sizes]
        self.num_inputs = self.noise_size = sum(sizes)

    def mode(self, inputs: np.ndarray) -> np.ndarray:
        parts = zip(self.parts, numpy_ops.split(inputs, self.sizes), strict=True)
        return np.stack([part.mode(x) for part, x in parts], -1)

    def logp(self, ops: Ops, inputs: Tensor, actions: Tensor) -> Tensor:
        parts = ops.split(inputs, self.sizes)
        return sum(
            part.logp(ops, x, actions[..., i])
            for i, (part, x) in enumerate(zip(self.parts, parts, strict=True))
        )

    def entropy(self, ops: Ops, inputs: Tensor) -> Tensor:
        return sum(
            p.entropy(ops, x)
            for p, x in zip(self.parts, ops.split(inputs, self.sizes), strict=True)
        )

    def kl(self, ops: Ops, inputs: Tensor, other: Tensor) -> Tensor:
        pairs = zip(
            self.parts, ops.split(inputs, self.sizes), ops.split(other, self.sizes), strict=True
        )
        return sum(part.kl(ops, x, y) for part, x, y in pairs)


class DiagGaussian:
    """Independent normals; inputs are means then log standard deviations, actions [N, size]."""

    def __init__(self, size: int):
        self.size = size
        self.num_inputs, self.noise_size = 2 * self.size, self.size

    def noise(self, rng: np.random.Generator, steps: int) -> np.ndarray:
        return rng.standard_normal((steps, self.noise_size), np.float32)

    def sample(self, inputs: np.ndarray, noise: np.ndarray, exploration: float) -> np.ndarray:
        mean, log_std = inputs[:, : self.size], inputs[:, self.size :]
        return np.asarray(mean + np.exp(log_std) * noise)

    def mode(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[:, : self.size]

    def _parts(self, ops: Ops, inputs: Tensor) -> list[Tensor]:
        return ops.split(inputs, [self.size, self.size])

    def logp(self, ops: Ops, inputs: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = self._parts(ops, inputs)
        z = (actions - mean) / ops.exp(log_std)
        return -ops.sum(0.5 * ops.square(z) + log_std, -1) - 0.5 * self.size * log(2 * pi)

    def entropy(self, ops: Ops, inputs: Tensor) -> Tensor:
        return ops.sum(self._parts(ops, inputs)[1], -1) + 0.5 * self.size * (1 + log(2 * pi))

    def kl(self, ops: Ops, inputs: Tensor, other: Tensor) -> Tensor:
        (mean, log_std), (mean2, log_std2) = self._parts(ops, inputs), self._parts(ops, other)
        spread = (ops.exp(2 * log_std) + ops.square(mean - mean2)) / (2 * ops.exp(2 * log_std2))
        return ops.sum(log_std2 - log_std + spread - 0.5, -1)


class EpsilonGreedy(Categorical):
    """Acting on Q-values: the best action, or with probability `exploration` any. Inputs are Q-values, so the
    densities of a categorical do not apply."""

    def __init__(self, n: int):
        self.num_inputs, self.noise_size = n, 2

    def noise(self, rng: np.random.Generator, steps: int) -> np.ndarray:
        return rng.random((steps, 2), np.float32)

    def sample(self, inputs: np.ndarray, noise: np.ndarray, exploration: float) -> np.ndarray:
        anything = np.minimum((noise[:, 1] * self.num_inputs).astype(np.int64), self.num_inputs - 1)
        return np.where(noise[:, 0] < exploration, anything, self.mode(inputs))


def make_distribution(space: Any) -> Distribution:
    """The distribution of a policy-gradient method over a Gymnasium action space."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Categorical(int(space.n))
    if kind == "MultiDiscrete":
        return MultiCategorical([int(n) for n in np.ravel(space.nvec)])
    return DiagGaussian(prod(space.shape))
