"""The learner: parameters, optimiser, and one call that runs all steps of an update inside the framework."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from rltune.frameworks import ParamSpec, UpdaterSettings, make_updater
from rltune.frameworks.updater import Loss
from rltune.models.networks import Model


class Learner:
    """Starts from `model.init(rng)`, so that every framework begins with the same weights."""

    def __init__(
        self, framework: str, model: Model, loss: Loss, rng: np.random.Generator, *,
        has_target: bool = False, device: str = "cpu", threads: int = 1,
    ):  # fmt: skip
        self.framework, self.device = framework, device
        self._loss, self._has_target, self._threads = loss, has_target, threads
        self.update_s = 0.0  # spent in updates since whoever wants to know set it to 0
        self._spec = ParamSpec((), ())
        self.reset(model, rng)

    def reset(self, model: Model, rng: np.random.Generator) -> None:
        """Starts again from `model.init(rng)`, with an optimiser that remembers nothing.

        What the framework has built stays where the parameters have the same names and shapes.
        """
        params = model.init(rng)
        if (spec := ParamSpec.of(params)) != self._spec:
            self._spec = spec
            settings = UpdaterSettings(
                spec, self._loss, self._has_target, self.device, self._threads
            )
            self._updater = make_updater(self.framework, settings)
        self.weights_version = 0
        self.coeffs_in_use: dict[str, Any] = {}
        self.set_weights(params)

    def update(
        self, batch: Mapping[str, np.ndarray], index: np.ndarray, coeffs: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """One optimiser step per row of `index` [steps, minibatch]; see `rltune.frameworks.updater.Updater.update`.

        Raises FloatingPointError when the loss leaves the finite numbers: nothing good comes after that.
        """
        self.coeffs_in_use = dict(coeffs)
        began = time.perf_counter()
        stats, rows = self._updater.update(batch, index, coeffs)
        self.update_s += time.perf_counter() - began
        for name, values in stats.items():
            if not np.isfinite(values).all():
                step = int(np.argmin(np.isfinite(values)))
                raise FloatingPointError(
                    f"{name} became {values[step]} at step {step + 1} of {len(values)} of an update; "
                    "try a smaller lr, grad_clip, or observation_filter: MeanStdFilter"
                )
        self.weights_version += 1
        return stats, rows

    def get_weights(self) -> dict[str, np.ndarray]:
        """Named float32 arrays."""
        return self._spec.unpack(self._updater.get_theta())

    def set_weights(self, params: Mapping[str, np.ndarray]) -> None:
        """New parameters (the target's too), and an optimiser that remembers nothing."""
        theta = self._spec.pack(params)
        zeros = np.zeros_like(theta)
        self._updater.set_state(
            {"theta": theta, "m": zeros, "v": zeros, "t": np.asarray(0), "target": theta}
        )
        self.weights_version += 1

    def get_state(self) -> dict[str, Any]:
        """Parameters and moments by name, whatever the framework."""
        flat = self._updater.get_state()
        named: dict[str, Any] = {
            part: self._spec.unpack(flat[part])
            for part in ("theta", "m", "v", "target")
            if part in flat
        }
        return {**named, "t": int(flat["t"]), "weights_version": self.weights_version}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `get_state`. Raises ValueError when it does not fit the model."""
        parts = {
            part: self._spec.pack(state[part])
            for part in ("theta", "m", "v", "target")
            if part in state
        }
        self._updater.set_state({**parts, "t": np.asarray(state["t"])})
        self.weights_version = state["weights_version"]
