"""The frameworks that tests run with, and tensors and gradients of each."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rltune.frameworks import PACKAGES, _numpy, get_ops

INSTALLED = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
ALL = [
    pytest.param(
        name,
        marks=[] if name in INSTALLED else pytest.mark.skip(reason=f"no {package} here"),
    )
    for name, package in PACKAGES.items()
]
"""Every framework; those that are not installed are skipped."""


def ops_of(binding: str) -> Any:
    """The operations of a framework, or of numpy."""
    return _numpy if binding == "numpy" else get_ops(binding)


def tensor(framework: str, array: np.ndarray) -> Any:
    """The array as the framework's own; whole numbers as its losses see them."""
    if framework == "numpy":
        return array
    if framework == "torch":
        import torch

        return torch.from_numpy(np.ascontiguousarray(array))
    if framework == "jax":
        import jax.numpy as jnp

        return jnp.asarray(array)
    import tensorflow as tf

    return tf.constant(array, tf.int32 if array.dtype == np.int64 else None)


def gradient(framework: str, function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """The gradient of a scalar function of a tensor at the array `x`."""
    if framework == "torch":
        import torch

        variable = torch.from_numpy(x.copy()).requires_grad_()
        return np.asarray(torch.autograd.grad(function(variable), variable)[0])
    if framework == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    import tensorflow as tf

    variable = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = function(variable)
    return np.asarray(tf.convert_to_tensor(tape.gradient(total, variable)))
