"""torch: the operations and an update on one flat parameter vector: lean and eager, on a GPU a captured graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from rltune.frameworks._torch_graph import Capture, Program, cuda_graph
from rltune.frameworks.columns import Columns
from rltune.frameworks.compiled import CompiledUpdater, State
from rltune.frameworks.convolution import Axis
from rltune.frameworks.ops import Ops, Tensor
from rltune.frameworks.step import GRADIENT_NORM, descend, vectors
from rltune.frameworks.tables import Tables, coeff_table
from rltune.frameworks.updater import Updater, UpdaterSettings

matmul, exp, log, tanh, relu, sqrt, square, abs = (
    torch.matmul, torch.exp, torch.log, torch.tanh, torch.relu, torch.sqrt, torch.square, torch.abs,
)  # fmt: skip
clip, where, softplus = torch.clamp, torch.where, functional.softplus


def minimum(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.minimum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, max=y)


def maximum(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.maximum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, min=y)


def sum(x: Tensor, axis: int | None = None) -> Tensor:
    return torch.sum(x) if axis is None else torch.sum(x, axis)


def mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    return torch.mean(x) if mask is None else torch.sum(x * mask) / torch.sum(mask)


def max(x: Tensor) -> Tensor:
    return torch.amax(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    return torch.log_softmax(x, -1)


def gather(x: Tensor, index: Tensor) -> Tensor:
    return torch.gather(x, -1, index.unsqueeze(-1)).squeeze(-1)


def one_hot(index: Tensor, size: int) -> Tensor:
    return functional.one_hot(index, size).float()


def stop_gradient(x: Tensor) -> Tensor:
    return x.detach()


def concat(xs: list[Tensor]) -> Tensor:
    return torch.cat(xs, -1)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.reshape(x, shape)


def split(x: Tensor, sizes: list[int]) -> list[Tensor]:
    return list(torch.split(x, sizes, -1))


def cast_float(x: Tensor) -> Tensor:
    return x.float()


def conv2d(x: Tensor, w: Tensor, stride: int, same: bool) -> Tensor:
    """NHWC seen as NCHW is what torch calls channels_last: nothing is copied, and it is the faster of the two."""
    rows, columns = (Axis.of(x.shape[i + 1], w.shape[i], stride, same) for i in (0, 1))
    x = x.permute(0, 3, 1, 2)
    padding = rows.before, columns.before
    if padding != (rows.after, columns.after):
        x, padding = functional.pad(x, (*columns[1:], *rows[1:])), (0, 0)
    out = functional.conv2d(x, w.permute(3, 2, 0, 1), stride=stride, padding=padding)
    return out.permute(0, 2, 3, 1)


def has_gpu() -> bool:
    return bool(torch.cuda.is_available())


OPS: Ops = sys.modules[__name__]


def make_updater(settings: UpdaterSettings) -> Updater:
    return GraphUpdater(settings) if settings.device == "cuda" else TorchUpdater(settings)


class TorchUpdater:
    """See `rltune.frameworks.updater.Updater`."""

    def __init__(self, settings: UpdaterSettings):
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self._device = torch.device(settings.device)
        self._t = 0
        self._state: dict[str, Tensor] = {}

    def update(
        self,
        batch: Mapping[str, np.ndarray],
        index: np.ndarray,
        coeffs: Mapping[str, float | np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        columns = Columns.of(batch)
        packed = columns.pack(batch, len(next(iter(batch.values()))), np.int64)
        matrices = {kind: torch.from_numpy(m).to(self._device) for kind, m in packed.items()}
        names, table = coeff_table(coeffs, self._t, len(index))
        kept = [row[row >= 0] for row in index] if (index < 0).any() else list(index)
        stats: list[Tensor] = []
        rows: dict[str, list[Tensor]] = {}
        for order, now in zip(kept, table.tolist(), strict=True):
            chosen = torch.from_numpy(order).to(self._device, torch.int64)
            gathered = {kind: matrix.index_select(0, chosen) for kind, matrix in matrices.items()}
            minibatch = columns.unpack(OPS, gathered)
            step_stats, step_rows = self._step(minibatch, dict(zip(names, now, strict=True)))
            stats.append(torch.stack(list(step_stats.values())))
            for name, values in step_rows.items():
                rows.setdefault(name, []).append(values)
        self._t += len(index)
        results = torch.stack(stats).cpu().numpy()
        return (
            {name: results[:, column] for column, name in enumerate(step_stats)},
            {name: _padded(values, index) for name, values in rows.items()},
        )

    def _step(
        self, minibatch: dict[str, Tensor], coeffs: dict[str, float]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        spec, state = self._settings.spec, self._state
        theta = state["theta"].detach().requires_grad_()
        more = (spec.unpack(state["target"], OPS),) if self._settings.has_target else ()
        loss, stats, rows = self._settings.loss(
            OPS, spec.unpack(theta, OPS), minibatch, coeffs, *more
        )
        (gradient,) = torch.autograd.grad(loss, theta)
        moving = self._settings.has_target and coeffs["target_tau"] > 0
        with torch.no_grad():
            parts = state if moving else {k: state[k] for k in state if k != "target"}
            new, norm = descend(OPS, parts, gradient, coeffs)
        self._state = {**state, **new}
        stats = {name: value.detach() for name, value in stats.items()}
        return {**stats, GRADIENT_NORM: norm}, {
            name: value.detach() for name, value in rows.items()
        }

    def get_theta(self) -> np.ndarray:
        theta: np.ndarray = self._state["theta"].cpu().numpy().copy()
        return theta

    def get_state(self) -> dict[str, np.ndarray]:
        return {"t": np.asarray(self._t)} | {
            k: value.cpu().numpy().copy() for k, value in self._state.items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._t = int(state["t"])
        self._state |= {
            k: torch.from_numpy(np.array(state[k], np.float32)).to(self._device)
            for k in vectors(self._settings.has_target)
            if k in state
        }


class GraphUpdater(CompiledUpdater):
    """For a GPU: the loop is a captured step, replayed, and the CPU waits once per call.

    Captured anew only for tables of other shapes; see `rltune.frameworks._torch_graph`.
    """

    def __init__(self, settings: UpdaterSettings, capture: Capture = cuda_graph):
        super().__init__(settings, OPS)
        torch.set_num_threads(settings.threads)
        self._device = torch.device(settings.device)
        self._capture = capture
        self._programs: dict[Any, Program] = {}

    def _call(self, tables: Tables) -> tuple[State, Tensor, dict[str, Tensor]]:
        rows = {len(matrix) for matrix in tables.matrices.values()}
        key = tables.columns, tables.names, tables.index.shape, *rows
        if key not in self._programs:
            self.traces += 1
            step = torch.no_grad()(partial(self._step, tables.columns, tables.names, self._state))
            self._programs[key] = Program(step, self._state, tables, self._device, self._capture)
        return self._state, *self._programs[key].run(tables)

    def _gradient(self, objective: Callable[[Tensor], Any], theta: Tensor) -> tuple[Tensor, Any]:
        with torch.enable_grad():
            theta = theta.detach().requires_grad_()
            total, (stats, rows) = objective(theta)
            (gradient,) = torch.autograd.grad(total, theta)
        detached = {name: values.detach() for name, values in rows.items()}
        return gradient, ([value.detach() for value in stats], detached)

    def _take(self, matrix: Tensor, rows: Tensor) -> Tensor:
        return matrix.index_select(0, rows)

    def _stack(self, scalars: list[Tensor]) -> Tensor:
        return torch.stack(scalars)

    def _put(self, vector: np.ndarray) -> Tensor:
        return torch.from_numpy(vector).to(self._device)

    def _get(self, tensor: Tensor) -> np.ndarray:
        copy: np.ndarray = tensor.cpu().numpy().copy()
        return copy

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        places = dict(self._state)
        super().set_state(state)
        for part, place in places.items():  # a captured graph knows it by its place
            self._state[part] = place.copy_(self._state[part])


def _padded(values: list[Tensor], index: np.ndarray) -> np.ndarray:
    table = np.full(index.shape, np.nan, np.float32)
    table[index >= 0] = torch.cat(values).cpu().numpy()
    return table
