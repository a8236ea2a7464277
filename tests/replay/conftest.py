"""Fragments for the replay tests: one builder for written-out numbers, one for random ones."""

from collections.abc import Callable

import numpy as np
import pytest

Fragment = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def one_env() -> Callable[..., Fragment]:
    """Columns [T, 1] from lists; the observation of row i is `first + i`, the next one more."""

    def build(
        rewards: list[float],
        terminateds: tuple[int, ...] = (),
        truncateds: tuple[int, ...] = (),
        invalid: tuple[int, ...] = (),
        first: int = 0,
    ) -> Fragment:
        steps = np.arange(len(rewards))
        obs = (first + steps).astype(np.float32)[:, None, None]
        return {
            "obs": obs,
            "actions": steps[:, None],
            "rewards": np.array(rewards, np.float32)[:, None],
            "terminateds": np.isin(steps, terminateds)[:, None],
            "truncateds": np.isin(steps, truncateds)[:, None],
            "new_obs": obs + 1.0,
            "valid": ~np.isin(steps, invalid)[:, None],
        }

    return build


@pytest.fixture(scope="session")
def random_fragment() -> Callable[..., Fragment]:
    """Columns [T, N]: episodes end at random, the row after an end is an invalid reset row.

    `step` numbers every row of the run, `first + t * N + n`, so that rows can be told apart.
    """

    def build(rng: np.random.Generator, steps: int, num_envs: int, first: int = 0) -> Fragment:
        shape = (steps, num_envs)
        step = first + np.arange(steps * num_envs).reshape(shape)
        terminateds, truncateds = rng.random(shape) < 0.15, rng.random(shape) < 0.15
        valid = np.ones(shape, bool)
        for t in range(1, steps):
            valid[t] = ~((terminateds | truncateds)[t - 1] & valid[t - 1])
            terminateds[t] &= valid[t]
            truncateds[t] &= valid[t]
        return {
            "obs": rng.integers(256, size=(*shape, 2, 3), dtype=np.uint8),
            "actions": rng.integers(4, size=shape),
            "rewards": rng.normal(size=shape).astype(np.float32),
            "terminateds": terminateds,
            "truncateds": truncateds,
            "new_obs": rng.integers(256, size=(*shape, 2, 3), dtype=np.uint8),
            "valid": valid,
            "step": step,
        }

    return build
