"""Environments that say who they are: rows of samples can be told apart."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv


class NumberedEnv(gymnasium.Env):
    """Observes [environment, episode, step]; episode k lasts `lengths[k % len(lengths)]` steps.

    The reward of a step is its number, from 1 on.
    """

    def __init__(self, context: Any) -> None:
        self.index, self.lengths = context.vector_index, context["lengths"]
        self.terminate = context.get("terminate", True)
        self.observation_space = spaces.Box(0, np.inf, (3,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        self.steps += 1
        ended = self.steps == self.lengths[(self.index + self.episode) % len(self.lengths)]
        return (
            self._observe(),
            self.steps,
            ended and self.terminate,
            ended and not self.terminate,
            {},
        )

    def _observe(self) -> np.ndarray:
        return np.array([self.index, self.episode, self.steps], np.float32)


class CountingEnv(gymnasium.Env):
    """Observes the step; cut after `length` steps; reward 1."""

    def __init__(self, length: int = 3) -> None:
        self.length = length
        self.observation_space = spaces.Box(0, np.inf, (1,), np.float32)
        self.action_space = spaces.Discrete(2)


class CountingVectorEnv(VectorEnv):
    """CountingEnv, many at once; environment i is cut after `length` + i steps.

    After the end of an episode the next step only resets: its reward of 100 must not be seen.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int, length: int = 3) -> None:
        single = CountingEnv(length)
        self.num_envs = num_envs
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.lengths = length + np.arange(num_envs)

    def reset(self, *, seed=None, options=None):
        self.steps = np.zeros(self.num_envs, np.int64)
        self.over = np.zeros(self.num_envs, bool)
        return self._observe(), {}

    def step(self, actions):
        resetting = self.over
        self.steps = np.where(resetting, 0, self.steps + 1)
        self.over = ~resetting & (self.steps == self.lengths)
        rewards = np.where(resetting, 100.0, 1.0)
        return self._observe(), rewards, np.zeros(self.num_envs, bool), self.over, {}

    def _observe(self) -> np.ndarray:
        return self.steps[:, None].astype(np.float32)


gymnasium.register(
    "Counting-v0",
    entry_point=CountingEnv,
    vector_entry_point=CountingVectorEnv,
    disable_env_checker=True,
)


class RecordingEnv(gymnasium.Env):
    """Keeps every action that it was given, in `RecordingEnv.actions`."""

    actions: list[np.ndarray] = []

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        low, high = np.array([-0.5, 0.0], np.float32), np.array([0.5, 3.0], np.float32)
        self.action_space = spaces.Box(low, high)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.actions.append(action.copy())
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 0.0, False, False, {}
