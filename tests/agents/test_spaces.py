"""Every algorithm with every kind of space: it trains, or says so before the first step."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents import ALGORITHMS
from rltune.config import ConfigError
from rltune.registry import get_trainable_cls
from tests.conformance import flat, same_state, small_config

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box-1": spaces.Box(-1, 1, (3,), np.float32),
    "box-2": spaces.Box(-1, 1, (2, 3), np.float64),
    "box-3": spaces.Box(0, 255, (4, 4, 3), np.uint8),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "discrete": spaces.Discrete(4, start=2),
    "multi-binary": spaces.MultiBinary(5),
    "multi-discrete": spaces.MultiDiscrete([3, 2]),
    "dict": spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Box(-1, 1, (2,), np.float32)}),
    "tuple": spaces.Tuple([spaces.Box(-1, 1, (2, 2)), spaces.Dict({"x": spaces.MultiBinary(2)})]),
    "text": spaces.Text(5),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "shifted": spaces.Discrete(3, start=-1),
    "multi-discrete": spaces.MultiDiscrete([3, 2]),
    "multi-discrete-2": spaces.MultiDiscrete([[2, 3], [4, 2]]),
    "box-1": spaces.Box(-1, 1, (2,), np.float32),
    "box-2": spaces.Box(np.array([[-1, 0]]), np.array([[3, 5]]), dtype=np.float64),
    "half-bounded": spaces.Box(0, np.inf, (1,), np.float32),
    "dict": spaces.Dict({"a": spaces.Discrete(2)}),
    "multi-binary": spaces.MultiBinary(2),
}
UNSUPPORTED = ("text", "dict", "multi-binary")
"""Actions of these kinds, and observations of text, suit nobody."""


class AnySpaceEnv(gymnasium.Env):
    """Samples of the space `observation`; takes only what is in the space `action`."""

    steps = 0

    def __init__(self, env_config: dict[str, Any]) -> None:
        self.observation_space = OBSERVATIONS[env_config["observation"]]
        self.action_space = ACTIONS[env_config["action"]]

    def reset(self, *, seed=None, options=None):
        self.observation_space.seed(seed)
        self.left = 10
        return self.observation_space.sample(), {}

    def step(self, action):
        shape = self.action_space.shape
        assert np.shape(action) == shape and self.action_space.contains(action), action
        type(self).steps += 1
        self.left -= 1
        return self.observation_space.sample(), float(np.sum(action)), self.left == 0, False, {}


def check(name: str, observation: str, action: str, **more: Any) -> None:
    cls = get_trainable_cls(name)
    spaces_ = {"observation": observation, "action": action}
    config = small_config(cls, env=AnySpaceEnv, env_config=spaces_, lr=0.01, **more)
    AnySpaceEnv.steps = 0
    supported = observation != "text" and action not in UNSUPPORTED
    if cls.off_policy and not isinstance(ACTIONS[action], spaces.Discrete):
        supported = False
    if not supported:
        with pytest.raises(ConfigError, match="space"):
            cls(config)
        assert AnySpaceEnv.steps == 0
        return
    algorithm = cls(config)
    before = flat(algorithm.get_weights()).copy()
    result = algorithm.train()
    after = flat(algorithm.get_weights())
    assert np.isfinite(after).all() and not np.array_equal(before, after)
    assert result["episode_len_mean"] == 10
    chosen = algorithm.compute_action(algorithm.observation_space.sample())
    assert algorithm.action_space.contains(chosen)
    restored = cls.from_checkpoint(algorithm.save())
    assert restored.observation_space == algorithm.observation_space
    assert same_state(restored.get_weights(), algorithm.get_weights())


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize("action", ACTIONS)
def test_actions(name: str, action: str) -> None:
    check(name, "box-1", action)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_observations(name: str, observation: str) -> None:
    check(name, observation, "discrete", observation_filter="MeanStdFilter", num_envs_per_worker=2)


@pytest.mark.parametrize("name", ["PG", "PPO"])
@pytest.mark.parametrize("more", [{"normalize_actions": True}, {"model": {"free_log_std": False}}])
def test_continuous_actions_in_other_forms(name: str, more: dict[str, Any]) -> None:
    check(name, "box-1", "box-2", **more)
