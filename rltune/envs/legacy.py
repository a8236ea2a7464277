"""Environments written for gym before 0.26, or for no library at all, as Gymnasium environments."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rltune.envs.errors import EnvError


def quacks_like_env(env: Any) -> bool:
    """Whether `env` has what an environment has, whatever its class."""
    methods = all(callable(getattr(env, name, None)) for name in ("reset", "step"))
    return methods and hasattr(env, "observation_space") and hasattr(env, "action_space")


def has_foreign_spaces(env: Any) -> bool:
    """Whether one of the spaces of `env` is not Gymnasium's."""
    names = ("observation_space", "action_space")
    return not all(isinstance(getattr(env, name, None), spaces.Space) for name in names)


class LegacyGymEnv(gymnasium.Env[Any, Any]):
    """Adapts `reset() -> obs`, `step() -> (obs, reward, done, info)` and `seed(n)`.

    Environments that already return Gymnasium's tuples, but do not derive from gymnasium.Env or
    have legacy spaces, work too. A done with `info["TimeLimit.truncated"]` is a truncation.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.observation_space = convert_space(env.observation_space)
        self.action_space = convert_space(env.action_space)
        self.metadata = getattr(env, "metadata", None) or {}
        self._seed_in_reset = "seed" in inspect.signature(env.reset).parameters

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Seeds through `reset(seed=)` or `seed(n)`, whichever the environment has."""
        keywords = {}
        if seed is not None and self._seed_in_reset:
            keywords["seed"] = seed
        elif seed is not None and callable(getattr(self.env, "seed", None)):
            self.env.seed(seed)
        result: Any = self.env.reset(**keywords)
        is_pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)
        if is_pair and not isinstance(self.observation_space, spaces.Tuple):
            return result[0], result[1]
        return result, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; four-tuples become Gymnasium's five-tuples."""
        result = self.env.step(action)
        if len(result) == 5:
            obs, reward, terminated, truncated, info = result
            return obs, reward, terminated, truncated, info
        obs, reward, done, info = result
        truncated = bool(done) and bool(info.get("TimeLimit.truncated", False))
        return obs, reward, bool(done) and not truncated, truncated, info

    def render(self) -> Any:
        """Whatever the environment's own render returns."""
        return self.env.render()

    def close(self) -> None:
        """Closes the environment if it can be closed."""
        if callable(getattr(self.env, "close", None)):
            self.env.close()


def convert_space(space: Any) -> spaces.Space[Any]:
    """The Gymnasium space that equals a legacy gym space, recognised by the name of its class.

    Raises:
        EnvError: a kind of space that has no equal here.
    """
    if isinstance(space, spaces.Space):
        return space
    names = {cls.__name__ for cls in type(space).__mro__}
    if "Box" in names:
        return spaces.Box(space.low, space.high, space.shape, space.dtype)
    if "Discrete" in names:
        return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
    if "MultiBinary" in names:
        return spaces.MultiBinary(space.n)
    if "MultiDiscrete" in names:
        return spaces.MultiDiscrete(np.asarray(space.nvec))
    if "Dict" in names:
        return spaces.Dict({key: convert_space(child) for key, child in space.spaces.items()})
    if "Tuple" in names:
        return spaces.Tuple([convert_space(child) for child in space.spaces])
    raise EnvError(
        f"cannot convert space {space!r}: make it a gymnasium.spaces one in the environment"
    )
