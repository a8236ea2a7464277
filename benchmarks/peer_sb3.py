"""Trains with Stable-Baselines3; runs in its environment, so it imports nothing of rltune.

Takes one JSON argument: `algorithm`, `env`, `seed`, `timesteps`, `stop_reward`, `threads`,
`folder` and the RLlib-named `config`. After each update it appends a line to result.json in
`folder`, with the keys that rltune's results carry, and ends as soon as the mean of the last
100 episodes is at least `stop_reward`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


class ResultWriter(BaseCallback):
    """Writes a result before each sampling phase but the first, and one at the end."""

    def __init__(self, file: TextIO, stop_reward: float) -> None:
        super().__init__()
        self.file = file
        self.stop_reward = stop_reward
        self.solved = False

    def _write(self) -> None:
        episodes = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        reward = float(np.mean(episodes)) if episodes else None
        result = {"timesteps_total": self.num_timesteps, "episode_reward_mean": reward}
        self.file.write(json.dumps(result) + "\n")
        self.file.flush()
        self.solved = reward is not None and reward >= self.stop_reward

    def _on_rollout_start(self) -> None:
        if getattr(self.model, "_n_updates", 0):
            self._write()

    def _on_step(self) -> bool:
        return not self.solved

    def _on_training_end(self) -> None:
        if not self.solved:
            self._write()


def common(task: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The arguments that both algorithms have."""
    model = config["model"]
    return {
        "learning_rate": config["lr"],
        "gamma": config["gamma"],
        "max_grad_norm": config["grad_clip"],
        "policy_kwargs": {
            "net_arch": model["fcnet_hiddens"],
            "activation_fn": ACTIVATIONS[model["fcnet_activation"]],
        },
        "seed": task["seed"],
        "device": "cpu",
    }


def ppo(task: dict[str, Any], config: dict[str, Any]) -> BaseAlgorithm:
    envs = config["num_envs_per_worker"]
    return stable_baselines3.PPO(
        "MlpPolicy",
        make_vec_env(task["env"], n_envs=envs, seed=task["seed"]),
        n_steps=config["train_batch_size"] // envs,
        batch_size=config["sgd_minibatch_size"],
        n_epochs=config["num_sgd_iter"],
        gae_lambda=config["lambda"],
        clip_range=config["clip_param"],
        ent_coef=config["entropy_coeff"],
        vf_coef=config["vf_loss_coeff"],
        **common(task, config),
    )


def dqn(task: dict[str, Any], config: dict[str, Any]) -> BaseAlgorithm:
    fragment = config["rollout_fragment_length"]
    exploration = config["exploration_fraction"] * config["schedule_max_timesteps"]
    return stable_baselines3.DQN(
        "MlpPolicy",
        make_vec_env(task["env"], n_envs=1, seed=task["seed"]),
        batch_size=config["train_batch_size"],
        buffer_size=config["buffer_size"],
        learning_starts=config["learning_starts"],
        target_update_interval=config["target_network_update_freq"],
        train_freq=fragment,
        gradient_steps=round(config["training_intensity"] * fragment / config["train_batch_size"]),
        exploration_fraction=min(1.0, exploration / task["timesteps"]),
        exploration_final_eps=config["exploration_final_eps"],
        **common(task, config),
    )


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    model = {"PPO": ppo, "DQN": dqn}[task["algorithm"]](task, task["config"])
    with (Path(task["folder"]) / "result.json").open("w") as file:
        model.learn(task["timesteps"], callback=ResultWriter(file, task["stop_reward"]))


if __name__ == "__main__":
    main()
