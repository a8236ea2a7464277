"""Prioritised experience replay, Schaul et al. 2016 (arXiv:1511.05952), proportional variant."""

from typing import Any

import numpy as np

from rltune.replay.buffer import ReplayBuffer
from rltune.replay.sum_tree import PriorityTree


class PrioritizedReplayBuffer(ReplayBuffer):
    """Draws row i with probability P(i) = p_i^alpha / sum_j p_j^alpha, where p = |TD error| + eps.

    Rows come in with the largest priority seen so far (1 at first), so that each is soon drawn.
    Invalid rows have none. The importance weights are divided by the largest weight of any row in
    the buffer, not of the batch, as in RLlib and OpenAI baselines: a row's weight then does not
    depend on what it was drawn with, and learning rates tuned there carry over.
    alpha = 0 is uniform; eps > 0 keeps rows without error in the draw.
    """

    def __init__(self, capacity: int, rng: np.random.Generator, alpha: float, eps: float) -> None:
        if alpha < 0.0 or eps <= 0.0:
            raise ValueError(f"alpha {alpha} must be at least 0 and eps {eps} above 0")
        self.alpha = alpha
        self.eps = eps
        super().__init__(capacity, rng)

    def _clear(self) -> None:
        super()._clear()
        self._tree = PriorityTree(self.capacity)
        self._max_priority = 1.0

    def add(self, fragment: dict[str, np.ndarray], starts: np.ndarray | None = None) -> np.ndarray:
        """As `ReplayBuffer.add`; the valid rows get the largest priority so far."""
        indices = super().add(fragment, starts)
        valid = self._columns["valid"].reshape(-1).take(indices)
        self._tree.set(indices, np.where(valid, self._max_priority**self.alpha, 0.0))
        return indices

    def sample(
        self, num_batches: int, batch_size: int, n_step: int, gamma: float, beta: float = 1.0
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """As `ReplayBuffer.sample`, by priority, and stratified within each batch.

        `weights` are (size * P(i))^-beta over their maximum; beta = 1 corrects the bias fully.
        """
        columns, indices = super().sample(num_batches, batch_size, n_step, gamma)
        # The size of the buffer and the sum of priorities cancel out against the maximum.
        ratios = self._tree.leaves[indices] / self._tree.least
        columns["weights"] = (ratios**-beta).astype(np.float32)
        return columns, indices

    def _draw(self, num_batches: int, batch_size: int) -> np.ndarray:
        strata = np.arange(batch_size) + self._rng.random((num_batches, batch_size))
        return self._tree.find((strata * (self._tree.total / batch_size)).ravel())

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray) -> None:
        """Give the rows `indices` [B] the priorities of `td_errors` [B]; of equal ones the last.

        Rows that have become invalid since they were drawn are left out.
        Raises ValueError if an error is not finite: one would spoil every later sample.
        """
        if not np.all(np.isfinite(td_errors)):
            raise ValueError("td_errors must be finite: the loss has diverged (lower lr?)")
        kept = self._columns["valid"].reshape(-1).take(indices)
        priorities = np.abs(td_errors[kept].astype(np.float64)) + self.eps
        self._max_priority = max(self._max_priority, float(np.max(priorities, initial=0.0)))
        self._tree.set(indices[kept], priorities**self.alpha)

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """As `ReplayBuffer.get_state`, with the priorities (raised to alpha)."""
        arrays, meta = super().get_state()
        rows = self._times * self._linked.shape[1]
        arrays["priorities"] = self._tree.leaves[:rows]
        arrays["priorities"].flags.writeable = False
        return arrays, {**meta, "max_priority": self._max_priority, "alpha": self.alpha}

    def set_state(self, state: tuple[dict[str, np.ndarray], dict[str, Any]]) -> None:
        """As `ReplayBuffer.set_state`, with the priorities; see `inherit`."""
        super().set_state(state)
        self._take_priorities(*state, np.arange(self._times))

    def inherit(self, state: tuple[dict[str, np.ndarray], dict[str, Any]]) -> np.ndarray:
        """As `ReplayBuffer.inherit`, with the priorities, raised to this buffer's alpha.

        Rows of a buffer that had none get those of new rows.
        """
        times = super().inherit(state)
        self._take_priorities(*state, times)
        return times

    def _take_priorities(
        self, arrays: dict[str, np.ndarray], meta: dict[str, Any], times: np.ndarray
    ) -> None:
        num_envs = self._linked.shape[1]
        scaled = (
            np.where(self._columns["valid"][: len(times)], 1.0, 0.0)
            if len(times)
            else np.zeros((0, 0))
        )
        if "priorities" in arrays and meta["alpha"] > 0.0:  # p^0 tells nothing of p
            former = arrays["priorities"].reshape(-1, max(num_envs, 1))[times]
            same = self.alpha == meta["alpha"]
            scaled = (
                former
                if same
                else np.where(scaled > 0.0, former ** (self.alpha / meta["alpha"]), 0.0)
            )
            self._max_priority = meta["max_priority"]
        self._tree.set(np.arange(scaled.size), scaled.reshape(-1))
