"""A trainable that was reset equals a new one, whatever key has changed; what is costly goes on."""

from __future__ import annotations

from typing import Any

import pytest

from agents import ALGORITHMS
from rltune.algorithm import Algorithm
from rltune.config import ConfigError
from rltune.registry import get_trainable_cls
from tests.conformance import make, repeatable, same_state, small_config
from tests.envs.toy import TruncatedEnv


def note(info: dict[str, Any]) -> None:
    info["result"]["custom_metrics"]["noted"] = True


OTHER: dict[str, Any] = {
    "env": "Acrobot-v1",
    "env_config": {"max_episode_steps": 9},
    "framework": "torch",
    "seed": 11,
    "model": {"fcnet_hiddens": [8]},
    "vf_share_layers": True,
    "lr": 0.02,
    "lr_schedule": [[0, 0.01], [300, 0.0]],
    "gamma": 0.7,
    "grad_clip": 0.3,
    "adam_epsilon": 1e-3,
    "num_workers": 1,
    "num_envs_per_worker": 3,
    "rollout_fragment_length": 6,
    "train_batch_size": 64,
    "batch_mode": "complete_episodes",
    "timesteps_per_iteration": 200,
    "min_iter_time_s": 1e-6,
    "preprocessor_pref": None,
    "observation_filter": "MeanStdFilter",
    "normalize_rewards": True,
    "clip_rewards": True,
    "clip_actions": False,
    "normalize_actions": True,
    "num_gpus": 0.5,
    "num_cpus_for_driver": 2,
    "num_cpus_per_worker": 2,
    "num_gpus_per_worker": 0.5,
    "custom_resources_per_worker": {"hi": 1},
    "evaluation_interval": 1,
    "evaluation_num_episodes": 3,
    "evaluation_config": {"explore": True},
    "metrics_smoothing_episodes": 2,
    "store_buffer_in_checkpoints": False,
    "log_sys_usage": True,
    "log_level": "ERROR",
    "callbacks": {"on_train_result": note},
    "entropy_coeff": 0.1,
    "entropy_coeff_schedule": [[0, 0.1], [300, 0.0]],
    "standardize_advantages": False,
    "sgd_minibatch_size": 16,
    "num_sgd_iter": 3,
    "use_gae": False,
    "lambda": 0.5,
    "clip_param": 0.05,
    "clip_param_schedule": [[0, 0.3], [300, 0.1]],
    "vf_loss_coeff": 0.1,
    "vf_clip_param": 0.2,
    "kl_coeff": 0.5,
    "kl_target": 1e-4,
    "training_intensity": 3.0,
    "learning_starts": 64,
    "buffer_size": 100,
    "prioritized_replay": False,
    "prioritized_replay_alpha": 0.3,
    "prioritized_replay_beta": 0.9,
    "beta_annealing_fraction": 0.01,
    "final_prioritized_replay_beta": 0.9,
    "prioritized_replay_eps": 0.1,
    "schedule_max_timesteps": 100,
    "target_network_update_freq": 10,
    "n_step": 3,
    "hiddens": [8],
    "dueling": False,
    "double_q": False,
    "exploration_fraction": 0.9,
    "exploration_final_eps": 0.5,
}
"""One other value for every key of every algorithm."""

FITTING: dict[str, dict[str, Any]] = {
    "PG": {"batch_mode": "truncate_episodes"},
}
REFUSED = {
    ("PG", "vf_share_layers"),
    ("DQN", "vf_share_layers"),
    ("DQN", "batch_mode"),
}
NEEDS_RAY = {"num_workers", "sample_async"}  # tests/rollout

CASES = [
    (name, key)
    for name in sorted(ALGORITHMS)
    for key in get_trainable_cls(name).config_class.fields_by_key()
    if (name, key) not in REFUSED and key not in NEEDS_RAY
]
LIGHT: dict[str, dict[str, Any]] = {
    "PG": {"train_batch_size": 48},
    "PPO": {"num_sgd_iter": 1, "train_batch_size": 48},
    "DQN": {"train_batch_size": 16, "timesteps_per_iteration": 40},
}


def config_of(name: str, **more: Any) -> dict[str, Any]:
    return small_config(get_trainable_cls(name), **{**LIGHT[name], **more})


@pytest.fixture(scope="module")
def used() -> dict[str, Algorithm]:
    """One of each algorithm, which goes through all cases: whatever is left of one shows in the next."""
    return {name: get_trainable_cls(name)(config_of(name)) for name in ALGORITHMS}


@pytest.mark.parametrize(("name", "key"), CASES)
def test_a_reset_algorithm_is_a_new_one(name: str, key: str, used: dict[str, Algorithm]) -> None:
    algorithm = used[name]
    value = FITTING.get(name, {}).get(key, OTHER[key])
    algorithm.reset_config(config_of(name))
    former = algorithm.train()
    kept = {"workers": algorithm.workers, "learner": algorithm.learner._updater}
    config = config_of(name, **{key: value})
    assert algorithm.reset_config(dict(config))
    fresh = type(algorithm)(config)
    for _ in range(2):
        result, expected = algorithm.train(), fresh.train()
        assert repeatable(result) == repeatable(expected)
    assert same_state(algorithm.get_state(), fresh.get_state())
    assert algorithm.config == fresh.config
    assert (algorithm._usage is None) == (fresh._usage is None)
    assert result["experiment_id"] != former["experiment_id"]

    rebuilt = algorithm.config_class.fields_by_key()[key].metadata["rebuild"]
    now = {"workers": algorithm.workers, "learner": algorithm.learner._updater}
    assert {part for part in kept if now[part] is not kept[part]} == (
        {rebuilt} if rebuilt else set()
    )
    fresh.stop()


@pytest.mark.parametrize(("name", "key"), sorted(REFUSED))
def test_a_refused_config_changes_nothing(name: str, key: str) -> None:
    algorithm, other = make(name), make(name)
    algorithm.train()
    other.train()
    with pytest.raises(ConfigError, match=key):
        algorithm.reset_config(config_of(name, **{key: OTHER[key]}))
    assert repeatable(algorithm.train()) == repeatable(other.train())
    assert algorithm.config == other.config


class RememberingEnv(TruncatedEnv):
    """Each of its episodes is one step longer than the one before."""

    def reset(self, *, seed=None, options=None):
        self.length += 1
        return super().reset(seed=seed, options=options)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_environments_that_remember_are_new_ones(name: str) -> None:
    config = small_config(get_trainable_cls(name), env=RememberingEnv, evaluation_interval=1)
    used, fresh = (get_trainable_cls(name)(config) for _ in range(2))
    used.train()
    used.reset_config(dict(config))
    assert repeatable(used.train()) == repeatable(fresh.train())


def test_the_same_name_may_be_another_environment() -> None:
    from rltune import registry
    from tests.envs.toy import IdentityEnv

    registry.register_env("changing", lambda config: TruncatedEnv())
    algorithm = get_trainable_cls("PPO")(config_of("PPO", env="changing"))
    algorithm.train()
    registry.register_env("changing", lambda config: IdentityEnv({"n": 3}))
    algorithm.reset_config(config_of("PPO", env="changing"))
    fresh = get_trainable_cls("PPO")(config_of("PPO", env="changing"))
    assert repeatable(algorithm.train()) == repeatable(fresh.train())


def test_a_seed_that_was_not_given_is_drawn_anew() -> None:
    algorithm = make("PPO", seed=None)
    first = algorithm.config["seed"]
    config = config_of("PPO", seed=None)
    algorithm.reset_config(config)
    assert algorithm.config["seed"] == config["seed"] not in (None, first)
