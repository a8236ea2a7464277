"""Configs moved into the ranges of their keys."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agents import ALGORITHMS
from agents.dqn import DQNConfig
from agents.pg import PGConfig
from agents.ppo import PPO, PPOConfig
from rltune.config import SMALLEST, Config
from rltune.registry import get_trainable_cls
from rltune.trainable import Trainable


@pytest.mark.parametrize(
    ("config", "key", "value", "expected"),
    [
        (PPOConfig, "gamma", 0.99 * 1.2, 1.0),
        (PPOConfig, "lambda", -0.1, 0.0),
        (PPOConfig, "clip_param", 0.0, SMALLEST),
        (PPOConfig, "clip_param", -3, SMALLEST),
        (PPOConfig, "lr", 0.3, 0.3),
        (PPOConfig, "num_sgd_iter", 0, 1),
        (PPOConfig, "train_batch_size", 2000.7, 2000),
        (PPOConfig, "grad_clip", None, None),
        (PPOConfig, "sample_batch_size", 0, 1),
        (PPOConfig, "seed", 2**40, 2**32 - 1),
        (DQNConfig, "grad_norm_clipping", -1.0, SMALLEST),
        (DQNConfig, "learning_starts", -5, 0),
        (PGConfig, "model", {"init_log_std": 7.5, "mine": -1}, {"init_log_std": 5.0, "mine": -1}),
        (PGConfig, "use_pytorch", True, True),
        (PGConfig, "lr", "1e-4", "1e-4"),
        (PGConfig, "lr", float("nan"), None),
        (PGConfig, "my_own", -1e9, -1e9),
        (PGConfig, "env_config", {"gamma": 7}, {"gamma": 7}),
    ],
)
def test_t10_8_the_nearest_allowed_value(
    config: type[Config], key: str, value: Any, expected: Any
) -> None:
    raw = {key: value}
    clipped = config.clip(raw)
    if value != value:  # nothing is nearest to that: validation says so
        assert clipped[key] is value
        return
    assert clipped == {key: expected} and type(clipped[key]) is type(expected)
    assert raw == {key: value}


@pytest.mark.parametrize(
    ("config", "raw", "more"),
    [
        (PPOConfig, {"train_batch_size": 50}, {"sgd_minibatch_size": 50}),
        (PPOConfig, {"train_batch_size": 0, "sgd_minibatch_size": 9}, {"train_batch_size": 1, "sgd_minibatch_size": 1}),
        (PPOConfig, {"sgd_minibatch_size": "many"}, {}),
        (DQNConfig, {"buffer_size": 16}, {"train_batch_size": 16}),
        (DQNConfig, {"train_batch_size": 60000}, {"train_batch_size": 50000}),
    ],
)  # fmt: skip
def test_a_key_that_another_bounds_gives_way(
    config: type[Config], raw: dict[str, Any], more: dict[str, Any]
) -> None:
    assert config.clip(raw) == {**raw, **more}


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_t10_8_ten_thousand_explores_stay_in_range(name: str) -> None:
    """Perturbed again and again by what PBT multiplies with, and more; whole numbers stay whole."""
    cls = get_trainable_cls(name)
    rng = random.Random(5)
    start = {
        key: value
        for key, value in cls.config_class.from_dict({}).to_dict().items()
        if isinstance(value, int | float) and not isinstance(value, bool)
        if key not in ("num_workers", "num_envs_per_worker", "num_gpus")
    }
    start |= {"grad_clip": 0.5, "rollout_fragment_length": 64}
    config = dict(start)
    for step in range(10_000):
        key = rng.choice(list(start))
        factor = rng.choice([0.8, 1.2, -1.0, 1000.0, 1e-6])
        value = config[key] * factor
        config = cls.clip_config(
            {**config, key: int(value) if isinstance(start[key], int) else value}
        )
        assert type(config[key]) is type(start[key])
        if step % 10 == 0:
            _, problems = cls.config_class.parse(config)
            assert not problems


def test_a_trainable_of_one_s_own_knows_no_ranges() -> None:
    config = {"gamma": 7}
    assert Trainable.clip_config(config) is config
    assert PPO.clip_config(config) == {"gamma": 1}
