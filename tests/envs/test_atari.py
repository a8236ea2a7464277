"""Atari's wrappers on a game that counts its frames, and on Pong and Breakout where ale-py is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents.dqn import DQN, DQNConfig
from rltune.env_spaces import env_spaces
from rltune.envs.atari import GOES_ON, Frames, WarpFrame
from rltune.envs.make import make_env, resolve_env
from rltune.envs.vector import make_vector_env
from rltune.seeding import seed_sequence

GAME = "CountingNoFrameskip-v4"
SKIPPING = "CountingDeterministic-v4"


class CountingGame(gymnasium.Env):
    """Frame i is filled with i, a reward of 1 each; a life of three is lost after every 40 frames."""

    def __init__(self, meanings: tuple[str, ...] = ("NOOP", "FIRE", "LEFT")) -> None:
        self.meanings = meanings
        self.observation_space = spaces.Box(0, 255, (210, 160, 3), np.uint8)
        self.action_space = spaces.Discrete(len(meanings))
        self.ale, self.actions = self, []

    def lives(self) -> int:
        return 3 - self.frame // 40

    def get_action_meanings(self) -> list[str]:
        return list(self.meanings)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
        super().reset(seed=seed)
        self.frame, self.actions = 0, []
        return self._picture(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        self.frame += 1
        self.actions.append(int(action))
        return self._picture(), 1.0, self.lives() == 0, False, {}

    def _picture(self) -> np.ndarray:
        return np.full((210, 160, 3), self.frame, np.uint8)


@pytest.fixture(autouse=True)
def games() -> Iterator[None]:
    for name in (GAME, SKIPPING):
        gymnasium.register(name, CountingGame)
    yield
    for name in (GAME, SKIPPING):
        del gymnasium.registry[name]


def game(name: str = GAME, config: Any = None, **keys: Any) -> tuple[Any, Any]:
    """The wrapped environment, and the game within."""
    env = make_env(resolve_env(name, config, Frames.of(keys)))
    return env, env.unwrapped


@pytest.mark.parametrize(
    ("keys", "shape"),
    [
        ({}, (84, 84, 4)),
        ({"model": {"dim": 42}}, (42, 42, 4)),
        ({"model": {"framestack": False}}, (84, 84, 1)),
        ({"preprocessor_pref": None}, (210, 160, 3)),
    ],
)
def test_observations(keys: dict[str, Any], shape: tuple[int, ...]) -> None:
    env, _ = game(**keys)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.shape == obs.shape == shape
    assert env.observation_space.dtype == obs.dtype == np.uint8
    assert env_spaces(GAME, {}, Frames.of(keys))[0].shape == shape  # type: ignore[index]


def test_other_environments_are_left_alone() -> None:
    env = make_env(resolve_env("CartPole-v1", {}, Frames.of({})))
    assert env.observation_space.shape == (4,)


def test_noops_then_fire() -> None:
    lengths = set()
    for seed in range(12):
        env, inner = game(SKIPPING)
        env.reset(seed=seed)
        *noops, fire = inner.actions
        assert fire == 1 and set(noops) == {0}
        lengths.add(len(noops))
        again, inner = game(SKIPPING)
        again.reset(seed=seed)
        assert len(inner.actions) == len(noops) + 1  # the seed decides
    assert len(lengths) > 5 and min(lengths) >= 1 and max(lengths) <= 30


def test_games_without_fire_are_not_fired_at() -> None:
    env, inner = game(SKIPPING, {"meanings": ("NOOP", "LEFT")})
    env.reset(seed=0)
    assert set(inner.actions) == {0}


def test_four_frames_a_step_and_four_pictures_an_observation() -> None:
    env, inner = game()
    env.reset(seed=1)
    frame = inner.frame
    obs, reward, *_ = env.step(2)
    assert inner.actions[-4:] == [2] * 4 and inner.frame == frame + 4 and reward == 4.0
    assert obs[0, 0].tolist() == [frame, frame, frame, frame + 4]
    obs, *_ = env.step(2)
    assert obs[0, 0].tolist() == [frame, frame, frame + 4, frame + 8]


def test_a_game_that_skips_itself_is_not_skipped_again() -> None:
    env, inner = game(SKIPPING)
    env.reset(seed=1)
    frame = inner.frame
    env.step(2)
    assert inner.frame == frame + 1


def play(env: Any) -> tuple[float, dict[str, Any]]:
    total, terminated = 0.0, False
    while not terminated:
        _, reward, terminated, _, info = env.step(2)
        total += reward
    return total, info


def test_a_lost_life_ends_the_episode_but_not_the_game() -> None:
    env, inner = game(SKIPPING)
    env.reset(seed=0)
    frames = []
    for _ in range(2):
        _, info = play(env)
        assert info[GOES_ON]
        frames.append(inner.frame)
        env.reset(seed=5)
        assert inner.frame == frames[-1] + 2  # goes on: a step of nothing, and one that fires
    assert frames == [40, 80]
    _, info = play(env)
    assert not info.get(GOES_ON) and inner.frame == 120
    env.reset(seed=5)
    assert inner.frame < 40


def test_a_reward_is_counted_over_the_game() -> None:
    """What trains sees three episodes; the result has one."""
    envs = make_vector_env(
        resolve_env(SKIPPING, {}, Frames.of({})), 1, [seed_sequence(0, "env", 0)]
    )
    envs.reset()
    ends = []
    while len(ends) < 3:
        step = envs.step(np.array([2]))
        if step.terminateds[0]:
            ends.append(step.goes_on is not None and bool(step.goes_on[0]))
    assert ends == [True, True, False]


def test_areas_are_averaged() -> None:
    class Picture(CountingGame):
        def _picture(self) -> np.ndarray:
            return np.arange(210 * 160 * 3, dtype=np.uint32).reshape(210, 160, 3).astype(np.uint8)

    env = WarpFrame(Picture(), 10)  # parts of 21 x 16 pixels
    obs, _ = env.reset()
    gray = env.unwrapped._picture() @ np.array([0.299, 0.587, 0.114])
    expected = gray.reshape(10, 21, 10, 16).mean((1, 3))
    assert obs.shape == (10, 10, 1) and np.ptp(obs) > 3
    np.testing.assert_allclose(obs[..., 0], expected, atol=0.51)


def test_dqn_plays_it() -> None:
    config = {
        "env": SKIPPING,
        "model": {"dim": 42, "fcnet_hiddens": []},
        "hiddens": [8],
        "learning_starts": 100,
        "train_batch_size": 4,
        "rollout_fragment_length": 50,
        "timesteps_per_iteration": 150,
        "buffer_size": 200,
        "evaluation_num_episodes": 1,
        "seed": 3,
    }
    algorithm = DQN(config)
    assert algorithm.observation_space.shape == (42, 42, 4)
    result = algorithm.train()
    # 120 frames a game, less those of its start (at most 31) and of two resets
    assert result["episodes_this_iter"] == 1
    assert 85 <= result["episode_reward_mean"] <= 116
    assert 85 <= algorithm.evaluate()["episode_reward_mean"] <= 116


def test_the_keys() -> None:
    config = DQNConfig.from_dict({"model": {"dim": 42, "framestack": False}})
    assert Frames.of(config.to_dict()) == Frames(42, False)
    assert Frames.of(DQNConfig().to_dict()) == Frames.of({}) == Frames(84, True)
    assert Frames.of(DQNConfig.from_dict({"preprocessor_pref": None}).to_dict()) is None


@pytest.mark.skipif(importlib.util.find_spec("ale_py") is None, reason="no ale-py here")
@pytest.mark.parametrize("name", ["PongNoFrameskip-v4", "BreakoutNoFrameskip-v4", "ALE/Pong-v5"])
def test_real_games(name: str) -> None:
    env, inner = game(name)
    obs, _ = env.reset(seed=0)
    assert obs.shape == (84, 84, 4)
    seen = [obs]
    for step in range(60):
        obs, _, terminated, truncated, _ = env.step(step % env.action_space.n)
        assert env.observation_space.contains(obs)
        seen.append(obs)
        if terminated or truncated:
            env.reset()
    assert any(not np.array_equal(seen[0], later) for later in seen)
    env.close()
