"""An update whose step is traced once, by a compiler or into a graph: all but the framework's own calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rltune.frameworks.columns import Columns
from rltune.frameworks.ops import Ops, Tensor
from rltune.frameworks.step import GRADIENT_NORM, descend, vectors
from rltune.frameworks.tables import Tables, masked, padded, unpadded
from rltune.frameworks.updater import UpdaterSettings

State = dict[str, Tensor]
Outputs = tuple[Tensor, dict[str, Tensor]]
"""Statistics and rows, of one step or of all."""


class CompiledUpdater(ABC):
    """See `rltune.frameworks.updater.Updater`. A framework says how it runs the loop and five small things."""

    def __init__(self, settings: UpdaterSettings, ops: Ops):
        self._settings, self._ops = settings, ops
        self._t = 0
        self._state: State = {}
        self._stats: tuple[str, ...] = ()
        self.traces = 0
        """How often the update was traced: more than once only for shapes that padding does not make alike."""

    @abstractmethod
    def _call(self, tables: Tables) -> tuple[State, Tensor, dict[str, Tensor]]:
        """Runs `_step` with the first `tables.steps` rows of its index, without its Python: the last state, and
        outputs of at least those rows."""

    @abstractmethod
    def _put(self, vector: np.ndarray) -> Tensor:
        """A float32 tensor where the learner computes."""

    def _get(self, tensor: Tensor) -> np.ndarray:
        """A copy of a tensor of the state."""
        return np.array(tensor)

    @abstractmethod
    def _take(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """Those rows of a matrix."""

    @abstractmethod
    def _stack(self, scalars: list[Tensor]) -> Tensor:
        """A vector of scalars."""

    @abstractmethod
    def _gradient(self, objective: Callable[[Tensor], Any], theta: Tensor) -> tuple[Tensor, Any]:
        """Of an objective that returns (scalar, more): the gradient at `theta`, and what more."""

    def update(
        self,
        batch: Mapping[str, np.ndarray],
        index: np.ndarray,
        coeffs: Mapping[str, float | np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        tables = padded(batch, index, coeffs, self._t)
        self._state, stats, rows = self._call(tables)
        self._t += tables.steps
        return (
            dict(zip(self._stats, np.asarray(stats)[: tables.steps].T, strict=True)),
            {name: unpadded(np.asarray(values), index) for name, values in rows.items()},
        )

    def _step(
        self,
        columns: Columns,
        names: tuple[str, ...],
        state: State,
        matrices: dict[str, Tensor],
        order: Tensor,
        coeffs: Tensor,
    ) -> tuple[State, Tensor, dict[str, Tensor]]:
        """Traced, not run: the state after one step, and the step's outputs."""
        ops, settings = self._ops, self._settings
        chosen = ops.maximum(order, 0)
        gathered = {kind: self._take(matrix, chosen) for kind, matrix in matrices.items()}
        minibatch = masked(columns.unpack(ops, gathered), ops.cast_float(order >= 0))
        now = {name: coeffs[i] for i, name in enumerate(names)}
        more = (settings.spec.unpack(state["target"], ops),) if settings.has_target else ()

        def objective(theta: Tensor) -> Any:
            params = settings.spec.unpack(theta, ops)
            total, stats, rows = settings.loss(ops, params, minibatch, now, *more)
            self._stats = (*stats, GRADIENT_NORM)
            return total, (list(stats.values()), rows)  # a list keeps its order

        gradient, (stats, rows) = self._gradient(objective, state["theta"])
        state, norm = descend(ops, state, gradient, now)
        return state, self._stack([*stats, norm]), rows

    def get_theta(self) -> np.ndarray:
        return self._get(self._state["theta"])

    def get_state(self) -> dict[str, np.ndarray]:
        return {"t": np.asarray(self._t)} | {k: self._get(v) for k, v in self._state.items()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._t = int(state["t"])
        parts = vectors(self._settings.has_target)
        self._state |= {k: self._put(np.array(state[k], np.float32)) for k in parts if k in state}
