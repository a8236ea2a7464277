"""N copies of one environment in this process, each on its own stream of episode seeds."""

from __future__ import annotations

import operator
from typing import Any

import gymnasium
import numpy as np

from rltune.envs.action_tape import ActionTape
from rltune.envs.atari import GOES_ON
from rltune.envs.batching import copy_batch, empty_batch, is_nested, leaves, write_row
from rltune.envs.errors import EnvError
from rltune.envs.vector_env import SeedStream, Step, VectorEnv


class CopiesVectorEnv(VectorEnv):
    """Steps environments one after the other; one that ends is reset within the same step.

    Every episode is reset with its own seed, so the running ones can be restored by replaying
    their actions. What an environment raises passes with its own traceback and a note that says
    which environment, episode seed and step it was.
    """

    def __init__(
        self, envs: list[gymnasium.Env[Any, Any]], sequences: list[np.random.SeedSequence]
    ) -> None:
        self._envs = envs
        self.num_envs = len(envs)
        self.single_observation_space = envs[0].observation_space
        self.single_action_space = envs[0].action_space
        self._streams = [SeedStream(sequence) for sequence in sequences]
        self._episode_seeds = [0] * self.num_envs
        self._write = write_row if is_nested(self.single_observation_space) else operator.setitem
        actions = self.single_action_space
        self._tape = ActionTape(self.num_envs, actions.shape or (), np.dtype(actions.dtype))
        self._valid = np.ones(self.num_envs, bool)
        self._valid.setflags(write=False)  # one array serves every step

    def reset(self) -> Any:
        """Starts a new episode in every environment; returns their first observations, [N, ...]."""
        obs = empty_batch(self.single_observation_space, self.num_envs)
        for index in range(self.num_envs):
            self._reset_row(obs, index)
        self.obs = obs
        return obs

    def _reset_row(self, obs: Any, index: int) -> None:
        self._tape.start_episode(index)
        self._begin_episode(obs, index, self._streams[index].next())

    def _begin_episode(self, obs: Any, index: int, seed: int) -> None:
        self._episode_seeds[index] = seed
        try:
            row, _ = self._envs[index].reset(seed=seed)
            self._check_shape(row)
            self._write(obs, index, row)
        except Exception as error:
            self._annotate(error, index, 0)
            raise

    def _check_shape(self, row: Any) -> None:
        expected = self.single_observation_space.shape
        # Assigning to a row of the batch would broadcast a wrong shape without a word.
        if expected is not None and np.shape(row) != expected:
            raise EnvError(
                f"reset returned an observation of shape {np.shape(row)}, "
                f"observation_space says {expected}"
            )

    def step(self, actions: np.ndarray) -> Step:
        """Steps every environment with its row of `actions` [N, ...]. All rows are valid."""
        count = self.num_envs
        self._tape.append(actions)
        obs = empty_batch(self.single_observation_space, count)
        rewards = np.empty(count, np.float32)
        terminateds, truncateds = np.zeros(count, bool), np.zeros(count, bool)
        ended: list[int] = []
        goes_on: np.ndarray | None = None
        write, index = self._write, 0
        try:
            for index, env in enumerate(self._envs):
                row, reward, terminated, truncated, info = env.step(actions[index])
                write(obs, index, row)
                rewards[index] = reward
                if terminated or truncated:
                    terminateds[index], truncateds[index] = terminated, truncated
                    ended.append(index)
                    if info.get(GOES_ON):
                        goes_on = np.zeros(count, bool) if goes_on is None else goes_on
                        goes_on[index] = True
        except Exception as error:
            self._annotate(error, index, self._tape.steps(index))
            raise
        final_obs = obs
        if ended:
            # Copied before any reset: an environment may return one array again and again.
            final_obs = copy_batch(obs)
            for index in ended:
                self._reset_row(obs, index)
        self.obs = obs
        return Step(obs, rewards, terminateds, truncateds, final_obs, self._valid, goes_on)

    def _annotate(self, error: Exception, index: int, step: int) -> None:
        if hasattr(error, "add_note"):  # Python 3.11
            error.add_note(
                f"in environment {index} of {self.num_envs}, episode seed "
                f"{self._episode_seeds[index]}, step {step} of the episode"
            )

    def get_state(self) -> dict[str, Any]:
        """The episode seeds, the actions of the running episodes and their last observations."""
        return {
            "kind": "copies",
            "streams": [stream.get_state() for stream in self._streams],
            "episode_seeds": list(self._episode_seeds),
            "actions": [self._tape.episode(index) for index in range(self.num_envs)],
            "obs": [leaf.copy() for leaf in leaves(self.obs)],
        }

    def set_state(self, state: dict[str, Any]) -> bool:
        """Replays the running episodes; drops one that leads to another observation."""
        self.restored = np.zeros(self.num_envs, bool)
        if state.get("kind") != "copies" or len(state["streams"]) != self.num_envs:
            self.reset()
            return False
        obs = empty_batch(self.single_observation_space, self.num_envs)
        for index, actions in enumerate(state["actions"]):
            self._streams[index].set_state(state["streams"][index])
            self.restored[index] = actions is not None and self._replay(obs, index, state, actions)
            if not self.restored[index]:
                self._begin_episode(obs, index, self._streams[index].next())
        pairs = zip(state["actions"], self.restored, strict=True)
        self._tape.set_episodes([actions if kept else None for actions, kept in pairs])
        self.obs = obs
        return bool(self.restored.all())

    def _replay(self, obs: Any, index: int, state: dict[str, Any], actions: np.ndarray) -> bool:
        self._begin_episode(obs, index, int(state["episode_seeds"][index]))
        for step, action in enumerate(actions, start=1):
            try:
                row, _, terminated, truncated, _ = self._envs[index].step(action)
            except Exception as error:
                self._annotate(error, index, step)
                raise
            if terminated or truncated:
                return False
            self._write(obs, index, row)
        pairs = zip(leaves(obs), state["obs"], strict=True)
        return all(_same(mine[index], theirs[index]) for mine, theirs in pairs)

    def close(self) -> None:
        """Closes every environment."""
        for env in self._envs:
            env.close()


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the numbers are equal; NaN equals NaN."""
    return bool(np.array_equal(first, second, equal_nan=np.asarray(first).dtype.kind == "f"))
