"""Trains with RLlib; runs in its environment, so it imports nothing of rltune.

RLlib's new API stack, which is its default: one process that samples and learns.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import Any

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from benchmarks.peer_task import Task, results


def ppo(task: Task) -> PPOConfig:
    """RLlib's config of a PPO task."""
    config, model = task.config, task.config["model"]
    envs, batch, lr = config["num_envs_per_worker"], config["train_batch_size"], config["lr"]
    return (
        PPOConfig()
        .environment(task.env)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=envs,
            rollout_fragment_length=batch // envs,
        )
        .training(
            train_batch_size_per_learner=batch,
            minibatch_size=config["sgd_minibatch_size"],
            num_epochs=config["num_sgd_iter"],
            lr=[[0, lr], [task.timesteps, 0.0]] if config.get("lr_to_zero") else lr,
            gamma=config["gamma"],
            lambda_=config["lambda"],
            clip_param=config["clip_param"],
            use_kl_loss=config["kl_coeff"] != 0,
            kl_coeff=config["kl_coeff"],
            entropy_coeff=config["entropy_coeff"],
            vf_loss_coeff=config["vf_loss_coeff"],
            vf_clip_param=math.inf,
            grad_clip=config["grad_clip"],
            grad_clip_by="global_norm",
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=model["fcnet_hiddens"],
                fcnet_activation=model["fcnet_activation"],
                vf_share_layers=model["vf_share_layers"],
            )
        )
        .debugging(seed=task.seed, log_level="ERROR")
    )


class Episodes:
    """The returns of the last 100 episodes. RLlib's own mean is of those of one iteration alone."""

    def __init__(self) -> None:
        self._returns: deque[float] = deque(maxlen=100)
        self._unfinished: dict[str, float] = {}

    def add(self, samples: list[Any]) -> None:
        """Counts in the pieces of episodes that RLlib has sampled."""
        for piece in samples:
            total = self._unfinished.pop(piece.id_, 0.0) + float(piece.get_return())
            if piece.is_done:
                self._returns.append(total)
            else:
                self._unfinished[piece.id_] = total

    def mean(self) -> float | None:
        return sum(self._returns) / len(self._returns) if self._returns else None


def main() -> None:
    task = Task.read()
    torch.set_num_threads(task.threads)
    ray.init("local", num_cpus=task.threads, include_dashboard=False, logging_level=logging.ERROR)
    episodes = Episodes()

    def on_sample_end(samples: list[Any], **_: Any) -> None:
        episodes.add(samples)  # a method would be called on a copy, made with the config

    config = {"PPO": ppo}[task.algorithm](task).callbacks(on_sample_end=on_sample_end)
    algorithm = config.build_algo()
    steps = 0
    with results(task) as lines:
        while steps < task.timesteps and not lines.solved:
            result = algorithm.train()[ENV_RUNNER_RESULTS]
            steps = int(result[NUM_ENV_STEPS_SAMPLED_LIFETIME])
            lines.write(steps, episodes.mean())


if __name__ == "__main__":
    main()
