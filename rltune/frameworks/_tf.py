"""tensorflow: the operations and an update compiled by XLA to one program, loop included."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rltune.frameworks import convolution
from rltune.frameworks.columns import Columns
from rltune.frameworks.compiled import CompiledUpdater, State
from rltune.frameworks.environment import setting
from rltune.frameworks.ops import Ops, Tensor
from rltune.frameworks.tables import Tables
from rltune.frameworks.updater import UpdaterSettings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
import tensorflow as tf  # noqa: E402
from tensorflow.compiler.tf2xla.python import xla  # noqa: E402

logger = logging.getLogger(__name__)

exp, tanh, sqrt, square, abs, minimum, maximum, where, one_hot, stop_gradient, reshape = (
    tf.exp, tf.tanh, tf.sqrt, tf.square, tf.abs, tf.minimum, tf.maximum, tf.where, tf.one_hot, tf.stop_gradient,
    tf.reshape,
)  # fmt: skip
log, softplus, relu, clip = tf.math.log, tf.math.softplus, tf.nn.relu, tf.clip_by_value


def _product(x: Tensor, w: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """As jax's `matmul`, and for the same reason; what of `w` is transposed is laid out too."""

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        rows, gradients = (tf.reshape(t, (-1, t.shape[-1])) for t in (x, upstream))
        return upstream @ _laid_out(tf.transpose(w)), _laid_out(tf.transpose(rows)) @ gradients

    return x @ w, gradient


def _laid_out(x: Tensor) -> Tensor:
    return xla.optimization_barrier(x)[0]


matmul = tf.custom_gradient(_product)


def sum(x: Tensor, axis: int | None = None) -> Tensor:
    return tf.reduce_sum(x, axis)


def mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    return tf.reduce_mean(x) if mask is None else tf.reduce_sum(x * mask) / tf.reduce_sum(mask)


def max(x: Tensor) -> Tensor:
    return tf.reduce_max(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    return tf.nn.log_softmax(x, -1)


def gather(x: Tensor, index: Tensor) -> Tensor:
    """As jax's, and for the same reason."""
    chosen = tf.range(x.shape[-1], dtype=index.dtype) == index[..., None]
    return tf.reduce_sum(tf.where(chosen, x, 0.0), -1)


def concat(xs: list[Tensor]) -> Tensor:
    return tf.concat(xs, -1)


def split(x: Tensor, sizes: list[int]) -> list[Tensor]:
    return list(tf.split(x, sizes, -1))


def cast_float(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32)


def conv2d(x: Tensor, w: Tensor, stride: int, same: bool) -> Tensor:
    """XLA's own is many times slower on a CPU when it is part of a loop."""
    return convolution.conv2d(
        x, w, stride, same, pad=tf.pad, transpose=tf.transpose, reshape=tf.reshape, concat=concat
    )


OPS: Ops = sys.modules[__name__]


def has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def make_updater(settings: UpdaterSettings) -> TfUpdater:
    return TfUpdater(settings)


class TfUpdater(CompiledUpdater):
    """The loop is a `while_loop` in a function that XLA compiles."""

    def __init__(self, settings: UpdaterSettings):
        _prepare(settings)
        super().__init__(settings, OPS)
        self._programs: dict[Any, Callable[..., tuple[State, Tensor, dict[str, Tensor]]]] = {}

    def _call(self, tables: Tables) -> tuple[State, Tensor, dict[str, Tensor]]:
        # Tensors handed to the function of their shapes cost a third of arrays that it has to look at.
        tensors = tf.nest.map_structure(
            tf.constant, (tables.matrices, tables.index, tables.coeffs, tables.steps)
        )
        rows = len(next(iter(tables.matrices.values())))
        key = tables.columns, tables.names, tables.index.shape, rows
        flags = None
        if key not in self._programs:
            loop = partial(self._loop, tables.columns, tables.names)
            function = tf.function(loop, autograph=False, jit_compile=True)
            self._programs[key] = function.get_concrete_function(self._state, *tensors)
            flags = _xla_flags(self._settings.threads)
        with setting("XLA_FLAGS", flags):  # the first call compiles
            return self._programs[key](self._state, *tensors)

    def _loop(
        self,
        columns: Columns,
        names: tuple[str, ...],
        state: State,
        matrices: dict[str, Tensor],
        index: Tensor,
        coeffs: Tensor,
        steps: Tensor,
    ) -> tuple[State, Tensor, dict[str, Tensor]]:
        self.traces += 1
        step = tf.function(partial(self._step, columns, names), autograph=False)
        specs = tf.nest.map_structure(
            lambda x: tf.TensorSpec(x.shape, x.dtype), (state, matrices, index[0], coeffs[0])
        )
        step = step.get_concrete_function(*specs)  # traced once, used twice
        outputs = tf.nest.map_structure(
            lambda s: tf.zeros((index.shape[0], *s.shape), s.dtype), step.structured_outputs[1:]
        )

        def one(i: Tensor, state: Any, outputs: Any) -> Any:
            state, *now = step(state, matrices, index[i], coeffs[i])

            def put(table: Tensor, row: Tensor) -> Tensor:
                return tf.tensor_scatter_nd_update(table, [[i]], row[None])

            return i + 1, state, tf.nest.map_structure(put, outputs, tuple(now))

        _, state, (stats, rows) = tf.while_loop(
            lambda i, *_: i < steps, one, (tf.constant(0), state, outputs)
        )
        return state, stats, rows

    def _gradient(self, objective: Callable[[Tensor], Any], theta: Tensor) -> tuple[Tensor, Any]:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            total, more = objective(theta)
        return tape.gradient(total, theta), more

    def _take(self, matrix: Tensor, rows: Tensor) -> Tensor:
        return tf.gather(matrix, rows)

    def _stack(self, scalars: list[Tensor]) -> Tensor:
        return tf.stack(scalars)

    def _put(self, vector: np.ndarray) -> Tensor:
        return tf.constant(vector)


ONE_THREAD = {"2.21": "--xla_cpu_enable_concurrency_optimized_scheduler=false"}
"""By release: a flag with which XLA does not order operations so that several can run at once. Where there is one
thread it would still hand half of each step to another. A release that does not know a flag ends the process, so none
is given to those that this was not tried with."""


def _xla_flags(threads: int) -> str | None:
    """What XLA_FLAGS is while the first program is compiled, when XLA reads it, and once. None: as it is."""
    flag = ONE_THREAD.get(tf.__version__.rpartition(".")[0]) if threads == 1 else None
    # Of equal flags the last counts.
    return flag and f"{flag} {os.environ.get('XLA_FLAGS', '')}"


def _prepare(settings: UpdaterSettings) -> None:
    """Threads and devices, which tensorflow takes before it first computes, and once per process."""
    if tf.config.threading.get_intra_op_parallelism_threads():
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        tf.config.threading.set_inter_op_parallelism_threads(settings.threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        if settings.device == "cpu":
            tf.config.set_visible_devices([], "GPU")  # a GPU that nobody asked for stays free
    except RuntimeError as error:  # an environment that computes with tensorflow was there first
        logger.warning(
            "tensorflow has computed in this process before: its threads and devices stay as they are (%s)",
            error,
        )
