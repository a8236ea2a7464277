"""The spaces of an environment that a config names, found out before anything starts."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium

from rltune.envs.atari import Frames
from rltune.envs.errors import EnvError
from rltune.envs.make import EnvSpec, make_env, resolve_env

Spaces = tuple[Any, Any]

_known: dict[tuple[str, bytes, Frames | None], tuple[Any, Spaces]] = {}
"""By id and config: Gymnasium's spec of then, and the spaces. A grid of trials makes each environment once."""


def env_spaces(
    env: Any, env_config: dict[str, Any], frames: Frames | None = None
) -> Spaces | str | None:
    """(observation space, action space), or what is wrong with the environment.

    None for one that a registered creator makes: creators run nowhere but in their trial.
    """
    try:
        spec = resolve_env(env, env_config, frames)
        return None if spec.gym_id is None else _spaces_of(spec, spec.gym_id)
    except EnvError as error:
        return str(error)
    except (TypeError, gymnasium.error.Error) as error:
        return f"env {env!r}: {error}"


def _spaces_of(spec: EnvSpec, gym_id: str) -> Spaces:
    registered = gymnasium.registry[gym_id]
    try:
        key = gym_id, pickle.dumps(spec.config), spec.frames
    except Exception:  # what pickle raises is up to the values; such a config is not remembered
        return _made(spec)
    former, spaces = _known.get(key, (None, None))
    if former is not registered or spaces is None:
        spaces = _made(spec)
        _known[key] = registered, spaces
    return spaces


def _made(spec: EnvSpec) -> Spaces:
    instance = make_env(spec)
    instance.close()
    return instance.observation_space, instance.action_space
