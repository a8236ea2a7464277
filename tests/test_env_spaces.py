"""Spaces known before a trial starts: each environment is made once."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

from agents.ppo import PPO
from rltune import env_spaces as module
from rltune import registry
from rltune.config import ConfigError
from rltune.env_spaces import env_spaces
from tests.envs.toy import IdentityBoxEnv, IdentityEnv


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of environments as they are made."""
    names: list[str] = []
    make_env = module.make_env

    def counted(spec: Any) -> Any:
        names.append(spec.name)
        return make_env(spec)

    monkeypatch.setattr(module, "make_env", counted)
    monkeypatch.setattr(module, "_known", {})
    return names


def test_a_grid_makes_each_environment_once(made: list[str]) -> None:
    for lr in (0.1, 0.2, 0.3):
        for steps in (10, 20):
            config = {"env": "CartPole-v1", "env_config": {"max_episode_steps": steps}, "lr": lr}
            PPO.validate_config(config)
    assert made == ["CartPole-v1"] * 2


def test_an_id_that_is_registered_anew_is_made_anew(made: list[str]) -> None:
    try:
        for entry_point, kind in ((IdentityEnv, "Discrete"), (IdentityBoxEnv, "Box")):
            gymnasium.register("Changing-v0", entry_point=entry_point)
            spaces = env_spaces("Changing-v0", {})
            assert isinstance(spaces, tuple)
            assert type(spaces[1]).__name__ == kind
            gymnasium.registry.pop("Changing-v0")
    finally:
        gymnasium.registry.pop("Changing-v0", None)
    assert len(made) == 2


def test_a_config_that_cannot_be_compared_is_not_remembered(made: list[str]) -> None:
    try:
        gymnasium.register("Odd-v0", entry_point=lambda callback=None: IdentityEnv())
        for _ in range(2):
            assert isinstance(env_spaces("Odd-v0", {"callback": lambda: None}), tuple)
    finally:
        gymnasium.registry.pop("Odd-v0", None)
    assert len(made) == 2


def test_problems_are_not_remembered(made: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError, match="nonsense"):
            PPO.validate_config({"env": "CartPole-v1", "env_config": {"nonsense": 1}})
    assert len(made) == 2


def test_registered_creators_are_left_to_the_trial(made: list[str]) -> None:
    registry.register_env("theirs", lambda config: IdentityEnv())
    assert env_spaces("theirs", {}) is None
    assert not made
