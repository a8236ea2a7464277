"""Each algorithm solves, in seconds, a task whose best return is known."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rltune.registry import get_trainable_cls
from tests.envs.toy import IdentityBoxEnv, IdentityEnv, IdentityImageEnv

ON_POLICY = {"train_batch_size": 64, "num_envs_per_worker": 2, "lr": 0.02}
SETTINGS: dict[str, dict[str, Any]] = {
    "PG": {**ON_POLICY, "gamma": 0.0},
    "PPO": {**ON_POLICY, "gamma": 0.0, "num_sgd_iter": 5, "sgd_minibatch_size": 32},
    "DQN": {
        "lr": 0.005,
        "gamma": 0.0,
        "learning_starts": 100,
        "schedule_max_timesteps": 2000,
        "exploration_fraction": 0.5,
        "target_network_update_freq": 100,
        "timesteps_per_iteration": 200,
        "hiddens": [],
    },
}


class IdentityMultiEnv(IdentityEnv):
    """Observes a number in each of two places; the reward is the share of matching actions."""

    def __init__(self, env_config: dict[str, Any] | None = None) -> None:
        super().__init__(env_config)
        self.observation_space = spaces.MultiDiscrete([3, 2])
        self.action_space = spaces.MultiDiscrete([3, 2])

    def _observe(self) -> np.ndarray:
        self.shown = self.np_random.integers([3, 2])
        return self.shown

    def _reward(self, action: np.ndarray) -> float:
        return float(np.mean(action == self.shown))


def mean_reward(name: str, env: type[gymnasium.Env], steps: int, **more: Any) -> float:
    """Trains for `steps`; returns the greedy policy's reward per step."""
    model = {"fcnet_hiddens": [32]} | ({} if name == "DQN" else {"init_log_std": -1.0})
    model |= more.pop("model", {})
    env_config = {"length": 16, **more.pop("env_config", {})}
    config = {
        "env": env,
        "seed": 5,
        "model": model,
        "env_config": env_config,
        **SETTINGS[name],
        **more,
    }
    algorithm = get_trainable_cls(name)({**config, "evaluation_num_episodes": 5})
    while algorithm.num_steps_sampled < steps:
        algorithm.train()
    evaluation = algorithm.evaluate()
    return evaluation["episode_reward_mean"] / evaluation["episode_len_mean"]


@pytest.mark.parametrize("name", ["PG", "PPO", "DQN"])
def test_discrete_actions(name: str) -> None:
    assert mean_reward(name, IdentityEnv, 2000, env_config={"n": 4}) >= 0.9


@pytest.mark.parametrize("name", ["PG", "PPO", "DQN"])
def test_images(name: str) -> None:
    """A quarter of the answers are right by chance."""
    more = {"conv_filters": [[8, 4, 3], [16, 4, 1]], "fcnet_hiddens": []}
    assert mean_reward(name, IdentityImageEnv, 4000, model=more, lr=0.005) >= 0.9


@pytest.mark.parametrize("name", ["PG", "PPO"])
def test_several_discrete_actions(name: str) -> None:
    assert mean_reward(name, IdentityMultiEnv, 3000) >= 0.9


@pytest.mark.parametrize("name", ["PG", "PPO"])
def test_continuous_actions(name: str) -> None:
    # A fixed action costs 1/3 per step at best.
    assert mean_reward(name, IdentityBoxEnv, 5000) >= -0.033


def test_a_value_function_that_shares_layers_learns_too() -> None:
    assert mean_reward("PPO", IdentityEnv, 2000, env_config={"n": 4}, vf_share_layers=True) >= 0.9


@pytest.mark.parametrize(
    "variant",
    [
        {"double_q": False},
        {"dueling": False},
        {"prioritized_replay": False},
        {"n_step": 3, "gamma": 0.5},
        {"training_intensity": 32},
        {"num_envs_per_worker": 4},
    ],
    ids=str,
)
def test_dqn_learns_with_each_of_its_parts_changed(variant: dict[str, Any]) -> None:
    assert mean_reward("DQN", IdentityEnv, 1500, env_config={"n": 2}, **variant) >= 0.9
