import json

import numpy as np
import pytest

from rltune.envs import action_tape
from rltune.envs.action_tape import ActionTape
from rltune.envs.vector_env import SeedStream


def test_each_running_episode_is_kept_across_growth_and_compaction():
    tape = ActionTape(3, (2,), np.dtype(np.float32))
    kept: list[list] = [[], [], []]
    for t in range(2000):
        if t % 7 == 0:
            tape.start_episode(0)
            kept[0] = []
        if t == 1000:
            tape.start_episode(1)
            kept[1] = []
        actions = np.arange(6, dtype=np.float32).reshape(3, 2) + t
        tape.append(actions)
        for episode, action in zip(kept, actions, strict=True):
            episode.append(action)
    for index, episode in enumerate(kept):
        np.testing.assert_array_equal(tape.episode(index), episode)
        assert tape.steps(index) == len(episode)


def test_memory_stays_small_while_episodes_end():
    tape = ActionTape(2, (), np.dtype(np.int64))
    for t in range(5000):
        if t % 100 == 0:
            tape.start_episode(t // 100 % 2)
        tape.append(np.array([t, t]))
    assert len(tape._actions) <= 512


def test_too_long_an_episode_is_dropped_and_the_next_is_kept(monkeypatch):
    monkeypatch.setattr(action_tape, "MAX_STEPS", 300)
    tape = ActionTape(1, (), np.dtype(np.int64))
    for t in range(1500):
        tape.append(np.array([t]))
    assert tape.episode(0) is None and tape.steps(0) == 1500
    tape.start_episode(0)
    tape.append(np.array([9]))
    np.testing.assert_array_equal(tape.episode(0), [9])


def test_set_episodes_goes_on_where_they_were():
    tape = ActionTape(3, (), np.dtype(np.int64))
    tape.set_episodes([np.array([1, 2]), None, np.array([3, 4, 5])])
    tape.append(np.array([6, 7, 8]))
    assert [tape.episode(i).tolist() for i in range(3)] == [[1, 2, 6], [7], [3, 4, 5, 8]]


@pytest.mark.parametrize("position", [0, 31, 32, 200])
def test_a_seed_stream_goes_on_from_its_state_alone(position):
    stream = SeedStream(np.random.SeedSequence(3, spawn_key=(1, 2)))
    seeds = [stream.next() for _ in range(300)]
    assert len(set(seeds)) == 300 and max(seeds) < 2**31
    again = SeedStream(np.random.SeedSequence(3, spawn_key=(1, 2)))
    assert [again.next() for _ in range(position)] == seeds[:position]
    other = SeedStream(np.random.SeedSequence(99))
    other.set_state(json.loads(json.dumps(again.get_state())))
    assert [other.next() for _ in range(5)] == seeds[position : position + 5]
