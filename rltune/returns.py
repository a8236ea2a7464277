"""Returns and advantages over time-major fragments, in plain numpy.

All arrays are [T, N]: T steps of N environments. `next_values[t]` is the value of the true observation that followed
step t: 0 after a termination, V(last observation) after a truncation and at the fragment's end, V(s[t+1]) elsewhere.
`ends` marks the last step of an episode (terminated or truncated).
"""

from __future__ import annotations

import numpy as np


def next_values(
    values: np.ndarray, bootstrap: np.ndarray, ends: np.ndarray, terminateds: np.ndarray
) -> np.ndarray:
    """Values that follow each step. `bootstrap` [T, N] holds V(true next observation) where an episode ends or the
    fragment does; other entries are not read."""
    following = np.empty_like(values)
    following[:-1] = values[1:]
    following[-1] = bootstrap[-1]
    return np.where(terminateds, 0.0, np.where(ends, bootstrap, following)).astype(np.float32)


def discounted_returns(
    rewards: np.ndarray, ends: np.ndarray, following: np.ndarray, gamma: float
) -> np.ndarray:
    """Rewards-to-go: G[t] = r[t] + gamma * (following[t] at an end, else G[t+1]); the last row counts as an end."""
    returns = np.empty_like(rewards, dtype=np.float32)
    running = following[-1]
    for t in range(len(rewards) - 1, -1, -1):
        running = rewards[t] + gamma * np.where(ends[t], following[t], running)
        returns[t] = running
    return returns


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    following: np.ndarray,
    ends: np.ndarray,
    gamma: float,
    lambda_: float,
) -> np.ndarray:
    """Generalised advantage estimates, Schulman et al. 2016 (https://arxiv.org/abs/1506.02438), eq. 16:
    A[t] = delta[t] + gamma * lambda * A[t+1], cut at the end of an episode, delta[t] = r[t] + gamma V' - V."""
    deltas = rewards + gamma * following - values
    decay = (gamma * lambda_ * ~ends).astype(np.float32)
    advantages = np.empty_like(deltas, dtype=np.float32)
    running = np.zeros(deltas.shape[1], np.float32)
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + decay[t] * running
        advantages[t] = running
    return advantages


def standardized(values: np.ndarray) -> np.ndarray:
    """Shifted and scaled to mean 0 and standard deviation 1; values that are all alike become 0."""
    return np.asarray((values - values.mean()) / (values.std() + 1e-8))


def explained_variance(predictions: np.ndarray, targets: np.ndarray) -> float | None:
    """1 - Var[targets - predictions] / Var[targets]; None where the targets do not vary."""
    variance = float(np.var(targets))
    return None if variance == 0 else float(1 - np.var(targets - predictions) / variance)
