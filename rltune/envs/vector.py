"""Chooses how N environments of one kind are stepped."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from rltune.envs.copies import CopiesVectorEnv
from rltune.envs.make import EnvSpec, make_env, unchecked_spec
from rltune.envs.native import GymnasiumVectorEnv, RowResetVectorEnv
from rltune.envs.vector_env import Step, VectorEnv

__all__ = ["Step", "VectorEnv", "make_vector_env"]

# From so many environments on, an environment's own vector implementation beats copies. CartPole-v1
# on one core of a 2-core server, us per step of all: 2: 14 copies, 29 own; 4: 25, 30; 5: 30, 30;
# 6: 36, 30; 8: 47, 32; 64: 339, 60 (0.19 and 1.07 million steps/s).
NATIVE_FROM = 5


def make_vector_env(
    spec: EnvSpec, num_envs: int, seeds: list[np.random.SeedSequence], worker_index: int = 0
) -> VectorEnv:
    """Makes `num_envs` environments that step together.

    Args:
        spec: what `resolve_env` returned.
        num_envs: N, at least 1.
        seeds: one SeedSequence per environment, from which all its episodes are seeded.
        worker_index: for the `EnvContext` of the creators.

    Raises:
        EnvError: what was made is no environment. Errors of the environment itself pass unchanged.
    """
    if len(seeds) != num_envs:
        raise ValueError(f"{num_envs} environments need as many seeds, got {len(seeds)}")
    envs = [make_env(spec, worker_index, 0)]
    native = _make_native(spec, num_envs, envs[0], seeds) if num_envs >= NATIVE_FROM else None
    if native is not None:
        envs[0].close()
        return native
    envs += [make_env(spec, worker_index, index) for index in range(1, num_envs)]
    return CopiesVectorEnv(envs, seeds)


def _make_native(
    spec: EnvSpec, num_envs: int, single: Any, seeds: list[np.random.SeedSequence]
) -> VectorEnv | None:
    """The environment's own vector implementation, or None if it has none that equals `single`."""
    if spec.gym_id is None:
        return None
    gym_spec = unchecked_spec(spec.gym_id)
    if gym_spec.vector_entry_point is None or gym_spec.additional_wrappers:
        return None

    def make(count: int) -> gymnasium.vector.VectorEnv:
        mode = gymnasium.VectorizeMode.VECTOR_ENTRY_POINT
        return gymnasium.make_vec(gym_spec, count, vectorization_mode=mode, **spec.config)

    try:
        env = make(num_envs)
    except TypeError:  # a keyword that only the single environment knows
        return None
    mine = (single.observation_space, single.action_space)
    if (env.single_observation_space, env.single_action_space) != mine:
        env.close()  # such as Atari's, which also preprocesses
        return None
    env.reset(seed=0)
    if RowResetVectorEnv.fits(env):
        return RowResetVectorEnv(env, make(1), seeds)
    return GymnasiumVectorEnv(env, seeds[0])
