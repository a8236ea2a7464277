import numpy as np
import pytest
from gymnasium import spaces

from rltune.envs.errors import EnvError
from rltune.envs.legacy import LegacyGymEnv, convert_space
from rltune.envs.make import make_env, resolve_env
from tests.envs.toy import TruncatedEnv


class Discrete:
    def __init__(self, n):
        self.n = n


class Box:
    def __init__(self, low, high):
        self.low, self.high, self.shape, self.dtype = low, high, low.shape, low.dtype


class Dict:
    def __init__(self, children):
        self.spaces = children


class OldEnv:
    """As gym before 0.26 wanted it: four-tuples, a seed method, time limits in the info."""

    def __init__(self, config):
        self.observation_space = Box(np.zeros(1, np.float32), np.ones(1, np.float32))
        self.action_space = Discrete(2)
        self.limit = config["limit"]

    def seed(self, seed):
        self.seeded = seed

    def reset(self):
        self.steps = 0
        return np.zeros(1, np.float32)

    def step(self, action):
        self.steps += 1
        done = self.steps == 3 or action == 1
        info = {"TimeLimit.truncated": self.steps == 3 and action == 0} if self.limit else {}
        return np.full(1, self.steps / 3, np.float32), 2.0, done, info


def test_four_tuples_and_seed():
    env = make_env(resolve_env(OldEnv, {"limit": True}))
    assert isinstance(env, LegacyGymEnv)
    obs, info = env.reset(seed=11)
    assert obs == 0.0 and info == {} and env.env.seeded == 11
    assert env.step(0)[1:4] == (2.0, False, False)
    assert env.step(1)[2:4] == (True, False)
    assert env.step(0)[2:4] == (False, True)


def test_done_without_the_info_is_a_termination():
    env = make_env(resolve_env(OldEnv, {"limit": False}))
    env.reset()
    assert [env.step(0)[2:4] for _ in range(3)][-1] == (True, False)


class NewTuples(OldEnv):
    def reset(self, seed=None):
        self.seeded = seed
        return super().reset(), {"extra": 1}

    def step(self, action):
        obs, reward, done, info = super().step(action)
        return obs, reward, done, False, info


def test_gymnasium_tuples_without_its_base_class():
    env = make_env(resolve_env(NewTuples, {"limit": False}))
    obs, info = env.reset(seed=3)
    assert obs.shape == (1,) and info == {"extra": 1} and env.env.seeded == 3
    assert len(env.step(0)) == 5


class MixedEnv(TruncatedEnv):
    def __init__(self):
        super().__init__({})
        self.action_space = Discrete(4)


def test_gymnasium_env_with_legacy_spaces():
    env = make_env(resolve_env(MixedEnv, None))
    assert env.action_space == spaces.Discrete(4) and len(env.step(env.reset()[0])) == 5


def test_spaces_are_converted():
    box = Box(np.zeros(2, np.float32), np.ones(2, np.float32))
    converted = convert_space(Dict({"a": Discrete(3), "b": box}))
    assert converted == spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(0, 1, (2,))})


def test_space_of_another_kind_says_how():
    with pytest.raises(EnvError, match="gymnasium.spaces"):
        convert_space(object())
