"""One optimiser step after the gradient is there, written once."""

from __future__ import annotations

from collections.abc import Mapping

from rltune.frameworks.adam import adam, clip_by_norm, follow
from rltune.frameworks.ops import Ops, Tensor
from rltune.frameworks.tables import CORRECTIONS

GRADIENT_NORM = "grad_gnorm"
"""The statistic that every updater adds to those of the loss: the gradient's norm before it is clipped."""


def vectors(has_target: bool) -> tuple[str, ...]:
    """The parts of a state: flat float32 vectors."""
    return ("theta", "m", "v", "target") if has_target else ("theta", "m", "v")


def descend(
    ops: Ops, state: Mapping[str, Tensor], gradient: Tensor, coeffs: Mapping[str, float | Tensor]
) -> tuple[dict[str, Tensor], Tensor]:
    """The state after the step, and the gradient's norm."""
    gradient, norm = clip_by_norm(ops, gradient, coeffs["grad_clip"])
    theta, m, v = adam(
        ops, state["theta"], state["m"], state["v"], gradient, coeffs["lr"], coeffs["adam_epsilon"],
        (coeffs[CORRECTIONS[0]], coeffs[CORRECTIONS[1]]),
    )  # fmt: skip
    new = {"theta": theta, "m": m, "v": v}
    if "target" in state:
        new["target"] = follow(state["target"], theta, coeffs["target_tau"])
    return new, norm
