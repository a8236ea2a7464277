"""How PPO behaves as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.ppo import PPO
from rltune.config import ConfigError
from tests.agents.envs import UnchangingEnv
from tests.conformance import flat, same_state, small_config


@pytest.mark.parametrize("terminate", [False, True])
@pytest.mark.parametrize(
    "more", [{}, {"vf_share_layers": True}, {"batch_mode": "complete_episodes"}]
)
def test_a_time_limit_is_no_end_to_the_value(terminate: bool, more: dict[str, Any]) -> None:
    """Reward 1 for ever is worth 1 / (1 - gamma) at every step; only termination ends it."""
    config = {
        "env": UnchangingEnv,
        "env_config": {"terminate": terminate},
        "gamma": 0.8,
        "lr": 0.01,
    }
    algorithm = PPO(
        small_config(PPO, **{**config, "num_sgd_iter": 8, "vf_loss_coeff": 1.0, **more})
    )
    for _ in range(40):
        algorithm.train()
    value = algorithm.policy.value(np.zeros((1, 1), np.float32))[0]
    assert value < 3 if terminate else value == pytest.approx(5, rel=0.03)


def test_coefficients_in_results_are_those_of_the_update() -> None:
    schedule = [[0, 0.4], [960, 0.1]]
    algorithm = PPO(
        small_config(
            PPO,
            clip_param_schedule=schedule,
            entropy_coeff_schedule=schedule,
            lr_schedule=schedule,
            kl_coeff=0.2,
        )
    )
    for iteration in range(3):
        used = algorithm.train()["info"]["learner"]
        now = 0.4 - 0.3 * 96 * iteration / 960
        np.testing.assert_allclose(
            [used["cur_lr"], used["clip_param"], used["entropy_coeff"]], [now] * 3
        )
        assert used["cur_kl_coeff"] == 0.2 if iteration == 0 else used["cur_kl_coeff"] != 0.2


def test_epochs_and_minibatches_are_what_the_config_says() -> None:
    algorithm = PPO(small_config(PPO, train_batch_size=100, sgd_minibatch_size=30, num_sgd_iter=3))
    algorithm.train()
    assert algorithm.learner.get_state()["t"] == 12
    assert algorithm.num_steps_trained == 100


def test_several_samples_make_a_batch() -> None:
    algorithm = PPO(small_config(PPO, rollout_fragment_length=10, num_envs_per_worker=2))
    assert algorithm.train()["timesteps_this_iter"] == 100  # 5 x 20 >= 96


@pytest.mark.parametrize("key", ["entropy_coeff", "kl_coeff", "vf_loss_coeff", "grad_clip"])
def test_each_coefficient_has_an_effect(key: str) -> None:
    plain, other = (PPO(small_config(PPO, lr=0.01, **{key: value})) for value in (0.01, 2.0))
    for algorithm in (plain, other):
        algorithm.train()
    assert not np.array_equal(flat(plain.get_weights()), flat(other.get_weights()))


def test_without_gae_lambda_does_not_matter() -> None:
    runs = [
        PPO(small_config(PPO, **{"use_gae": False, "lambda": value})) for value in (0.1, 0.9)
    ] + [PPO(small_config(PPO, **{"lambda": 1.0}))]
    for algorithm in runs:
        algorithm.train()
    assert same_state(runs[0].get_weights(), runs[1].get_weights())
    assert same_state(runs[0].get_weights(), runs[2].get_weights())


def test_a_minibatch_larger_than_the_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="'sgd_minibatch_size' is 128, more than"):
        PPO.validate_config(
            {"env": "CartPole-v1", "train_batch_size": 64, "sgd_minibatch_size": 128}
        )


def test_a_rate_that_ruins_the_weights_stops_the_run() -> None:
    algorithm = PPO(small_config(PPO, lr=1e30))
    with pytest.raises(FloatingPointError, match="try a smaller lr"):
        for _ in range(3):
            algorithm.train()
