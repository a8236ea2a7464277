"""An environment whose steps take a stated time, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

EPISODE_STEPS = 200


class SlowEnv(gymnasium.Env[Any, Any]):
    """Steps of `seconds`. `busy`: they compute for so long, as a simulator does; else they wait, as
    for a device or a server. Reward 1 for the action that the sign of the first number asks for.
    """

    def __init__(self, env_config: dict[str, Any]) -> None:
        self.seconds, self.busy = env_config["seconds"], env_config["busy"]
        self.observation_space = spaces.Box(-1, 1, (4,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: int) -> Any:
        if self.busy:
            # Of this thread's own processor time: on a core that it shares it takes longer.
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                pass
        else:
            time.sleep(self.seconds)
        right = (self.observation[0] > 0) == bool(action)
        self.steps += 1
        return self._observe(), float(right), False, self.steps == EPISODE_STEPS, {}

    def _observe(self) -> np.ndarray:
        self.observation = self.np_random.uniform(-1, 1, 4).astype(np.float32)
        return self.observation
