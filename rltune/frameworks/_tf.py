"""tensorflow: the operations and an update compiled by XLA to one program, loop included."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
import tensorflow as tf  # noqa: E402

from rltune.frameworks.columns import Columns  # noqa: E402
from rltune.frameworks.ops import Ops, Tensor  # noqa: E402
from rltune.frameworks.step import GRADIENT_NORM, descend, vectors  # noqa: E402
from rltune.frameworks.tables import masked, padded, unpadded  # noqa: E402
from rltune.frameworks.updater import UpdaterSettings  # noqa: E402

exp, tanh, sqrt, square, abs, minimum, maximum, where, one_hot, stop_gradient, reshape = (
    tf.exp, tf.tanh, tf.sqrt, tf.square, tf.abs, tf.minimum, tf.maximum, tf.where, tf.one_hot, tf.stop_gradient,
    tf.reshape,
)  # fmt: skip
log, softplus, relu, clip = tf.math.log, tf.math.softplus, tf.nn.relu, tf.clip_by_value


def sum(x: Tensor, axis: int | None = None) -> Tensor:
    return tf.reduce_sum(x, axis)


def mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    return tf.reduce_mean(x) if mask is None else tf.reduce_sum(x * mask) / tf.reduce_sum(mask)


def max(x: Tensor) -> Tensor:
    return tf.reduce_max(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    return tf.nn.log_softmax(x, -1)


def gather(x: Tensor, index: Tensor) -> Tensor:
    return tf.gather(x, index, axis=-1, batch_dims=len(index.shape))


def concat(xs: list[Tensor]) -> Tensor:
    return tf.concat(xs, -1)


def split(x: Tensor, sizes: list[int]) -> list[Tensor]:
    return list(tf.split(x, sizes, -1))


def cast_float(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32)


OPS: Ops = sys.modules[__name__]


def has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def make_updater(settings: UpdaterSettings) -> TfUpdater:
    return TfUpdater(settings)


class TfUpdater:
    """See `rltune.frameworks.updater.Updater`."""

    def __init__(self, settings: UpdaterSettings):
        _prepare(settings)
        self._settings = settings
        self._t = 0
        self._state: dict[str, Tensor] = {}
        self._programs: dict[tuple[Columns, tuple[str, ...]], Any] = {}
        self._stats: tuple[str, ...] = ()
        self.traces = 0
        """How often the update was traced: more than once only for shapes that padding does not make alike."""

    def update(
        self,
        batch: Mapping[str, np.ndarray],
        index: np.ndarray,
        coeffs: Mapping[str, float | np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        tables = padded(batch, index, coeffs, self._t)
        static = tables.columns, tables.names
        if static not in self._programs:
            loop = partial(self._loop, *static)
            self._programs[static] = tf.function(loop, autograph=False, jit_compile=True)
        self._state, stats, rows = self._programs[static](
            self._state, tables.matrices, tables.index, tables.coeffs, tf.constant(tables.steps)
        )
        self._t += tables.steps
        return (
            dict(zip(self._stats, stats.numpy()[: tables.steps].T, strict=True)),
            {name: unpadded(values.numpy(), index) for name, values in rows.items()},
        )

    def _loop(
        self,
        columns: Columns,
        names: tuple[str, ...],
        state: dict[str, Tensor],
        matrices: dict[str, Tensor],
        index: Tensor,
        coeffs: Tensor,
        steps: Tensor,
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """The first `steps` rows of `index`, and outputs for all of them."""
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

    def _step(
        self,
        columns: Columns,
        names: tuple[str, ...],
        state: dict[str, Tensor],
        matrices: dict[str, Tensor],
        order: Tensor,
        coeffs: Tensor,
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        chosen = tf.maximum(order, 0)
        gathered = {kind: tf.gather(matrix, chosen) for kind, matrix in matrices.items()}
        minibatch = masked(columns.unpack(OPS, gathered), cast_float(order >= 0))
        now = {name: coeffs[i] for i, name in enumerate(names)}
        spec, theta = self._settings.spec, state["theta"]
        more = (spec.unpack(state["target"], OPS),) if self._settings.has_target else ()
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss, stats, rows = self._settings.loss(
                OPS, spec.unpack(theta, OPS), minibatch, now, *more
            )
        state, norm = descend(OPS, state, tape.gradient(loss, theta), now)
        self._stats = (*stats, GRADIENT_NORM)
        return state, tf.stack([*stats.values(), norm]), rows

    def get_theta(self) -> np.ndarray:
        return np.array(self._state["theta"])

    def get_state(self) -> dict[str, np.ndarray]:
        return {"t": np.asarray(self._t)} | {k: np.array(v) for k, v in self._state.items()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._t = int(state["t"])
        self._state |= {
            k: tf.constant(state[k], tf.float32)
            for k in vectors(self._settings.has_target)
            if k in state
        }


def _prepare(settings: UpdaterSettings) -> None:
    """Threads and devices, which tensorflow takes before it first computes, and once per process."""
    if tf.config.threading.get_intra_op_parallelism_threads():
        return
    tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
    tf.config.threading.set_inter_op_parallelism_threads(settings.threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if settings.device == "cpu":
        tf.config.set_visible_devices([], "GPU")  # a GPU that nobody asked for stays free
