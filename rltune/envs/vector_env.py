"""The interface through which the rollout worker steps several environments at once."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import gymnasium
import numpy as np


class Step(NamedTuple):
    """What one step of N environments returned. Arrays belong to the caller: none is written again.

    Attributes:
        obs: what the policy acts on next, [N, ...] (nested dicts and tuples of such arrays for Dict
            and Tuple spaces); a row that ended holds the first observation of its next episode.
        rewards: [N] float32.
        terminateds: [N] bool, the environment reached a final state.
        truncateds: [N] bool, the episode was cut (a time limit); its last state still has a value.
        final_obs: like `obs`, but a row that ended holds the true last observation of its episode.
            The same object as `obs` when no row ended.
        goes_on: [N] bool, the episode ended but not the game that its reward is counted for (a life
            was lost); None where that is true of no row.
        valid: [N] bool; False for a row that only carried an autoreset and is not a transition.
    """

    obs: Any
    rewards: np.ndarray
    terminateds: np.ndarray
    truncateds: np.ndarray
    final_obs: Any
    valid: np.ndarray
    goes_on: np.ndarray | None = None


class VectorEnv(abc.ABC):
    """N environments stepped together.

    Attributes:
        num_envs: N.
        single_observation_space, single_action_space: Gymnasium spaces of one environment.
        obs: the latest raw observations, [N, ...]: what the policy acts on next. Set by `reset`,
            `step` and `set_state`.
        restored: [N] bool, which environments the latest `set_state` continues exactly.
    """

    num_envs: int
    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]
    obs: Any = None
    restored: np.ndarray

    @abc.abstractmethod
    def reset(self) -> Any:
        """Starts a new episode in every environment; returns their first observations, [N, ...]."""

    @abc.abstractmethod
    def step(self, actions: np.ndarray) -> Step:
        """Steps each environment with its row of `actions` [N, ...]; rows that end start afresh."""

    @abc.abstractmethod
    def get_state(self) -> dict[str, Any]:
        """All that `set_state` needs to go on exactly here: JSON-able values and numpy arrays."""

    @abc.abstractmethod
    def set_state(self, state: dict[str, Any]) -> bool:
        """Goes on where `get_state` was called; `obs` is set.

        Returns:
            True if every environment continues exactly; where one cannot, it begins a new episode.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Releases what the environments hold."""


class SeedStream:
    """The seeds of the successive episodes of one environment.

    Seed k depends only on the SeedSequence and k. The state names both, so that a run goes on with
    the seeds it began with even where it was given none and would draw another one now.
    """

    def __init__(self, sequence: np.random.SeedSequence) -> None:
        self._begin(sequence, 0)

    def _begin(self, sequence: np.random.SeedSequence, position: int) -> None:
        self._sequence, self._position = sequence, position
        self._seeds = self._generate(32)

    def _generate(self, count: int) -> np.ndarray:
        # The words of a shorter request are a prefix of those of a longer one. 31 bits, since
        # environments hand their seed to libraries that take a signed int.
        return self._sequence.generate_state(count) >> 1

    def next(self) -> int:
        """The seed of the next episode, in [0, 2**31)."""
        while self._position >= len(self._seeds):
            self._seeds = self._generate(2 * max(len(self._seeds), self._position))
        self._position += 1
        return int(self._seeds[self._position - 1])

    def get_state(self) -> dict[str, Any]:
        """The sequence and the position in it, JSON-able."""
        sequence = self._sequence
        return {
            "entropy": sequence.entropy,
            "spawn_key": list(sequence.spawn_key),
            "position": self._position,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The inverse of `get_state`."""
        sequence = np.random.SeedSequence(state["entropy"], spawn_key=state["spawn_key"])
        self._begin(sequence, int(state["position"]))
