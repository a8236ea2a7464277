"""Atari as Mnih et al. 2015 (https://doi.org/10.1038/nature14236, Methods) prepared it for deep Q-learning."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rltune.algorithm_config import AlgorithmConfig, ModelConfig

Wrapper = gymnasium.Wrapper[Any, Any, Any, Any]
GOES_ON = "game_goes_on"
"""In the info of a step that ends an episode: only a life was lost, and the next reset goes on with the same game."""
NOOP, FIRE = 0, 1
MOST_NOOPS, SKIP, STACK = 30, 4, 4
GRAY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Frames:
    """What observations are made of: gray pictures of dim x dim pixels, the last four of them where `stack`."""

    dim: int
    stack: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Frames | None:
        """As the keys of an algorithm's config say; None: frames as they are."""
        if config.get("preprocessor_pref", AlgorithmConfig.preprocessor_pref) is None:
            return None
        model = config.get("model", {})
        return cls(
            model.get("dim", ModelConfig.dim), model.get("framestack", ModelConfig.framestack)
        )


def wrap_deepmind(env: Any, frames: Frames, skips: bool) -> gymnasium.Env[Any, Any]:
    """RLlib's wrappers in their order. `skips`: the environment repeats actions itself."""
    env = NoopReset(env)
    if not skips:
        env = MaxAndSkip(env)
    env = EpisodicLife(env)
    if "FIRE" in env.unwrapped.get_action_meanings():
        env = FireReset(env)
    env = WarpFrame(env, frames.dim)
    return FrameStack(env) if frames.stack else env


class NoopReset(Wrapper):
    """Games begin with 1 to 30 steps that do nothing, so that they differ."""

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**keywords)
        for _ in range(self.unwrapped.np_random.integers(1, MOST_NOOPS + 1)):
            obs, _, terminated, truncated, info = self.env.step(NOOP)
            if terminated or truncated:
                obs, info = self.env.reset()
        return obs, info


class MaxAndSkip(Wrapper):
    """Each action four times; the observation is the brighter of the last two frames, since sprites flicker."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total, recent = 0.0, deque[np.ndarray](maxlen=2)
        for _ in range(SKIP):
            obs, reward, terminated, truncated, info = self.env.step(action)
            recent.append(np.array(obs))  # an environment may return one array again and again
            total += float(reward)
            if terminated or truncated:
                break
        return np.maximum(recent[0], recent[-1]), total, terminated, truncated, info


class EpisodicLife(Wrapper):
    """A lost life ends the episode, but not the game: see `GOES_ON`."""

    def __init__(self, env: Any):
        super().__init__(env)
        self._lives, self._over = 0, True

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._over = terminated or truncated
        lives = self.unwrapped.ale.lives()  # type: ignore[attr-defined]
        if 0 < lives < self._lives and not self._over:
            terminated, info = True, {**info, GOES_ON: True}
        self._lives = lives
        return obs, reward, terminated, truncated, info

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        if not self._over:
            obs, _, terminated, truncated, info = self.env.step(NOOP)
            self._over = terminated or truncated
        if self._over:
            obs, info = self.env.reset(**keywords)
            self._over = False
        self._lives = self.unwrapped.ale.lives()  # type: ignore[attr-defined]
        return obs, info


class FireReset(Wrapper):
    """Fires once at the start of an episode, for games that wait for it."""

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**keywords)
        obs, _, terminated, truncated, info = self.env.step(FIRE)
        return self.env.reset(**keywords) if terminated or truncated else (obs, info)


class WarpFrame(Wrapper):
    """Gray pictures [dim, dim, 1]: each pixel is the mean of the area below it."""

    def __init__(self, env: Any, dim: int):
        super().__init__(env)
        height, width, _ = env.observation_space.shape
        self._rows, self._columns = _shares(height, dim), _shares(width, dim).T
        self.observation_space = spaces.Box(0, 255, (dim, dim, 1), np.uint8)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, *rest = self.env.step(action)
        return self._warped(obs), *rest  # type: ignore[return-value]

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**keywords)
        return self._warped(obs), info

    def _warped(self, obs: np.ndarray) -> np.ndarray:
        small = self._rows @ (obs @ GRAY) @ self._columns
        return np.asarray(np.rint(small)[..., None], np.uint8)


def _shares(size: int, parts: int) -> np.ndarray:
    """[parts, size]: how much of each of `size` places belongs to each of `parts` equal parts; rows sum to 1."""
    edges = np.linspace(0, size, parts + 1)
    places = np.arange(size)
    inside = np.minimum(edges[1:, None], places + 1) - np.maximum(edges[:-1, None], places)
    return np.asarray(np.maximum(inside, 0) * parts / size, np.float32)


class FrameStack(Wrapper):
    """The last four pictures [dim, dim, 4], the newest last: speed can be seen."""

    def __init__(self, env: Any):
        super().__init__(env)
        self._pictures: deque[np.ndarray] = deque(maxlen=STACK)
        height, width, channels = env.observation_space.shape
        self.observation_space = spaces.Box(0, 255, (height, width, STACK * channels), np.uint8)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, *rest = self.env.step(action)
        self._pictures.append(obs)
        return np.concatenate(self._pictures, -1), *rest  # type: ignore[return-value]

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(**keywords)
        self._pictures.extend([obs] * STACK)
        return np.concatenate(self._pictures, -1), info
