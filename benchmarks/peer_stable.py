"""What Stable-Baselines3 and SBX have in common: the names of settings, and the callback.

Runs in their environments, so it imports nothing of rltune.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from benchmarks.peer_task import Results, Task, results


class ResultWriter(BaseCallback):
    """Writes a result before each sampling phase but the first, and one at the end."""

    def __init__(self, results: Results) -> None:
        super().__init__()
        self.results = results

    def _write(self) -> None:
        episodes = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        self.results.write(self.num_timesteps, float(np.mean(episodes)) if episodes else None)

    def _on_rollout_start(self) -> None:
        if getattr(self.model, "_n_updates", 0):
            self._write()

    def _on_step(self) -> bool:
        return not self.results.solved

    def _on_training_end(self) -> None:
        if not self.results.solved:
            self._write()


def arguments(task: Task, activations: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the algorithm's class; `activations` are the library's, by their names."""
    config, model = task.config, task.config["model"]
    specific = {"PPO": _ppo, "DQN": _dqn}[task.algorithm](task)
    return {
        "policy": "MlpPolicy",
        "learning_rate": _schedule(config, "lr"),
        "gamma": config["gamma"],
        "max_grad_norm": config["grad_clip"],
        "policy_kwargs": {
            "net_arch": model["fcnet_hiddens"],
            "activation_fn": activations[model["fcnet_activation"]],
        },
        "seed": task.seed,
        "device": "cpu",
        **specific,
    }


def _ppo(task: Task) -> dict[str, Any]:
    config = task.config
    envs = config["num_envs_per_worker"]
    return {
        "env": make_vec_env(task.env, n_envs=envs, seed=task.seed),
        "n_steps": config["train_batch_size"] // envs,
        "batch_size": config["sgd_minibatch_size"],
        "n_epochs": config["num_sgd_iter"],
        "gae_lambda": config["lambda"],
        "clip_range": _schedule(config, "clip_param"),
        "ent_coef": config["entropy_coeff"],
        "vf_coef": config["vf_loss_coeff"],
    }


def _dqn(task: Task) -> dict[str, Any]:
    config = task.config
    fragment = config["rollout_fragment_length"]
    exploration = config["exploration_fraction"] * config["schedule_max_timesteps"]
    return {
        "env": make_vec_env(task.env, n_envs=1, seed=task.seed),
        "batch_size": config["train_batch_size"],
        "buffer_size": config["buffer_size"],
        "learning_starts": config["learning_starts"],
        "target_update_interval": config["target_network_update_freq"],
        "train_freq": fragment,
        "gradient_steps": round(
            config["training_intensity"] * fragment / config["train_batch_size"]
        ),
        "exploration_fraction": min(1.0, exploration / task.timesteps),
        "exploration_final_eps": config["exploration_final_eps"],
    }


def _schedule(config: dict[str, Any], name: str) -> float | Callable[[float], float]:
    """The setting, or a function of the part that remains if `<name>_to_zero` asks for a fall."""
    start = float(config[name])
    return (lambda remaining: start * remaining) if config.get(f"{name}_to_zero") else start


def train(build: Callable[[Task], BaseAlgorithm]) -> None:
    """Does the task of this process with the algorithm that `build` makes."""
    task = Task.read()
    torch.set_num_threads(task.threads)
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    model = build(task)
    with results(task) as lines:
        model.learn(task.timesteps, callback=ResultWriter(lines))
