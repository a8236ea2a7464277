"""Named numpy columns of equal length. Columns are never written in place: arrays from Ray's store are read-only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OBS = "obs"  # what the policy saw: preprocessed and filtered
NEW_OBS = "new_obs"  # the true next observation, also where the episode ended
ACTIONS = "actions"  # the policy's own action, before clipping
REWARDS = "rewards"  # what is trained on: clipped or normalised if asked
TERMINATEDS = "terminateds"  # the environment ended the episode
TRUNCATEDS = "truncateds"  # a time limit did
VALID = "valid"  # False: not a transition (an environment's autoreset row)
ACTION_DIST_INPUTS = "action_dist_inputs"  # logits, means, ... of the policy that acted
ACTION_LOGP = "action_logp"  # log-probability of `actions` under it
VF_PREDS = "vf_preds"  # value estimates when acting
BOOTSTRAP = "bootstrap"  # value of the true next observation where an episode or the fragment ended
ADVANTAGES = "advantages"
VALUE_TARGETS = "value_targets"


class SampleBatch(dict[str, np.ndarray]):
    """Columns [B, ...], or [T, N, ...] while still time-major."""

    @property
    def count(self) -> int:
        """Length of the leading axis."""
        return len(next(iter(self.values()))) if self else 0

    @staticmethod
    def concat(batches: Sequence[SampleBatch], axis: int = 0) -> SampleBatch:
        """Joined along `axis`; the columns are those of the first."""
        if len(batches) == 1:
            return batches[0]
        return SampleBatch({k: np.concatenate([b[k] for b in batches], axis) for k in batches[0]})

    def rows(self, keep: np.ndarray, columns: Sequence[str] | None = None) -> SampleBatch:
        """The kept rows of a time-major batch [T, N, ...], flat, environment by environment: so a batch is the same
        however its environments were spread over workers. `keep` is a boolean [T, N]."""
        names = list(self) if columns is None else columns
        if keep.all():
            flat = (keep.size,)
            return SampleBatch(
                {k: self[k].swapaxes(0, 1).reshape(flat + self[k].shape[2:]) for k in names}
            )
        kept = keep.swapaxes(0, 1)
        return SampleBatch({k: self[k].swapaxes(0, 1)[kept] for k in names})


def minibatch_index(
    rng: np.random.Generator, rows: int, minibatch_size: int, epochs: int
) -> np.ndarray:
    """Row numbers of every minibatch of every epoch, int32 [steps, minibatch_size]; each epoch is a permutation of the
    rows, or all of them in their order where that is one minibatch: losses are means over its rows. Where the last
    minibatch of an epoch is short, -1 fills it up."""
    size = min(minibatch_size, rows)
    steps = -(-rows // size)
    if steps == 1:
        return np.tile(np.arange(rows, dtype=np.int32), (epochs, 1))
    index = np.full((epochs, steps * size), -1, np.int32)
    for epoch in range(epochs):
        index[epoch, :rows] = rng.permutation(rows)
    return index.reshape(epochs * steps, size)
