"""The settings of the algorithms: RLlib's keys, contradictions, and that each has an effect."""

from __future__ import annotations

import ast
import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import rltune.algorithm_config
from agents.dqn import DQNConfig
from agents.pg import PGConfig
from agents.ppo import PPOConfig
from rltune.algorithm_config import AlgorithmConfig, ModelConfig
from rltune.config import UNSUPPORTED, Config, ConfigError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = (PGConfig, PPOConfig, DQNConfig)


def problems_of(cls: type[Config], raw: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        cls.from_dict(raw)
    return caught.value.problems


def test_a_misspelt_key() -> None:
    assert problems_of(PPOConfig, {"lamda": 0.9}) == [
        "Unknown key 'lamda' in config of PPO; nearest: 'lambda'"
    ]


@pytest.mark.parametrize(
    ("cls", "raw", "problem"),
    [
        (
            PPOConfig,
            {"n_epochs": 4},
            "Unknown key 'n_epochs' in config of PPO; here it is called 'num_sgd_iter'",
        ),
        (
            PPOConfig,
            {"batch_size": 4},
            "Unknown key 'batch_size' in config of PPO; here it is called 'sgd_minibatch_size'",
        ),
        (
            DQNConfig,
            {"batch_size": 4},
            "Unknown key 'batch_size' in config of DQN; here it is called 'train_batch_size'",
        ),
        (
            DQNConfig,
            {"hidden_sizes": [4]},
            "Unknown key 'hidden_sizes' in config of DQN; here it is called 'model.fcnet_hiddens'",
        ),
        (
            PPOConfig,
            {"num_atoms": 51},
            "key 'num_atoms' of RLlib is not supported: distributional Q-learning is not there yet",
        ),
        (
            PPOConfig,
            {"model": {"use_lstm": True}},
            "key 'model.use_lstm' of RLlib is not supported: recurrent networks are not there yet",
        ),
        (
            PPOConfig,
            {"model": {"fcnet_hiddens": [0]}},
            "'model.fcnet_hiddens' is [0]; sizes must be at least 1",
        ),
        (
            PPOConfig,
            {"model": {"fcnet_activation": "tahn"}},
            "'model.fcnet_activation' is 'tahn'; it must be one of ['tanh', "
            "'relu', 'linear']; nearest: 'tanh'",
        ),
        (PPOConfig, {"num_gpus": 2}, "'num_gpus' is 2.0; a trial's process uses at most one GPU"),
        (PPOConfig, {"seed": -1}, "'seed' is -1; it must be at least 0"),
        (
            PPOConfig,
            {"clip_rewards": True, "normalize_rewards": True},
            "'clip_rewards' and 'normalize_rewards' exclude each other",
        ),
        (
            PPOConfig,
            {"sgd_minibatch_size": 300, "train_batch_size": 200},
            "'sgd_minibatch_size' is 300, more than 'train_batch_size' 200",
        ),
        (
            DQNConfig,
            {"batch_mode": "complete_episodes"},
            "'batch_mode' must be 'truncate_episodes' for an algorithm with a replay buffer",
        ),
        (
            DQNConfig,
            {"buffer_size": 8, "train_batch_size": 16},
            "'train_batch_size' is 16, more than 'buffer_size' 8",
        ),
        (
            DQNConfig,
            {"buffer_size": 32, "num_envs_per_worker": 33},
            "'buffer_size' is 32; it must hold a row of each of the 33 environments",
        ),
        (
            PGConfig,
            {"vf_share_layers": True},
            "'vf_share_layers' is true, but PG has no value function",
        ),
        (
            DQNConfig,
            {"model": {"free_log_std": False}},
            "'model.free_log_std' is set, but DQN's actions have no standard deviation",
        ),
        (
            PPOConfig,
            {"batch_mode": "complete_episode"},
            "'batch_mode' is 'complete_episode'; it must be one of "
            "['truncate_episodes', 'complete_episodes']; nearest: 'complete_episodes'",
        ),
        (PPOConfig, {"lr_schedule": [[10, 1e-3]]}, "'lr_schedule' must begin at timestep 0"),
        (
            PPOConfig,
            {"lr_schedule": [[0, 1e-3], [9, -1]]},
            "'lr_schedule at 9' is -1.0; it must be at least 0",
        ),
        (
            PPOConfig,
            {"clip_param_schedule": [[0, 0.1], [9, 0]]},
            "'clip_param_schedule at 9' is 0.0; it must be above 0",
        ),
        (
            PPOConfig,
            {"entropy_coeff_schedule": [[-5, 0.1]]},
            "'entropy_coeff_schedule' must begin at timestep 0",
        ),
        (
            PPOConfig,
            {"evaluation_config": {"exploer": 1}},
            "Unknown key 'evaluation_config.exploer'; it may hold 'env_config' and 'explore'",
        ),
        (
            PPOConfig,
            {"evaluation_config": {"explore": "no"}},
            "'evaluation_config.explore' is 'no'; it must be true or false",
        ),
        (
            PPOConfig,
            {"callbacks": {"on_episode_end": print}},
            "Unknown callback 'callbacks.on_episode_end'; there is 'on_train_result'",
        ),
        (
            PPOConfig,
            {"callbacks": {"on_train_result": "print"}},
            "'callbacks.on_train_result' is 'print'; it must be a function",
        ),
        (
            PPOConfig,
            {"custom_resources_per_worker": {"hi": -1}},
            "'custom_resources_per_worker.hi' is -1; it must be a number of at least 0",
        ),
        (PPOConfig, {"use_pytorch": "no"}, "'use_pytorch' is 'no'; it must be true or false"),
        (
            PPOConfig,
            {"use_pytorch": True, "framework": "tf"},
            "'use_pytorch' contradicts framework 'tf'",
        ),
        (
            PPOConfig,
            {"sample_batch_size": 4, "rollout_fragment_length": 4},
            "'sample_batch_size' is an alias of 'rollout_fragment_length'; give one of them",
        ),
        (
            DQNConfig,
            {"grad_norm_clipping": 4, "grad_clip": 4},
            "'grad_norm_clipping' is an alias of 'grad_clip'; give one of them",
        ),
    ],
)
def test_one_problem_each(cls: type[Config], raw: dict[str, Any], problem: str) -> None:
    assert problems_of(cls, raw) == [problem]


def test_a_name_of_another_library_that_leads_nowhere_here() -> None:
    (problem,) = problems_of(DQNConfig, {"gae_lambda": 0.9})
    assert "here it is called" not in problem


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_unsupported_keys_are_errors_even_with_rllib_defaults(key: str) -> None:
    assert problems_of(DQNConfig, {key: None})[0].startswith(
        f"key '{key}' of RLlib is not supported: "
    )


def test_obsolete_keys_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    rltune.algorithm_config._warn_obsolete.cache_clear()
    with caplog.at_level(logging.WARNING, logger="rltune"):
        for _ in range(3):
            assert PPOConfig.from_dict({"simple_optimizer": True}) == PPOConfig()
    assert [record.getMessage() for record in caplog.records] == [
        "config key 'simple_optimizer' changes nothing: there is one optimizer"
    ]


def test_aliases() -> None:
    assert PPOConfig.from_dict({"sample_batch_size": 32}).rollout_fragment_length == 32
    assert DQNConfig.from_dict({"grad_norm_clipping": 10}).grad_clip == 10.0
    assert DQNConfig.from_dict({"grad_norm_clipping": None}).grad_clip is None
    assert PPOConfig.from_dict({"use_pytorch": True}).framework == "torch"
    assert PPOConfig.from_dict({"use_pytorch": True, "framework": "auto"}).framework == "auto"
    assert PPOConfig.from_dict({"use_pytorch": False, "eager": False}).framework == "auto"


@pytest.mark.parametrize(
    ("raw", "framework"),
    [({"use_pytorch": True}, "torch"), ({"eager": True}, "tf"), ({"eager_tracing": True}, "tf")],
)
def test_switches_of_rllib_choose_the_framework_and_say_so_once(
    raw: dict[str, Any], framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    rltune.algorithm_config._say_framework.cache_clear()
    for _ in range(2):
        assert PPOConfig.from_dict(raw).framework == framework
    (key,) = raw
    assert caplog.messages == [f"config key {key!r} means framework {framework}"]
    with pytest.raises(ConfigError, match=f"{key!r} contradicts framework 'jax'"):
        PPOConfig.from_dict({**raw, "framework": "jax"})


def test_where_the_value_function_shares_layers() -> None:
    def shares(raw: dict[str, Any]) -> bool:
        return PPOConfig.from_dict(raw).share_layers

    assert not shares({})
    assert shares({"vf_share_layers": True})
    assert shares({"model": {"vf_share_layers": True}})
    assert not shares({"vf_share_layers": True, "model": {"vf_share_layers": False}})


@pytest.mark.parametrize(
    ("workers", "per_worker", "envs"), [(0, 1, 1), (0, 8, 8), (1, 8, 8), (3, 2, 6)]
)
def test_num_envs(workers: int, per_worker: int, envs: int) -> None:
    raw = {"num_workers": workers, "num_envs_per_worker": per_worker}
    assert AlgorithmConfig.from_dict(raw).num_envs == envs


@pytest.mark.parametrize("cls", CONFIGS)
def test_round_trip_through_json(cls: type[Config]) -> None:
    changed = {
        "env": "CartPole-v0",
        "seed": 3,
        "lr_schedule": [[0, 1e-3], [1000, 0]],
        "grad_clip": None,
        "env_config": {"a": [1, {"b": None}]},
        "model": {"fcnet_hiddens": [32], "vf_share_layers": False},
    }
    for raw in ({}, changed):
        config = cls.from_dict(raw)
        written = config.to_dict()
        assert cls.from_dict(json.loads(json.dumps(written, allow_nan=False))) == config
        assert written.keys() == cls.fields_by_key().keys()
        assert all(written[key] == value for key, value in raw.items() if key != "model")


@pytest.mark.parametrize("cls", [*CONFIGS, ModelConfig])
def test_every_setting_has_help_and_a_default_within_its_bounds(cls: type[Config]) -> None:
    assert all(f.metadata["help"].strip() for f in fields(cls))
    assert cls.from_dict(cls().to_dict()) == cls()


def _reads() -> set[str]:
    """Names of attributes that are read, and constants, anywhere in rltune/ and agents/."""
    found = set()
    for path in [*ROOT.glob("rltune/**/*.py"), *ROOT.glob("agents/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                found.add(str(node.slice.value))  # coeffs["lr"]
    return found


@pytest.mark.parametrize("cls", [*CONFIGS, ModelConfig])
def test_every_setting_is_read_somewhere(cls: type[Config]) -> None:
    reads = _reads()
    unread = {
        key
        for key, f in cls.fields_by_key().items()
        if f.name not in reads
        and not (f.metadata["coeff"] and key in reads)
        and not (key.endswith("_schedule") and key.removesuffix("_schedule") in reads)
    }
    assert not unread


def test_contradictions_are_told_along_with_wrong_values() -> None:
    """A contradiction that only involves values that are right, or defaults, does not wait for the rest."""
    raw = {"lr": "fast", "sgd_minibatch_size": 5000, "model": {"fcnet_hiddens": 3}}
    found = problems_of(PPOConfig, raw)
    assert len(found) == 3
    assert any("more than 'train_batch_size'" in problem for problem in found)


def test_a_wrong_value_causes_no_contradiction() -> None:
    assert len(problems_of(PPOConfig, {"train_batch_size": -1, "sgd_minibatch_size": 4000})) == 1
