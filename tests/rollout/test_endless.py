"""Environments whose episodes never end must not hold up what waits for the end of one."""

from __future__ import annotations

import logging

import pytest

from agents.pg import PG
from agents.ppo import PPO
from tests.envs.toy import TruncatedEnv

ENDLESS = {"env": TruncatedEnv, "env_config": {"length": 10**9}, "train_batch_size": 64}


def test_an_evaluation_is_cut(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rltune.rollout.evaluation.MAX_EPISODE_STEPS", 50)
    algorithm = PPO({**ENDLESS, "evaluation_num_episodes": 2})
    with caplog.at_level(logging.WARNING):
        result = algorithm.evaluate()
    assert result["episode_len_mean"] == 50 and result["episodes_this_eval"] == 1
    assert "had no end after 50 steps" in caplog.text
    algorithm.stop()


def test_waiting_for_whole_episodes_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltune.rollout.worker.MAX_EPISODE_STEPS", 200)
    algorithm = PG(ENDLESS)
    with pytest.raises(RuntimeError, match="no episode ended in 256 steps.*truncate_episodes"):
        algorithm.train()
    algorithm.stop()
