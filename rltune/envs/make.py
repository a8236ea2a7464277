"""From what a user names (an id, a class, a registered name) to one running environment."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium

from rltune import registry
from rltune.config import nearest
from rltune.envs.atari import Frames, wrap_deepmind
from rltune.envs.errors import EnvError
from rltune.envs.legacy import LegacyGymEnv, has_foreign_spaces, quacks_like_env

# Their -v1 to -v3 need mujoco-py: Gymnasium registers them but cannot make them.
_MUJOCO = frozenset(
    "Ant HalfCheetah Hopper Humanoid HumanoidStandup InvertedDoublePendulum InvertedPendulum "
    "Pusher Reacher Swimmer Walker2d".split()
)
_FIRST_MUJOCO_VERSION = 4
_ATARI = re.compile(r"^ALE/|NoFrameskip-v\d+$|Deterministic-v\d+$")


class EnvContext(dict[str, Any]):
    """The env_config that a creator receives, with the place of the environment as attributes.

    Attributes:
        worker_index: 0 for the driver's rollout worker, else 1, 2, ...
        vector_index: index of the environment within its worker.
    """

    def __init__(
        self, config: Mapping[str, Any], worker_index: int = 0, vector_index: int = 0
    ) -> None:
        super().__init__(config)
        self.worker_index = worker_index
        self.vector_index = vector_index


@dataclass(frozen=True)
class EnvSpec:
    """How to make an environment: `gym_id` with `config` as keywords, or `creator(EnvContext)`.

    `frames`: how the observations of an Atari game are prepared.
    """

    name: str
    config: Mapping[str, Any]
    gym_id: str | None = None
    creator: Callable[..., Any] | None = None
    frames: Frames | None = None


def resolve_env(
    env: str | Callable[..., Any],
    env_config: Mapping[str, Any] | None,
    frames: Frames | None = None,
) -> EnvSpec:
    """Finds an environment without making it.

    Args:
        env: a name given to `register_env` (wins), a Gymnasium id, a class, or "module:ClassName"
            ("module:Id" imports the module, which must register the id with Gymnasium).
        env_config: keywords of the environment for Gymnasium ids; else handed over as one dict.
        frames: how observations are prepared if it is an Atari game.

    Raises:
        EnvError: nothing is known by that name; the message names the nearest.
    """
    config = dict(env_config or {})
    if callable(env):
        return EnvSpec(getattr(env, "__name__", repr(env)), config, creator=env)
    if not isinstance(env, str):
        raise EnvError(f"env: expected an id, a class or a registered name, got {env!r}")
    creator = registry.get_env_creator(env)
    if creator is not None:
        return EnvSpec(env, config, creator=creator)
    if ":" in env:
        return _resolve_in_module(env, config)
    if env not in gymnasium.registry and _ATARI.search(env):
        _register_atari(env)
    _check_registered(env)
    return EnvSpec(env, config, gym_id=env, frames=frames if _ATARI.search(env) else None)


def check_env_id(env: str | Callable[..., Any]) -> None:
    """Raises EnvError if `env` names nothing; makes nothing and calls no registered creator."""
    resolve_env(env, None)


def make_env(
    spec: EnvSpec, worker_index: int = 0, vector_index: int = 0
) -> gymnasium.Env[Any, Any]:
    """Makes one environment, with its time limit and without Gymnasium's per-step checks.

    Raises:
        EnvError: what was made is no environment. Errors of the environment itself pass unchanged.
    """
    if spec.gym_id is not None:
        keywords = {"disable_env_checker": True, **spec.config}
        env: gymnasium.Env[Any, Any] = gymnasium.make(unchecked_spec(spec.gym_id), **keywords)
        if spec.frames is None:
            return env
        return wrap_deepmind(env, spec.frames, skips="NoFrameskip" not in spec.gym_id)
    context = EnvContext(spec.config, worker_index, vector_index)
    env = _call_creator(spec.creator, context)
    if isinstance(env, gymnasium.Env) and not has_foreign_spaces(env):
        return env
    if quacks_like_env(env):
        return LegacyGymEnv(env)
    raise EnvError(
        f"env {spec.name}: its creator returned {type(env).__name__}, not a gymnasium.Env (nor an "
        "object with reset, step, observation_space and action_space)"
    )


def unchecked_spec(gym_id: str) -> gymnasium.envs.registration.EnvSpec:
    """A copy of Gymnasium's spec of `gym_id` without OrderEnforcing.

    Handing Gymnasium a spec instead of an id also avoids its warning about superseded versions.
    """
    spec = copy.deepcopy(gymnasium.registry[gym_id])
    spec.order_enforce = False
    return spec


def _call_creator(creator: Callable[..., Any] | None, context: EnvContext) -> Any:
    """Calls with the context; with nothing or keywords if that is what the signature asks for."""
    assert creator is not None
    try:
        parameters = list(inspect.signature(creator).parameters.values())
    except ValueError:  # some built-in callables have no signature
        return creator(context)
    if not parameters:
        return creator()
    first = parameters[0]
    wants_keywords = first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD)
    optional = first.kind is first.POSITIONAL_OR_KEYWORD and first.default is not first.empty
    # `__init__(self, config=None)` takes the dict, `__init__(self, size=5)` takes its entries.
    if wants_keywords or (optional and not re.search("conf|cfg|context|ctx", first.name)):
        return creator(**context)
    return creator(context)


def _resolve_in_module(env: str, config: dict[str, Any]) -> EnvSpec:
    module_name, name = env.split(":", 1)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module was found, something that it imports was not
        raise EnvError(f"env {env!r}: there is no module {error.name!r}") from error
    if callable(getattr(module, name, None)):
        return EnvSpec(env, config, creator=getattr(module, name))
    if name in gymnasium.registry:
        return EnvSpec(env, config, gym_id=name)
    hint = _hint(name, [*vars(module), *gymnasium.registry])
    raise EnvError(f"env {env!r}: module {module_name!r} has no {name!r}{hint}")


def _register_atari(env: str) -> None:
    if importlib.util.find_spec("ale_py") is None:
        raise EnvError(f"env {env!r} needs Atari: pip install 'gymnasium[atari]'")
    gymnasium.register_envs(importlib.import_module("ale_py"))


def _check_registered(env: str) -> None:
    base, _, version = env.rpartition("-v")
    unmakeable = base in _MUJOCO and version.isdigit() and int(version) < _FIRST_MUJOCO_VERSION
    if env in gymnasium.registry and not unmakeable:
        return
    versions = [
        spec.version
        for spec in gymnasium.registry.values()
        if spec.id == f"{base}-v{spec.version}" and spec.version is not None
    ]
    if version.isdigit() and versions and int(version) < max(versions):
        raise EnvError(
            f"env {env!r} is not part of Gymnasium {gymnasium.__version__}: "
            f"use {base}-v{max(versions)} (its rewards may differ)"
        )
    raise EnvError(
        f"unknown env {env!r}{_hint(env, gymnasium.registry)}. Register your own with "
        "rltune.registry.register_env, or give 'module:ClassName'"
    )


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""
