"""Small environments whose best return is known, or that misbehave in one definite way."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class IdentityEnv(gymnasium.Env):
    """Observes an index below `n`; reward 1 when the action equals it. At best `length` in all."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        config = env_config or {}
        self.n, self.length = config.get("n", 2), config.get("length", 100)
        self.observation_space = spaces.Discrete(self.n)
        self.action_space = spaces.Discrete(self.n)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action):
        reward = self._reward(action)
        self.steps += 1
        return self._observe(), reward, False, self.steps >= self.length, {}

    def _observe(self):
        self.shown = int(self.np_random.integers(self.n))
        return self.shown

    def _reward(self, action) -> float:
        return float(action == self.shown)


class IdentityImageEnv(IdentityEnv):
    """Observes a bright spot of a noisy picture, uint8 [12, 12, 1]; the action is to name its quarter."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        super().__init__({"n": 4, **(env_config or {})})
        self.observation_space = spaces.Box(0, 255, (12, 12, 1), np.uint8)

    def _observe(self):
        super()._observe()
        top, left = self.np_random.integers(0, 5, 2) + [6 * (self.shown // 2), 6 * (self.shown % 2)]
        picture = self.np_random.integers(0, 128, self.observation_space.shape, np.uint8)
        picture[top : top + 2, left : left + 2] = 255
        return picture


class IdentityBoxEnv(IdentityEnv):
    """Observes a number in [-1, 1]; the reward is minus the squared distance of the action."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        super().__init__(env_config)
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def _observe(self):
        self.shown = self.np_random.uniform(-1.0, 1.0, 1).astype(np.float32)
        return self.shown

    def _reward(self, action) -> float:
        return -float(np.square(action - self.shown).sum())


class TruncatedEnv(gymnasium.Env):
    """Reward 1 in every step; cut after `length` steps, or terminated there if `terminate`.

    Observes the fraction of the episode that has passed. It always returns the same array, written
    in place: whoever keeps it must copy it.
    """

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        config = env_config or {}
        self.length, self.terminate = config.get("length", 5), config.get("terminate", False)
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.observed = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self.observed[0] = 0.0
        return self.observed, {}

    def step(self, action):
        self.steps += 1
        self.observed[0] = self.steps / self.length
        ended = self.steps >= self.length
        return self.observed, 1.0, ended and self.terminate, ended and not self.terminate, {}


class CrashingEnv(TruncatedEnv):
    """Raises RuntimeError in step `crash_at` of every episode."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        super().__init__(env_config)
        self.crash_at = (env_config or {}).get("crash_at", 3)

    def step(self, action):
        if self.steps + 1 == self.crash_at:
            raise RuntimeError("the simulator fell over")
        return super().step(action)


class SlowEnv(TruncatedEnv):
    """Sleeps `seconds` in every step."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        super().__init__(env_config)
        self.seconds = (env_config or {}).get("seconds", 0.01)

    def step(self, action):
        time.sleep(self.seconds)
        return super().step(action)


class NestedEnv(gymnasium.Env):
    """Observations are a Dict with a Tuple inside; episodes end at random."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        pair = spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(2)])
        self.observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (2, 2)), "pair": pair})
        self.action_space = spaces.Box(-2.0, 2.0, (3,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        return self._observe(), float(action.sum()), self.np_random.random() < 0.2, False, {}

    def _observe(self):
        x = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        return {"x": x, "pair": (int(self.np_random.integers(3)), self.np_random.integers(0, 2, 2))}
