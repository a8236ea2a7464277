"""Trains with SBX; runs in its environment, so it imports nothing of rltune."""

from __future__ import annotations

import flax.linen
import sbx
from stable_baselines3.common.base_class import BaseAlgorithm

from benchmarks import peer_stable
from benchmarks.peer_task import Task

ACTIVATIONS = {"tanh": flax.linen.tanh, "relu": flax.linen.relu}


def build(task: Task) -> BaseAlgorithm:
    arguments = peer_stable.arguments(task, ACTIVATIONS)
    if task.algorithm == "PPO":
        return sbx.PPO(**arguments)
    del arguments["max_grad_norm"]  # its DQN never clips gradients
    return sbx.DQN(**arguments)


if __name__ == "__main__":
    peer_stable.train(build)
