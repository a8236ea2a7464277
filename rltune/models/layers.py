"""Layers: parameters are named arrays, a forward pass is a pure function of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rltune.frameworks.ops import Ops, Tensor

Params = dict[str, Tensor]


def orthogonal(rng: np.random.Generator, rows: int, columns: int, gain: float) -> np.ndarray:
    """Saxe et al. 2014 (https://arxiv.org/abs/1312.6120)."""
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))
    return np.ascontiguousarray((q if rows >= columns else q.T) * gain, np.float32)


def init_layers(
    rng: np.random.Generator, name: str, sizes: list[int], gains: list[float]
) -> dict[str, np.ndarray]:
    """Weights `name/w0` [in, out] and biases `name/b0` [out], ..., one pair per gain."""
    params = {}
    for i, (rows, columns, gain) in enumerate(zip(sizes, sizes[1:], gains, strict=False)):
        params[f"{name}/w{i}"] = orthogonal(rng, rows, columns, gain)
        params[f"{name}/b{i}"] = np.zeros(columns, np.float32)
    return params


def hidden_gain(name: str) -> float:
    """What first weights before an activation are multiplied by."""
    return 1.0 if name == "linear" else 2**0.5


def activation(ops: Ops, name: str) -> Callable[[Tensor], Tensor]:
    return (lambda x: x) if name == "linear" else getattr(ops, name)


def dense(ops: Ops, params: Params, name: str, x: Tensor, layer: int = 0) -> Tensor:
    """One layer without activation."""
    return ops.matmul(x, params[f"{name}/w{layer}"]) + params[f"{name}/b{layer}"]
