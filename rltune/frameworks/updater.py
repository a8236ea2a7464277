"""What a framework offers a learner: all steps of an update in one call, state as numpy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rltune.frameworks.spec import ParamSpec

Loss = Callable[..., tuple[Any, dict[str, Any], dict[str, Any]]]
"""loss(ops, params, batch, coeffs[, target]) -> (scalar, statistics: scalars, per-row outputs [B])."""


@dataclass(frozen=True)
class UpdaterSettings:
    """How an updater is built. `has_target`: a slowly following copy of the parameters goes into the loss."""

    spec: ParamSpec
    loss: Loss
    has_target: bool = False
    device: str = "cpu"
    threads: int = 1


class Updater(Protocol):
    """Parameters, optimiser moments and the loop over minibatches, inside a framework."""

    def update(
        self,
        batch: Mapping[str, np.ndarray],
        index: np.ndarray,
        coeffs: Mapping[str, float | np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """One optimiser step per row of `index` [steps, minibatch] (row numbers of `batch`; -1 is padding).

        A coefficient is a number, or one per step. `lr`, `grad_clip`, `adam_epsilon` drive the optimiser; `target_tau`
        moves the target after a step (0 leaves it, 1 copies). Returns statistics [steps] and row outputs
        [steps, minibatch], NaN at padding.
        """

    def get_theta(self) -> np.ndarray:
        """The parameters alone, flat float32."""

    def get_state(self) -> dict[str, np.ndarray]:
        """theta, m, v (flat float32), t, and target where there is one."""

    def set_state(self, state: Mapping[str, np.ndarray]) -> None: ...
