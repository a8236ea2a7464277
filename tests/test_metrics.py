"""What results say of episodes and of where time went."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from rltune.metrics import EpisodeMetrics, Timers


def test_no_episode_yet_is_none_with_a_reason() -> None:
    result = EpisodeMetrics(100).pop()
    assert result == {
        "episodes_this_iter": 0,
        "episode_reward_window": 0,
        "episode_reward_mean": None,
        "episode_reward_max": None,
        "episode_reward_min": None,
        "episode_len_mean": None,
        "episode_reward_reason": "no episode has finished yet",
    }


def test_the_window_is_topped_up_with_the_last_episodes() -> None:
    metrics = EpisodeMetrics(3)
    metrics.add(np.array([1.0, 2.0]), np.array([10, 20]))
    assert metrics.pop()["episode_reward_mean"] == 1.5
    metrics.add(np.array([6.0, 7.0]), np.array([30, 40]))
    assert metrics.pop() == {
        "episodes_this_iter": 2,
        "episode_reward_window": 3,
        "episode_reward_mean": 5.0,
        "episode_reward_max": 7.0,
        "episode_reward_min": 2.0,
        "episode_len_mean": 30.0,
    }
    quiet = metrics.pop()
    assert (quiet["episodes_this_iter"], quiet["episode_reward_mean"]) == (0, 5.0)


def test_an_iteration_with_more_episodes_than_the_window_counts_them_all() -> None:
    metrics = EpisodeMetrics(2)
    metrics.add(np.array([100.0]), np.array([1]))
    metrics.pop()
    metrics.add(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1, 1, 1, 1]))
    result = metrics.pop()
    assert (result["episode_reward_mean"], result["episode_reward_window"]) == (3.0, 4)
    assert metrics.pop()["episode_reward_mean"] == 4.5  # of the last two


def test_state_goes_through_json() -> None:
    metrics, copy = EpisodeMetrics(3), EpisodeMetrics(3)
    metrics.add(np.array([1.0, 2.0]), np.array([1, 2]))
    metrics.pop()
    metrics.add(np.array([3.0]), np.array([3]))
    copy.set_state(json.loads(json.dumps(metrics.get_state())))
    for either in (metrics, copy):
        either.add(np.array([4.0]), np.array([4]))
    assert metrics.pop() == copy.pop()


def test_rewards_and_lengths_belong_together() -> None:
    with pytest.raises(ValueError):
        EpisodeMetrics(3).add(np.array([1.0]), np.array([]))


def test_sampler_perf_is_milliseconds_per_step_and_starts_again() -> None:
    timers = Timers()
    timers.start()
    timers.add_work([{"env_s": 1.0, "inference_s": 0.5, "processing_s": 0.25}], 400)
    timers.add_work([{"env_s": 1.0, "inference_s": 0.5, "processing_s": 0.25}], 100)
    assert timers.pop()[1] == {
        "mean_env_wait_ms": 4.0,
        "mean_inference_ms": 2.0,
        "mean_processing_ms": 1.0,
    }
    timers.start()
    assert set(timers.pop()[1].values()) == {0.0}


def test_perf_averages_over_workers() -> None:
    timers = Timers()
    timers.start()
    rest = {"inference_s": 0.0, "processing_s": 0.0}
    timers.add_work([{"env_s": 1.0, **rest}, {"env_s": 3.0, **rest}], 10)
    perf, sampler_perf = timers.pop()
    assert perf["env_s"] == 2.0
    assert sampler_perf["mean_env_wait_ms"] == 400.0  # a step costs this much of a worker's time


def test_perf_adds_up_to_the_time_that_passes() -> None:
    timers = Timers()
    began = time.perf_counter()
    timers.start()
    with timers.measure("update_s"):
        time.sleep(0.02)
    first, _ = timers.pop()
    time.sleep(0.02)
    timers.start()
    second, _ = timers.pop()
    passed = time.perf_counter() - began
    assert first["update_s"] >= 0.02 and first["runner_s"] == 0.0
    assert second["runner_s"] >= 0.02 and second["update_s"] == 0.0
    assert 0.04 <= sum(first.values()) + sum(second.values()) <= passed
