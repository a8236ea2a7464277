"""jax: the operations and an update compiled to one program, loop included."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rltune.frameworks import convolution
from rltune.frameworks.columns import Columns
from rltune.frameworks.compiled import CompiledUpdater, State
from rltune.frameworks.environment import setting
from rltune.frameworks.ops import Ops, Tensor
from rltune.frameworks.tables import Tables
from rltune.frameworks.updater import UpdaterSettings

exp, log, tanh, sqrt, square, abs = jnp.exp, jnp.log, jnp.tanh, jnp.sqrt, jnp.square, jnp.abs
minimum, maximum, clip, where = jnp.minimum, jnp.maximum, jnp.clip, jnp.where
relu, softplus, stop_gradient = jax.nn.relu, jax.nn.softplus, lax.stop_gradient


@jax.custom_vjp
def matmul(x: Tensor, w: Tensor) -> Tensor:
    """What a gradient transposes of `x` is laid out first: XLA's products on a CPU are slower by half, and by much
    more where one side is narrow, if they have to read across the rows."""
    return x @ w


def _matmul_gradient(factors: tuple[Tensor, Tensor], gradient: Tensor) -> tuple[Tensor, Tensor]:
    x, w = factors
    rows, gradients = (t.reshape(-1, t.shape[-1]) for t in (x, gradient))
    return gradient @ w.T, lax.optimization_barrier(rows.T) @ gradients


matmul.defvjp(lambda x, w: (x @ w, (x, w)), _matmul_gradient)


def sum(x: Tensor, axis: int | None = None) -> Tensor:
    return jnp.sum(x, axis)


def mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    return jnp.mean(x) if mask is None else jnp.sum(x * mask) / jnp.sum(mask)


def max(x: Tensor) -> Tensor:
    return jnp.max(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    return jax.nn.log_softmax(x, -1)


def gather(x: Tensor, index: Tensor) -> Tensor:
    """A sum over a mask, which XLA joins with what is around it; it makes nine kernels of a gather and its gradient."""
    chosen = jnp.arange(x.shape[-1]) == index[..., None]
    return jnp.sum(jnp.where(chosen, x, 0.0), -1)


def one_hot(index: Tensor, size: int) -> Tensor:
    return jax.nn.one_hot(index, size, dtype=jnp.float32)


def concat(xs: list[Tensor]) -> Tensor:
    return jnp.concatenate(xs, -1)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return jnp.reshape(x, shape)


def split(x: Tensor, sizes: list[int]) -> list[Tensor]:
    return jnp.split(x, np.cumsum(sizes)[:-1], -1)


def cast_float(x: Tensor) -> Tensor:
    return jnp.asarray(x, jnp.float32)


def conv2d(x: Tensor, w: Tensor, stride: int, same: bool) -> Tensor:
    """XLA's own is many times slower on a CPU when it is part of a loop."""
    return convolution.conv2d(
        x, w, stride, same, pad=jnp.pad, transpose=jnp.transpose, reshape=jnp.reshape, concat=concat
    )


OPS: Ops = sys.modules[__name__]


CACHE = "RLTUNE_JAX_CACHE"
"""Environment variable: the directory of compiled programs, or `off`."""
CACHE_BYTES = 200_000_000


def _set_up_cache() -> None:
    """Compiled programs are kept between runs, the oldest ones deleted beyond `CACHE_BYTES`. What the user has set
    (JAX_COMPILATION_CACHE_DIR) stays."""
    where_to = os.environ.get(CACHE, str(Path("~/.cache/rltune/jax").expanduser()))
    if where_to == "off" or jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    jax.config.update("jax_compilation_cache_dir", where_to)
    jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


_set_up_cache()


def has_gpu() -> bool:
    return any(device.platform == "gpu" for device in jax.devices())


def make_updater(settings: UpdaterSettings) -> JaxUpdater:
    return JaxUpdater(settings)


class JaxUpdater(CompiledUpdater):
    """The loop is a `fori_loop` of a number of steps that is an input."""

    def __init__(self, settings: UpdaterSettings):
        super().__init__(settings, OPS)
        self._device = _device(settings)
        self._run = jax.jit(self._loop, static_argnames=("columns", "names"), donate_argnums=0)

    def _call(self, tables: Tables) -> tuple[State, Tensor, dict[str, Tensor]]:
        return self._run(  # type: ignore[no-any-return]
            self._state, tables.matrices, tables.index, tables.coeffs, tables.steps,
            columns=tables.columns, names=tables.names,
        )  # fmt: skip

    def _loop(
        self,
        state: State,
        matrices: dict[str, Tensor],
        index: Tensor,
        coeffs: Tensor,
        steps: Tensor,
        *,
        columns: Columns,
        names: tuple[str, ...],
    ) -> tuple[State, Tensor, dict[str, Tensor]]:
        self.traces += 1
        step = jax.jit(partial(self._step, columns, names))  # traced once, used twice
        _, *shapes = jax.eval_shape(step, state, matrices, index[0], coeffs[0])
        outputs = jax.tree.map(lambda s: jnp.zeros((len(index), *s.shape), s.dtype), shapes)

        def one(i: Tensor, carry: Any) -> Any:
            state, outputs = carry
            state, *now = step(state, matrices, index[i], coeffs[i])
            return state, jax.tree.map(lambda table, row: table.at[i].set(row), outputs, now)

        state, (stats, rows) = lax.fori_loop(0, steps, one, (state, outputs))
        return state, stats, rows

    def _gradient(self, objective: Callable[[Tensor], Any], theta: Tensor) -> tuple[Tensor, Any]:
        return jax.grad(objective, has_aux=True)(theta)  # type: ignore[no-any-return]

    def _take(self, matrix: Tensor, rows: Tensor) -> Tensor:
        return matrix[rows]

    def _stack(self, scalars: list[Tensor]) -> Tensor:
        return jnp.stack(scalars)

    def _put(self, vector: np.ndarray) -> Tensor:
        return jax.device_put(vector, self._device)


def _device(settings: UpdaterSettings) -> Any:
    """The device, and as many threads as jax lets itself be given: before it first computes, and once per process."""
    if settings.device == "cpu" and "JAX_PLATFORMS" not in os.environ:
        jax.config.update("jax_platforms", "cpu")  # a GPU that nobody asked for stays free
    with setting(THREADS, str(settings.threads)):
        return jax.devices("gpu" if settings.device == "cuda" else "cpu")[0]


THREADS = "PJRT_NPROC"
