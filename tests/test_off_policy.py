"""When the off-policy loop trains, and when its target moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.dqn import DQN
from tests.conformance import small_config


def make(**config: Any) -> DQN:
    return DQN(small_config(DQN, learning_starts=0, **config))


def test_beta_anneals_over_its_fraction_of_the_schedule() -> None:
    algorithm = make(
        prioritized_replay_beta=0.4,
        final_prioritized_replay_beta=1.0,
        beta_annealing_fraction=0.5,
        schedule_max_timesteps=1000,
    )
    betas = []
    for steps in (0, 250, 500, 900):
        algorithm.num_steps_sampled = steps
        betas.append(algorithm._beta())
    assert betas == pytest.approx([0.4, 0.7, 1.0, 1.0])


def test_a_remainder_of_rows_is_kept() -> None:
    algorithm = make(training_intensity=10, train_batch_size=32)
    # 4 steps x 10 = 40 rows: one minibatch and 8 rows over, each time; after four, one more.
    assert [algorithm._updates_due(4) for _ in range(5)] == [1, 1, 1, 2, 1]


def test_updates_of_the_target_keep_their_distance() -> None:
    algorithm = make(target_network_update_freq=10, timesteps_per_iteration=4)
    updates = []
    for _ in range(8):
        algorithm.train()
        updates.append(algorithm.num_target_updates)
    # Fragments of 4 steps: due at the first multiple of 4 that is 10 or more after the last.
    assert updates == [0, 0, 1, 1, 1, 2, 2, 2]


def test_between_updates_the_target_stands_still_and_then_is_the_newest() -> None:
    algorithm = make(target_network_update_freq=10, timesteps_per_iteration=4, lr=0.01)
    first = algorithm.learner.get_state()["target"]
    for _ in range(2):
        algorithm.train()
    state = algorithm.learner.get_state()
    for name, value in state["target"].items():
        np.testing.assert_array_equal(value, first[name])
    algorithm.train()
    state = algorithm.learner.get_state()
    for name, value in state["target"].items():
        np.testing.assert_array_equal(value, state["theta"][name])


def test_priorities_follow_the_errors() -> None:
    algorithm = make(timesteps_per_iteration=200, lr=0.0)
    algorithm.train()
    priorities = algorithm.replay.get_state()[0]["priorities"]
    assert len(np.unique(priorities)) > 50


def test_statistics_of_an_iteration_are_those_of_its_last_update() -> None:
    """With a low intensity most fragments come without an update."""
    algorithm = make(training_intensity=4, train_batch_size=32, timesteps_per_iteration=20)
    for _ in range(3):
        assert "mean_q" in algorithm.train()["info"]["learner"]


def test_rows_per_fragment_count_all_environments() -> None:
    algorithm = make(num_envs_per_worker=3, rollout_fragment_length=2, timesteps_per_iteration=1)
    result = algorithm.train()
    assert result["timesteps_this_iter"] == 6 == len(algorithm.replay)
