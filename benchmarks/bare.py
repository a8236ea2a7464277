"""The least work that a case can be done with: the limit of rltune's figures.

Environment steps with random actions, and one compiled update on what they gave, of the same size as
the case's: no policy, no advantages, no replay, no metrics, no loggers, no runner. It learns nothing.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from benchmarks.bare_update import Update
from benchmarks.peer_task import Results, Task, results

Columns = dict[str, np.ndarray]


class Sampler:
    """Environments that are stepped with random actions."""

    def __init__(self, env: str, envs: int, steps: int) -> None:
        gymnasium.logger.min_level = gymnasium.logger.ERROR
        self._env = environments(env, envs)
        self._envs = envs
        self._actions = [self._env.action_space.sample() for _ in range(steps)]
        self._obs = np.zeros((steps, *self._env.observation_space.shape), np.float32)
        self._rewards = np.zeros((steps, envs), np.float32)
        self._env.reset(seed=0)

    def sample(self) -> Columns:
        """Observations [steps * envs, ...], actions and rewards [steps * envs]."""
        for step, action in enumerate(self._actions):
            self._obs[step], self._rewards[step], end, cut, _ = self._env.step(action)
            if self._envs == 1 and (end or cut):
                self._env.reset()
        rows = self._rewards.size
        return {
            "obs": self._obs.reshape(rows, -1),
            "actions": np.reshape(self._actions, rows).astype(np.int32),
            "rewards": self._rewards.reshape(rows),
        }


def environments(env: str, envs: int) -> Any:
    """A vector; one environment is quicker alone than as a vector of one."""
    return gymnasium.make_vec(env, envs) if envs > 1 else gymnasium.make(env)


def index(task: Task, rows: int) -> np.ndarray:
    """Rows of each minibatch of an update [minibatches, rows of one]."""
    config = task.config
    if task.algorithm == "PPO":
        size = config["sgd_minibatch_size"]
        count = config["num_sgd_iter"] * (config["train_batch_size"] // size)
    else:
        size = config["train_batch_size"]
        count = round(config["training_intensity"] * rows / size)
    return np.random.default_rng(0).integers(0, rows, (count, size), np.int32)


def work(task: Task, lines: Results) -> None:
    """Samples and updates until the task's steps are done."""
    config = task.config
    envs = config.get("num_envs_per_worker", 1)
    rows = config["train_batch_size" if task.algorithm == "PPO" else "rollout_fragment_length"]
    sample = Sampler(task.env, envs, rows // envs).sample
    batch = sample()
    update = Update(task.algorithm, config, batch["obs"].shape[1])
    minibatches = index(task, rows)
    done = 0
    while done < task.timesteps:
        if done:
            batch = sample()
        update(batch, minibatches)
        done += rows
        lines.write(done, None)


if __name__ == "__main__":
    task = Task.read()
    with results(task) as lines:
        work(task, lines)
