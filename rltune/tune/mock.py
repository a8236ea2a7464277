"""Trainables without training, for tests of runs, schedulers and search; found by their names."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rltune import result as keys
from rltune.trainable import Trainable


class Fake(Trainable):
    """`__fake`: the same result in every iteration.

    Its config: `mock_error` raises in iteration 1 (the second one) unless it was restored, with
    `persistent_error` even then; `user_checkpoint_freq` asks for a checkpoint every so many
    iterations. Other keys are ignored.
    """

    DEFAULTS: dict[str, Any] = {
        "mock_error": False,
        "persistent_error": False,
        "user_checkpoint_freq": 0,
    }

    def _setup(self, config: dict[str, Any]) -> None:
        self.settings = {**self.DEFAULTS, **config}
        self.restored = False

    def _train(self) -> dict[str, Any]:
        fails = self.settings["mock_error"] and self.iteration == 1
        if fails and (self.settings["persistent_error"] or not self.restored):
            raise RuntimeError("mock error")
        frequency = self.settings["user_checkpoint_freq"]
        due = frequency > 0 and self.iteration > 0 and self.iteration % frequency == 0
        result = _result(reward=10, length=10, timesteps=10)
        return {**result, keys.SHOULD_CHECKPOINT: True} if due else result

    def _save(self, checkpoint_dir: str) -> str:
        path = Path(checkpoint_dir, "mock")
        path.touch()
        return str(path)

    def _restore(self, checkpoint: Any) -> None:
        self.restored = True


class SigmoidFakeData(Fake):
    """`__sigmoid_fake_data`: rewards `height * tanh((iteration - offset) / width)`, an iteration
    taking `iter_time` seconds, as it says, and `iter_timesteps`.
    """

    DEFAULTS = {"width": 100, "height": 100, "offset": 0, "iter_time": 10, "iter_timesteps": 1}

    def _train(self) -> dict[str, Any]:
        settings = self.settings
        steps = max(0, self.iteration - settings["offset"])
        reward = settings["height"] * math.tanh(steps / settings["width"])
        return _result(reward, reward, settings["iter_timesteps"], settings["iter_time"])


class ParameterTuning(Fake):
    """`__parameter_tuning`: rewards `reward_amt * iteration`; time and steps as SigmoidFakeData."""

    DEFAULTS = {"reward_amt": 10, "iter_time": 10, "iter_timesteps": 1}

    def _train(self) -> dict[str, Any]:
        settings = self.settings
        amount = settings["reward_amt"]
        return _result(
            amount * self.iteration, amount, settings["iter_timesteps"], settings["iter_time"]
        )


def _result(
    reward: float, length: float, timesteps: int, seconds: float | None = None
) -> dict[str, Any]:
    result = {
        keys.EPISODE_REWARD_MEAN: reward,
        "episode_len_mean": length,
        keys.TIMESTEPS_THIS_ITER: timesteps,
        "info": {},
    }
    return result if seconds is None else {**result, keys.TIME_THIS_ITER_S: seconds}
