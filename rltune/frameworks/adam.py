"""The optimiser, written once on flat vectors."""

from __future__ import annotations

import numpy as np

from rltune.frameworks.ops import Ops, Tensor

BETA1, BETA2 = 0.9, 0.999


def clip_by_norm(ops: Ops, gradient: Tensor, limit: float | Tensor) -> tuple[Tensor, Tensor]:
    """The gradient scaled to a norm of at most `limit` (infinity: unchanged), and its norm before."""
    norm = ops.sqrt(ops.sum(ops.square(gradient)))
    return gradient * ops.minimum(limit / (norm + 1e-6), 1.0), norm


def bias_corrections(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What step `t` (counted from 1) divides m and sqrt(v) by.

    In numpy's double precision and outside the framework: 1 - 0.999**t loses digits in single precision.
    """
    return 1 - BETA1**t, np.sqrt(1 - BETA2**t)


def adam(
    ops: Ops,
    theta: Tensor,
    m: Tensor,
    v: Tensor,
    gradient: Tensor,
    lr: float | Tensor,
    epsilon: float | Tensor,
    corrections: tuple[float | Tensor, float | Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """One step, Kingma & Ba 2015 (https://arxiv.org/abs/1412.6980), algorithm 1.

    `corrections` are those of `bias_corrections`. Returns the new (theta, m, v).
    """
    m = BETA1 * m + (1 - BETA1) * gradient
    v = BETA2 * v + (1 - BETA2) * ops.square(gradient)
    return theta - lr / corrections[0] * m / (ops.sqrt(v) / corrections[1] + epsilon), m, v


def follow(target: Tensor, theta: Tensor, tau: float | Tensor) -> Tensor:
    """The target moved towards the parameters: 0 leaves it and 1 copies, both exactly."""
    return (1.0 - tau) * target + tau * theta
