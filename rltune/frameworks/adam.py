"""The optimiser, written once on flat vectors."""

from __future__ import annotations

from rltune.frameworks.ops import Ops, Tensor

BETA1, BETA2 = 0.9, 0.999


def clip_by_norm(ops: Ops, gradient: Tensor, limit: float | Tensor) -> tuple[Tensor, Tensor]:
    """The gradient scaled to a norm of at most `limit` (infinity: unchanged), and its norm before."""
    norm = ops.sqrt(ops.sum(ops.square(gradient)))
    return gradient * ops.minimum(limit / (norm + 1e-6), 1.0), norm


def adam(
    ops: Ops,
    theta: Tensor,
    m: Tensor,
    v: Tensor,
    t: float,
    gradient: Tensor,
    lr: float,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step, Kingma & Ba 2015 (https://arxiv.org/abs/1412.6980), algorithm 1. `t` counts from 1.

    Returns the new (theta, m, v).
    """
    m = BETA1 * m + (1 - BETA1) * gradient
    v = BETA2 * v + (1 - BETA2) * ops.square(gradient)
    step = lr / (1 - BETA1**t)
    return theta - step * m / (ops.sqrt(v) / (1 - BETA2**t) ** 0.5 + epsilon), m, v
