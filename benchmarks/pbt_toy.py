"""A task whose best learning rate is known to fall: descent towards an optimum that slows down."""

from __future__ import annotations

from typing import Any

import numpy as np

from rltune import tune

STEPS = 10  # of an iteration
LAST_ITERATION = 100
CURVATURES = np.geomspace(0.03, 1.0, 10)
FIRST_SPEED, LAST_SPEED = 1.0, 1e-4  # of the optimum, per step
NOISE = 1.0  # standard deviation of a gradient's element


class MovingOptimum(tune.Trainable):
    """Stochastic gradient descent on a quadratic, with the `lr` and the `seed` of its config.

    The optimum moves, fast at first and hardly at the end. A high rate follows it, and then stays in
    the noise of the gradient; a low one never gets there. So the best rate falls all the time, and
    every fixed one is a compromise. `score` is minus the mean loss of an iteration's steps.
    """

    def _setup(self, config: dict[str, Any]) -> None:
        self._random = np.random.default_rng(config["seed"])
        self._place = np.zeros_like(CURVATURES)
        self._optimum = np.zeros_like(CURVATURES)

    def _train(self) -> dict[str, Any]:
        speed = FIRST_SPEED * (LAST_SPEED / FIRST_SPEED) ** (self.iteration / LAST_ITERATION)
        losses = []
        for _ in range(STEPS):
            self._optimum += speed
            noise = NOISE * self._random.standard_normal(len(CURVATURES))
            self._place -= self.config["lr"] * (CURVATURES * self._error() + noise)
            losses.append(np.mean(CURVATURES * self._error() ** 2))
        # All iterations last equally long: in virtual time the order of results follows from that.
        return {"score": -float(np.mean(losses)), "time_this_iter_s": 1.0}

    def _error(self) -> np.ndarray:
        return self._place - self._optimum

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {
            "place": self._place,
            "optimum": self._optimum,
            "random": self._random.bit_generator.state,
        }

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self._place, self._optimum = checkpoint["place"], checkpoint["optimum"]
        self._random.bit_generator.state = checkpoint["random"]

    def inherit(self, checkpoint_path: str) -> None:
        """The noise stays this member's own."""
        own = self._random.bit_generator.state
        self.restore(checkpoint_path)
        self._random.bit_generator.state = own

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return False
