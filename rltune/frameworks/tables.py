"""An update as arrays of few different shapes: what a compiled loop takes without being compiled again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rltune.frameworks.adam import bias_corrections
from rltune.frameworks.columns import Columns
from rltune.frameworks.ops import Tensor

CORRECTIONS = ("m_correction", "v_correction")
"""Columns of the table of coefficients that hold Adam's bias corrections."""
LEAST_ROWS, LEAST_STEPS, LEAST_WIDTH = 64, 16, 8


@dataclass(frozen=True)
class Tables:
    """One call of `Updater.update`, padded.

    `names` are the columns of `coeffs` [steps, names], float32. `index` [steps, width] holds -1 where there is no row;
    only the first `steps` rows of both are to be run.
    """

    columns: Columns
    names: tuple[str, ...]
    matrices: dict[str, np.ndarray]
    index: np.ndarray
    coeffs: np.ndarray
    steps: int


def coeff_table(
    coeffs: Mapping[str, float | np.ndarray], t: int, steps: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, and values [steps, names] in double precision, after `t` steps of the optimiser."""
    everything = {
        **coeffs,
        **dict(zip(CORRECTIONS, bias_corrections(t + np.arange(1, steps + 1)), strict=True)),
    }
    table = np.empty((steps, len(everything)))
    for column, values in enumerate(everything.values()):
        table[:, column] = values
    return tuple(everything), table


def padded(
    batch: Mapping[str, np.ndarray],
    index: np.ndarray,
    coeffs: Mapping[str, float | np.ndarray],
    t: int,
) -> Tables:
    """The tables of an update whose optimiser has done `t` steps."""
    steps, width = index.shape
    names, values = coeff_table(coeffs, t, steps)
    columns = Columns.of(batch)
    rows = _power_of_two(len(next(iter(batch.values()))), LEAST_ROWS)
    padded_index = np.full((_power_of_two(steps, LEAST_STEPS), _width(width, steps)), -1, np.int32)
    padded_index[:steps, :width] = index
    padded_coeffs = np.zeros((len(padded_index), len(names)), np.float32)
    padded_coeffs[:steps] = values
    return Tables(columns, names, columns.pack(batch, rows), padded_index, padded_coeffs, steps)


def unpadded(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Outputs per row, as the caller's `index` has them: NaN at its padding."""
    steps, width = index.shape
    return np.where(index >= 0, values[:steps, :width], np.float32(np.nan))


def masked(minibatch: dict[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """The minibatch with `mask` [B], 1 where there is a row; a mask of its own counts too."""
    return {**minibatch, "mask": minibatch["mask"] * mask if "mask" in minibatch else mask}


def _width(width: int, steps: int) -> int:
    """A single step costs less than compiling anew, so its width is padded generously: whole batches differ in length
    each time. The minibatches of several steps are of one size, and every row of padding is paid for in each."""
    if steps == 1:
        return _power_of_two(width, LEAST_WIDTH)
    grain = max(_power_of_two(width, LEAST_WIDTH) // 16, 1)
    return max(-(-width // grain) * grain, LEAST_WIDTH)


def _power_of_two(n: int, least: int) -> int:
    return max(least, 1 << max(n - 1, 0).bit_length())
