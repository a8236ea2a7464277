"""torch on a GPU: one step of an update as a captured CUDA graph, replayed for every step.

A step of a small network is hundreds of kernels of a few microseconds, and starting one from Python takes longer than
it runs. A graph starts them all at once. What it reads and writes must stay at its place in memory, and the step must
be the same one each time: so its number, too, is a tensor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from rltune.frameworks.ops import Tensor
from rltune.frameworks.tables import Tables

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Makes of a function that reads and writes tensors one that does the same again without running its Python."""
Step = Callable[
    [dict[str, Tensor], Tensor, Tensor], tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]
]
"""(matrices, row of the index, row of the coefficients) -> (new state, statistics [n], outputs per row)."""

WARM_UP_STEPS = 3
"""Run before a capture: libraries set themselves up in their first calls, which cannot be captured."""


def cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """`step` captured: the result launches its kernels, all at once, on the tensors that it used."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


class Program:
    """The steps of updates whose tables have the shapes of `tables`; `state` is changed in place."""

    def __init__(
        self, step: Step, state: dict[str, Tensor], tables: Tables, device: Tensor, capture: Capture
    ):
        def room(array: np.ndarray, dtype: Tensor | None = None) -> Tensor:
            return torch.from_numpy(array).to(device, dtype, copy=True)

        self._step, self._state = step, state
        self._matrices = {
            kind: room(matrix, torch.int64 if kind == "int" else None)
            for kind, matrix in tables.matrices.items()
        }
        self._index, self._coeffs = room(tables.index, torch.int64), room(tables.coeffs)
        self._now = torch.zeros(1, dtype=torch.int64, device=device)
        self._outputs: list[Tensor] = []
        self._names: list[str] = []
        before = {name: tensor.clone() for name, tensor in state.items()}
        self._replay = capture(self._advance)
        for name, tensor in before.items():  # capturing runs steps that are no part of training
            state[name].copy_(tensor)

    def run(self, tables: Tables) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The steps of `tables`: statistics [steps, n], and outputs [padded steps, padded width] by name."""
        for kind, matrix in tables.matrices.items():
            self._matrices[kind].copy_(torch.from_numpy(matrix))
        self._index.copy_(torch.from_numpy(tables.index))
        self._coeffs.copy_(torch.from_numpy(tables.coeffs))
        self._now.zero_()
        for _ in range(tables.steps):
            self._replay()
        stats, *rows = (table.cpu().numpy() for table in self._outputs)
        return stats[: tables.steps], dict(zip(self._names, rows, strict=True))

    def _advance(self) -> None:
        """Step number `_now`, and on to the next."""
        order = self._index.index_select(0, self._now)[0]
        coeffs = self._coeffs.index_select(0, self._now)[0]
        state, stats, rows = self._step(self._matrices, order, coeffs)
        outputs = [stats, *rows.values()]
        if not self._outputs:
            self._names = list(rows)
            self._outputs = [row.new_zeros((len(self._index), *row.shape)) for row in outputs]
        for table, row in zip(self._outputs, outputs, strict=True):
            table.index_copy_(0, self._now, row[None])
        for name, tensor in state.items():
            self._state[name].copy_(tensor)
        self._now.add_(1)
