"""Trains with Stable-Baselines3; runs in its environment, so it imports nothing of rltune."""

from __future__ import annotations

import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from benchmarks import peer_stable
from benchmarks.peer_task import Task

ACTIVATIONS = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}


def build(task: Task) -> BaseAlgorithm:
    algorithm = {"PPO": stable_baselines3.PPO, "DQN": stable_baselines3.DQN}[task.algorithm]
    return algorithm(**peer_stable.arguments(task, ACTIVATIONS))


if __name__ == "__main__":
    peer_stable.train(build)
