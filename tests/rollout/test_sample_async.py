"""Sampling ahead: the next sample begins before the update, with the weights from before it."""

from __future__ import annotations

from typing import Any

import pytest

from agents.dqn import DQN
from agents.ppo import PPO
from rltune.algorithm import Algorithm
from rltune.config import ConfigError
from tests.conformance import repeatable, same_state, small_config
from tests.rollout.test_worker_set import built, make

__all__ = ["built"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

AHEAD: dict[str, Any] = {"num_workers": 2, "sample_async": True}


def versions(algorithm: Algorithm) -> list[int]:
    """By how many updates the weights of the next rollouts are older than the learner's."""
    now = algorithm.learner.weights_version
    return [now - r.weights_version for r in algorithm.sample(algorithm.coeffs())]


def test_rollouts_are_one_update_old_only_when_that_is_asked_for(built: list[Algorithm]) -> None:
    ahead, at_once = make(built, PPO, **AHEAD), make(built, PPO, num_workers=2)
    first = [algorithm.train()["info"]["learner"] for algorithm in (ahead, at_once)]
    assert first[0] == first[1]  # there was no older policy yet
    assert versions(ahead) == [1, 1]
    assert versions(at_once) == [0, 0]


def test_actors_work_while_nobody_waits_for_them(built: list[Algorithm]) -> None:
    import ray

    algorithm = make(built, PPO, **AHEAD)
    algorithm.train()
    calls = algorithm.workers._under_way.pending
    ready, _ = ray.wait(calls, num_returns=len(calls), timeout=30)
    assert len(ready) == 2
    steps = algorithm.num_steps_sampled
    rollouts = algorithm.sample(algorithm.coeffs())
    assert algorithm.num_steps_sampled == steps + sum(rollout.steps for rollout in rollouts)


@pytest.mark.parametrize("cls", [PPO, pytest.param(DQN, marks=pytest.mark.slow)])
def test_equal_seeds_give_equal_results_and_a_checkpoint_goes_on_exactly(
    built: list[Algorithm], cls: type[Algorithm]
) -> None:
    more = {"observation_filter": "MeanStdFilter", "store_buffer_in_checkpoints": True}
    first, second = (make(built, cls, **AHEAD, **more) for _ in range(2))
    for _ in range(2):
        assert repeatable(first.train()) == repeatable(second.train())
    restored = make(built, cls, **AHEAD, **more)
    restored.restore(second.save())
    for _ in range(2):
        assert repeatable(first.train()) == repeatable(restored.train())
    assert same_state(first.get_state(), restored.get_state())


def test_an_actor_that_is_lost_while_it_samples_ahead_is_replaced(built: list[Algorithm]) -> None:
    import ray

    algorithm = make(built, PPO, **AHEAD)
    algorithm.train()
    ray.kill(algorithm.workers._actors[0])
    result = algorithm.train()
    assert result["num_worker_restarts"] in (0, 1)  # it may have answered before
    assert algorithm.train()["num_worker_restarts"] == 1


def test_what_was_sampled_ahead_for_another_policy_is_not_used(built: list[Algorithm]) -> None:
    donor, heir = (make(built, PPO, **AHEAD, seed=seed) for seed in (1, 2))
    for _ in range(2):
        donor.train()
    heir.train()
    heir.inherit_from_object(donor.save_to_object())
    assert versions(heir) == [0, 0]
    heir.reset_config({**heir.config, "seed": 3})
    assert versions(heir) == [0, 0]


def test_without_actors_there_is_nobody_to_sample_ahead() -> None:
    with pytest.raises(
        ConfigError, match="'sample_async' needs rollout actors: 'num_workers' is 0"
    ):
        PPO(small_config(PPO, sample_async=True))


def test_perf_tells_the_cost_of_the_calls(built: list[Algorithm]) -> None:
    """It is a part of the sampling, and nothing without actors."""
    alone = make(built, PPO).train()["perf"]
    assert alone["calls_s"] == 0 < alone["sampling_s"]
    actors = make(built, PPO, num_workers=2)
    for _ in range(2):
        perf = actors.train()["perf"]
        assert 0 < perf["calls_s"] < perf["sampling_s"]
