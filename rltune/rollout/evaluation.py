"""Evaluation in the trial's process: its own environments, frozen filters, no exploration unless asked."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from rltune.algorithm_config import AlgorithmConfig
from rltune.envs.atari import Frames
from rltune.envs.make import resolve_env
from rltune.envs.vector import make_vector_env
from rltune.policy import Policy
from rltune.rollout.worker import MAX_EPISODE_STEPS
from rltune.seeding import seed_sequence, stream

logger = logging.getLogger(__name__)


class Evaluator:
    """Plays whole episodes with the policy it is given."""

    def __init__(self, config: AlgorithmConfig):
        assert config.seed is not None
        self._episodes = config.evaluation_num_episodes
        self._explore = bool(config.evaluation_config.get("explore", False))
        n = min(config.num_envs_per_worker, self._episodes)
        env_config = {**config.env_config, **config.evaluation_config.get("env_config", {})}
        self._envs = make_vector_env(
            resolve_env(config.env, env_config, Frames.of(config.to_dict())),
            n,
            [seed_sequence(config.seed, "evaluation_env", i) for i in range(n)],
        )
        self._rng = stream(config.seed, "evaluation_action")

    def evaluate(self, policy: Policy, exploration: float) -> dict[str, Any]:
        """Result keys over `evaluation_num_episodes` episodes; `exploration` is epsilon where there is one.

        Each environment plays a fixed share: taking the first that finish would favour short episodes.
        """
        n = self._envs.num_envs
        quota = np.full(n, self._episodes // n) + (np.arange(n) < self._episodes % n)
        rewards: list[float] = []
        lengths: list[int] = []
        reward, length = np.zeros(n), np.zeros(n, np.int64)
        obs = self._envs.reset()
        while (quota > 0).any():
            noise = policy.distribution.noise(self._rng, n) if self._explore else None
            step = self._envs.step(policy.compute_actions(obs, noise, exploration))
            obs = step.obs
            reward += step.rewards
            length += step.valid
            ended = step.terminateds | step.truncateds
            if step.goes_on is not None:
                ended &= ~step.goes_on
            endless = length >= MAX_EPISODE_STEPS
            if endless.any():
                logger.warning(
                    "an evaluation episode had no end after %d steps and is cut there",
                    MAX_EPISODE_STEPS,
                )
                ended = ended | endless
            for i in np.flatnonzero(ended & (quota > 0)):
                rewards.append(float(reward[i]))
                lengths.append(int(length[i]))
                quota[i] = 0 if endless[i] else quota[i] - 1  # it would be cut again and again
            reward[ended], length[ended] = 0.0, 0
        return {
            "episode_reward_mean": float(np.mean(rewards)),
            "episode_reward_min": min(rewards),
            "episode_reward_max": max(rewards),
            "episode_reward_std": float(np.std(rewards)),
            "episode_len_mean": float(np.mean(lengths)),
            "episodes_this_eval": len(rewards),
            "explore": self._explore,
        }

    def get_state(self) -> dict[str, Any]:
        return {"envs": self._envs.get_state(), "rng": self._rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self._envs.set_state(state["envs"])
        self._rng.bit_generator.state = state["rng"]

    def stop(self) -> None:
        self._envs.close()
