import importlib.util
import sys
import warnings

import gymnasium
import pytest
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from rltune import registry
from rltune.envs.errors import EnvError
from rltune.envs.make import EnvContext, check_env_id, make_env, resolve_env
from tests.envs.toy import IdentityEnv, TruncatedEnv


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_values", dict(registry._values))
    return registry.register_env


def _layers(env):
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    return [type(layer) for layer in layers]


def test_gymnasium_env_keeps_its_time_limit_and_loses_the_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_env(resolve_env("CartPole-v0", None))
    layers = _layers(env)
    assert TimeLimit in layers and env._max_episode_steps == 200
    assert OrderEnforcing not in layers and PassiveEnvChecker not in layers
    assert gymnasium.registry["CartPole-v0"].order_enforce, "Gymnasium's own entry is untouched"


def test_env_config_is_keywords_for_a_gymnasium_id():
    env = make_env(resolve_env("CartPole-v1", {"sutton_barto_reward": True}))
    env.reset(seed=0)
    assert env.step(0)[1] == 0.0


def test_registered_name_wins_and_is_called_only_to_make(registered):
    calls = []

    def creator(config):
        calls.append(config)
        return IdentityEnv(config)

    registered("CartPole-v1", creator)
    check_env_id("CartPole-v1")
    spec = resolve_env("CartPole-v1", {"n": 7})
    assert calls == []
    env = make_env(spec, worker_index=2, vector_index=3)
    assert env.action_space.n == 7
    assert (calls[0].worker_index, calls[0].vector_index) == (2, 3)
    assert isinstance(calls[0], EnvContext) and calls[0] == {"n": 7}


class Plain(TruncatedEnv):
    def __init__(self):
        super().__init__()


class Keywords(TruncatedEnv):
    def __init__(self, length=3, terminate=False):
        super().__init__({"length": length, "terminate": terminate})


@pytest.mark.parametrize(
    ("env", "config", "length"),
    [
        (TruncatedEnv, {"length": 8}, 8),
        (Plain, {}, 5),
        (Keywords, {"length": 4}, 4),
        ("tests.envs.toy:TruncatedEnv", {"length": 6}, 6),
        (lambda env_config: TruncatedEnv(env_config), {"length": 9}, 9),
    ],
)
def test_classes_get_their_config_the_way_they_take_it(env, config, length):
    assert make_env(resolve_env(env, config)).length == length


def test_module_that_registers_an_id(tmp_path, monkeypatch):
    (tmp_path / "brings_env.py").write_text(
        "import gymnasium\ngymnasium.register('Brought-v0', 'tests.envs.toy:IdentityEnv')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        env = make_env(resolve_env("brings_env:Brought-v0", None))
        assert isinstance(env.unwrapped, IdentityEnv)
    finally:
        gymnasium.registry.pop("Brought-v0", None)
        sys.modules.pop("brings_env", None)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("CartPol-v1", ["CartPol-v1", "CartPole-v1", "register_env"]),
        ("Pendulum-v0", ["use Pendulum-v1"]),
        ("LunarLander-v2", ["use LunarLander-v3"]),
        ("HalfCheetah-v2", ["use HalfCheetah-v5"]),
        ("Humanoid-v1", ["use Humanoid-v5"]),
        ("no_such_module:Env", ["no_such_module"]),
        ("tests.envs.toy:IdentityEnvv", ["tests.envs.toy", "'IdentityEnv'"]),
        (5, ["5"]),
    ],
)
def test_unknown_env_says_what_to_do(env, words):
    with pytest.raises(EnvError) as caught:
        check_env_id(env)
    assert all(word in str(caught.value) for word in words), caught.value


def test_atari_without_its_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for env in ("ALE/Pong-v5", "PongNoFrameskip-v4"):
        with pytest.raises(EnvError, match=r"gymnasium\[atari\]"):
            check_env_id(env)


def test_import_error_inside_the_users_module_passes(tmp_path, monkeypatch):
    (tmp_path / "broken_env.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_dependency"):
        resolve_env("broken_env:Env", None)


def test_creator_that_makes_no_env(registered):
    registered("number", lambda config: 5)
    with pytest.raises(EnvError, match="number.*int"):
        make_env(resolve_env("number", None))
