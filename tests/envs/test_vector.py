"""What every way of stepping N environments must do, and what each does on its own."""

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv

from rltune.envs import vector
from rltune.envs.copies import CopiesVectorEnv
from rltune.envs.errors import EnvError
from rltune.envs.make import resolve_env
from rltune.envs.native import GymnasiumVectorEnv, RowResetVectorEnv
from rltune.envs.vector import make_vector_env
from tests.envs.toy import CrashingEnv, NestedEnv, TruncatedEnv


def make(env, num_envs, first=0, config=None):
    seeds = [np.random.SeedSequence(7, spawn_key=(0, first + i)) for i in range(num_envs)]
    return make_vector_env(resolve_env(env, config), num_envs, seeds)


def actions_for(env, steps, num_envs, seed=0):
    """Actions [steps, num_envs, ...] of which each column is the same for any grouping."""
    space = env.single_action_space
    rng = np.random.default_rng(seed)
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(0, space.n, (steps, num_envs))
    return rng.uniform(-1, 1, (steps, num_envs, *space.shape)).astype(space.dtype)


def rollout(env, actions):
    """All that a rollout shows, time-major; keeps the very arrays that `step` returned."""
    return [env.step(action) for action in actions]


def columns(steps):
    names = ("obs", "rewards", "terminateds", "truncateds", "final_obs", "valid")
    return {name: np.stack([getattr(step, name) for step in steps]) for name in names}


def assert_equal(first, second):
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name], err_msg=name)


@pytest.mark.parametrize("env_id", ["CartPole-v0", "Pendulum-v1"])
def test_results_do_not_depend_on_the_grouping(env_id):
    whole = make(env_id, 4)
    actions = actions_for(whole, 60, 4)
    first_obs = whole.reset()
    together = columns(rollout(whole, actions))
    halves = [make(env_id, 2, first) for first in (0, 2)]
    np.testing.assert_array_equal(first_obs, np.concatenate([half.reset() for half in halves]))
    parts = [columns(rollout(h, actions[:, 2 * i : 2 * i + 2])) for i, h in enumerate(halves)]
    assert_equal(together, {k: np.concatenate([p[k] for p in parts], 1) for k in together})


def test_own_vector_implementation_gives_what_copies_give():
    own, copies = make("CartPole-v0", 8), [make("CartPole-v0", 4, first) for first in (0, 4)]
    assert isinstance(own, RowResetVectorEnv)
    assert all(isinstance(env, CopiesVectorEnv) for env in copies)
    actions = actions_for(own, 250, 8)  # more than its limit of 200, in many episodes
    first_obs = own.reset()
    np.testing.assert_array_equal(first_obs, np.concatenate([env.reset() for env in copies]))
    together = columns(rollout(own, actions))
    assert together["terminateds"].sum() > 16
    parts = [columns(rollout(e, actions[:, 4 * i : 4 * i + 4])) for i, e in enumerate(copies)]
    assert_equal(together, {k: np.concatenate([p[k] for p in parts], 1) for k in together})


@pytest.mark.parametrize("num_envs", [2, 8])
@pytest.mark.parametrize(("env_id", "limit"), [("CartPole-v0", 200), ("CartPole-v1", 500)])
def test_cartpole_is_cut_at_the_limit_of_its_id(env_id, limit, num_envs):
    env = make(env_id, num_envs)
    obs = env.reset()
    for t in range(1, limit + 1):
        step = env.step((obs @ [0.1, 0.5, 1.0, 1.0] > 0).astype(np.int64))  # keeps the pole up
        obs = step.obs
        assert not step.terminateds.any()
        assert step.truncateds.all() == (t == limit)
    assert np.abs(step.final_obs).max() > 0.05, "the last observation, not one of a reset"
    assert np.abs(step.obs).max() <= 0.05


@pytest.mark.parametrize("terminate", [False, True])
def test_final_obs_is_the_true_last_one_even_of_an_array_written_in_place(terminate):
    env = make(TruncatedEnv, 2, config={"length": 3, "terminate": terminate})
    np.testing.assert_array_equal(env.reset(), [[0], [0]])
    steps = rollout(env, np.zeros((4, 2), np.int64))
    observed = columns(steps)
    thirds = np.array([1 / 3, 2 / 3, 1, 1 / 3], np.float32)
    np.testing.assert_array_equal(observed["final_obs"][:, 0, 0], thirds)
    np.testing.assert_array_equal(observed["obs"][:, 1, 0], thirds * [1, 1, 0, 1])
    ends = np.array([False, False, True, False])
    np.testing.assert_array_equal(observed["terminateds"][:, 0], ends & terminate)
    np.testing.assert_array_equal(observed["truncateds"][:, 0], ends & (not terminate))
    assert observed["rewards"].dtype == np.float32 and observed["valid"].all()
    assert steps[0].final_obs is steps[0].obs


@pytest.mark.parametrize("num_envs", [3, 8])
def test_returned_arrays_are_never_written_again(num_envs):
    env = make("CartPole-v1", num_envs)
    env.reset()
    actions = actions_for(env, 60, num_envs)
    steps, seen = [], []
    for action in actions:
        steps.append(env.step(action))
        seen.append([np.array(array) for array in steps[-1]])
    for step, copies in zip(steps, seen, strict=True):
        for array, copy in zip(step, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("env", "num_envs"),
    [("CartPole-v0", 3), ("CartPole-v0", 8), ("Pendulum-v1", 2), (TruncatedEnv, 2)],
)
def test_state_round_trip_is_exact(env, num_envs):
    original = make(env, num_envs)
    actions = actions_for(original, 400, num_envs)
    original.reset()
    rollout(original, actions[:230])
    state = original.get_state()
    expected = columns(rollout(original, actions[230:]))
    restored = make(env, num_envs)
    restored.reset()
    rollout(restored, actions[:5])
    assert restored.set_state(state) is True
    assert restored.restored.all()
    np.testing.assert_equal(restored.get_state(), state)
    assert_equal(expected, columns(rollout(restored, actions[230:])))


def test_nested_observations_and_their_state():
    env = make(NestedEnv, 2)
    obs = env.reset()
    assert obs["x"].shape == (2, 2, 2) and obs["pair"][0].shape == (2,)
    actions = actions_for(env, 60, 2)
    ended = [step for step in rollout(env, actions[:30]) if step.terminateds.any()]
    assert ended and not np.array_equal(ended[0].final_obs["x"], ended[0].obs["x"])
    state = env.get_state()
    expected = rollout(env, actions[30:])
    other = make(NestedEnv, 2)
    assert other.set_state(state)
    for mine, theirs in zip(rollout(other, actions[30:]), expected, strict=True):
        np.testing.assert_array_equal(mine.obs["x"], theirs.obs["x"])
        np.testing.assert_array_equal(mine.obs["pair"][0], theirs.obs["pair"][0])


class UnseededEnv(TruncatedEnv):
    """Row 0 of a vector is deterministic, the others observe something else after each reset."""

    resets = 0

    def __init__(self, env_config):
        super().__init__({"length": 10})
        self.noisy = env_config.vector_index > 0

    def step(self, action):
        obs, *rest = super().step(action)
        return obs + UnseededEnv.resets * self.noisy, *rest

    def reset(self, *, seed=None, options=None):
        UnseededEnv.resets += 1
        return super().reset(seed=seed)


def test_an_episode_that_cannot_be_replayed_starts_afresh():
    env = make(UnseededEnv, 2)
    env.reset()
    rollout(env, np.zeros((14, 2), np.int64))
    state = env.get_state()
    assert make(UnseededEnv, 2).set_state(state) is False
    other = make(UnseededEnv, 2)
    other.set_state(state)
    np.testing.assert_array_equal(other.restored, [True, False])
    np.testing.assert_array_equal(other.obs, np.array([[0.4], [0]], np.float32))
    truncateds = columns(rollout(other, np.zeros((10, 2), np.int64)))["truncateds"]
    assert truncateds.argmax(0).tolist() == [5, 9]


@pytest.mark.parametrize(("saved", "now"), [(2, 3), (8, 4), (4, 8)])
def test_state_of_another_size_starts_afresh(saved, now):
    env = make("CartPole-v1", saved)
    env.reset()
    other = make("CartPole-v1", now)
    assert other.set_state(env.get_state()) is False
    assert other.obs.shape == (now, 4) and not other.restored.any()


def test_what_an_environment_raises_keeps_its_traceback_and_says_where():
    env = make(CrashingEnv, 2, config={"crash_at": 3})
    env.reset()
    with pytest.raises(RuntimeError, match="the simulator fell over") as caught:
        rollout(env, np.zeros((3, 2), np.int64))
    assert caught.traceback[-1].path.name == "toy.py"
    if hasattr(caught.value, "__notes__"):
        seed = env.get_state()["episode_seeds"][0]
        assert caught.value.__notes__ == [
            f"in environment 0 of 2, episode seed {seed}, step 3 of the episode"
        ]


class WrongShape(TruncatedEnv):
    def reset(self, *, seed=None, options=None):
        return np.zeros((), np.float32), {}


def test_an_observation_of_another_shape_is_an_error():
    with pytest.raises(EnvError, match=r"\(\).*\(1,\)"):
        make(WrongShape, 1).reset()


def test_as_many_seeds_as_environments():
    with pytest.raises(ValueError, match="3"):
        make_vector_env(resolve_env(TruncatedEnv, {}), 3, [np.random.SeedSequence(0)])


def test_keyword_of_the_single_environment_only_means_copies(monkeypatch):
    def refuse(num_envs, **keywords):
        raise TypeError("unexpected keyword")

    monkeypatch.setattr(gymnasium.registry["CartPole-v1"], "vector_entry_point", refuse)
    assert isinstance(make("CartPole-v1", vector.NATIVE_FROM), CopiesVectorEnv)


def test_vector_implementation_with_other_spaces_is_not_used(monkeypatch):
    def other(num_envs, max_episode_steps):
        env = CartPoleVectorEnv(num_envs, max_episode_steps)
        env.single_observation_space = gymnasium.spaces.Box(0, 255, (84, 84), np.uint8)
        return env

    monkeypatch.setattr(gymnasium.registry["CartPole-v1"], "vector_entry_point", other)
    assert isinstance(make("CartPole-v1", vector.NATIVE_FROM), CopiesVectorEnv)


class TestGymnasiumVectorEnv:
    """The wrapper of other vector implementations, with CartPole's and Gymnasium's own."""

    def test_next_step_autoreset_rows_are_not_valid(self):
        raw = CartPoleVectorEnv(8, max_episode_steps=20)
        env = GymnasiumVectorEnv(raw, np.random.SeedSequence(0))
        env.reset()
        seen = columns(rollout(env, np.ones((40, 8), np.int64)))
        ends = seen["terminateds"] | seen["truncateds"]
        np.testing.assert_array_equal(seen["valid"][1:], ~ends[:-1])
        assert ends.sum() > 8 and seen["valid"][0].all()
        assert (np.abs(seen["final_obs"][ends]).max(1) > 0.1).all()
        after = seen["obs"][~seen["valid"]]
        assert np.abs(after).max() <= 0.05 and (seen["rewards"][~seen["valid"]] == 0).all()

    @pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
    def test_other_autoreset_modes_waste_no_row(self, mode):
        def one():
            env = TruncatedEnv({"length": 3})
            return gymnasium.wrappers.TransformObservation(env, np.copy, env.observation_space)

        mode = gymnasium.vector.AutoresetMode(mode)
        raw = gymnasium.vector.SyncVectorEnv([one] * 2, autoreset_mode=mode)
        env = GymnasiumVectorEnv(raw, np.random.SeedSequence(0))
        np.testing.assert_array_equal(env.reset(), [[0], [0]])
        seen = columns(rollout(env, np.zeros((4, 2), np.int64)))
        thirds = np.array([1 / 3, 2 / 3, 1, 1 / 3], np.float32)
        np.testing.assert_array_equal(seen["final_obs"][:, 0, 0], thirds)
        np.testing.assert_array_equal(seen["obs"][:, 0, 0], thirds * [1, 1, 0, 1])
        assert seen["valid"].all()

    def test_a_restored_one_begins_new_episodes(self):
        def new():
            return GymnasiumVectorEnv(CartPoleVectorEnv(3), np.random.SeedSequence(0))

        env, other = new(), new()
        first = env.reset()
        assert other.set_state(env.get_state()) is False
        assert other.obs.shape == (3, 4) and not np.array_equal(other.obs, first)
