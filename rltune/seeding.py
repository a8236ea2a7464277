"""Random streams: one independent stream for each purpose and index, whatever process draws from it."""

from __future__ import annotations

import secrets

import numpy as np

PURPOSES = (
    "init",
    "env",
    "action",
    "learner",
    "replay",
    "evaluation_env",
    "evaluation_action",
    "compute_action",
)


def seed_sequence(
    seed: int, purpose: str, index: int = 0, restarts: int = 0
) -> np.random.SeedSequence:
    """The seed sequence of `purpose` (one of PURPOSES) and `index` (a global environment index, say).

    `restarts` counts how often the owner was replaced after a crash: a replacement must not repeat its predecessor.
    """
    return np.random.SeedSequence(seed, spawn_key=(PURPOSES.index(purpose), index, restarts))


def stream(seed: int, purpose: str, index: int = 0, restarts: int = 0) -> np.random.Generator:
    """A generator on `seed_sequence`."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, purpose, index, restarts)))


def draw_seed() -> int:
    """A fresh seed from the operating system, for runs that were given none."""
    return secrets.randbits(32)
