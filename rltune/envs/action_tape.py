"""The actions of the running episodes, so that one can be played again from its seed."""

from __future__ import annotations

from typing import Any

import numpy as np

# An episode longer than this is not kept: replaying it would take minutes.
MAX_STEPS = 100_000


class ActionTape:
    """Records the actions of N environments; forgets those of finished episodes."""

    def __init__(self, num_envs: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._actions = np.empty((256, num_envs, *shape), dtype)
        self._length = 0
        self._starts = np.zeros(num_envs, np.int64)

    def start_episode(self, index: int) -> None:
        """Environment `index` begins a new episode."""
        self._starts[index] = self._length

    def append(self, actions: np.ndarray) -> None:
        """Records one step's actions, [N, ...]."""
        if self._length == len(self._actions):
            self._make_room()
        self._actions[self._length] = actions
        self._length += 1

    def episode(self, index: int) -> np.ndarray | None:
        """The actions [T, ...] of the running episode, a copy; None if it grew too long."""
        start = self._starts[index]
        return self._actions[start : self._length, index].copy() if start >= 0 else None

    def steps(self, index: int) -> int:
        """How many actions the running episode has had."""
        return int(self._length - self._starts[index])

    def set_episodes(self, episodes: list[np.ndarray | None]) -> None:
        """Replaces everything by these running episodes: actions [T_i, ...], None for a new one."""
        self._length = max((len(actions) for actions in episodes if actions is not None), default=0)
        room = max(256, 2 * self._length)
        self._actions = np.empty((room, *self._actions.shape[1:]), self._actions.dtype)
        self._starts[:] = self._length
        for index, actions in enumerate(episodes):
            if actions is not None:
                self._starts[index] -= len(actions)
                self._actions[self._starts[index] : self._length, index] = actions

    def _make_room(self) -> None:
        kept_starts = self._starts[self._starts >= self._length - MAX_STEPS]
        first = int(kept_starts.min(initial=self._length))
        kept = self._actions[first : self._length]
        self._actions = np.empty((max(256, 2 * len(kept)), *kept.shape[1:]), kept.dtype)
        self._actions[: len(kept)] = kept
        self._length = len(kept)
        self._starts -= first  # below zero: that episode is not kept
