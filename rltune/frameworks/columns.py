"""A batch as one matrix per type of number: a minibatch is then one gather per matrix, whatever its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from rltune.frameworks.ops import Ops, Tensor


@dataclass(frozen=True)
class Column:
    """Where a column lies: `kind` names the matrix, `shape` is that of one row."""

    name: str
    kind: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + prod(self.shape)


@dataclass(frozen=True)
class Columns:
    """The columns of a batch, hashable: what a compiled update is specific to beside the matrices' shapes."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, batch: Mapping[str, np.ndarray]) -> Columns:
        return _columns(tuple((n, values.dtype, values.shape[1:]) for n, values in batch.items()))

    def pack(
        self, batch: Mapping[str, np.ndarray], rows: int, int_type: type[np.integer] = np.int32
    ) -> dict[str, np.ndarray]:
        """Matrices [rows, width] by kind, zeros below the batch. The one cast on the way to the framework: float32,
        whole numbers, and uint8 as it is."""
        types = {"float": np.float32, "int": int_type, "uint8": np.uint8}
        widths: dict[str, int] = {}
        for column in self.columns:
            widths[column.kind] = column.stop
        matrices = {kind: np.zeros((rows, width), types[kind]) for kind, width in widths.items()}
        for column in self.columns:
            values = batch[column.name]
            matrices[column.kind][: len(values), column.start : column.stop] = values.reshape(
                len(values), -1
            )
        return matrices

    def unpack(self, ops: Ops, matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The columns [B, ...] of gathered rows."""
        return {column.name: _column(ops, matrices[column.kind], column) for column in self.columns}


@lru_cache
def _columns(layout: tuple[tuple[str, np.dtype, tuple[int, ...]], ...]) -> Columns:
    """The columns of these names, types and shapes of a row: the same object for every batch of a run."""
    columns: list[Column] = []
    used = {"float": 0, "int": 0, "uint8": 0}
    for name, dtype, shape in layout:
        kind = _kind(dtype)
        columns.append(Column(name, kind, used[kind], shape))
        used[kind] = columns[-1].stop
    return Columns(tuple(columns))


def _column(ops: Ops, matrix: Tensor, column: Column) -> Tensor:
    if not column.shape:
        return matrix[:, column.start]
    values = matrix[:, column.start : column.stop]
    return values if len(column.shape) == 1 else ops.reshape(values, (-1, *column.shape))


def _kind(dtype: np.dtype) -> str:
    if dtype == np.uint8:
        return "uint8"
    return "int" if np.issubdtype(dtype, np.integer) else "float"
