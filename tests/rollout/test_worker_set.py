"""Several rollout actors sample as one worker would, and survive each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents.dqn import DQN
from agents.ppo import PPO
from rltune.algorithm import Algorithm
from rltune.config import ConfigError
from tests.conformance import repeatable, same_state, small_config
from tests.envs.toy import CrashingEnv

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

FRAMEWORKS = ("torch", "tensorflow", "jax")


class TellingEnv(gymnasium.Env):
    """Its observation tells of its process: id, GPUs that it may see, frameworks that are loaded."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.observation_space = spaces.Box(-1, np.inf, (3,), np.float64)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self._observe(), {}

    def step(self, action):
        time.sleep(self.seconds)
        return self._observe(), 1.0, False, False, {}

    def _observe(self) -> np.ndarray:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "?")
        gpus = -1 if visible == "?" else len([gpu for gpu in visible.split(",") if gpu])
        loaded = sum(name in sys.modules for name in FRAMEWORKS)
        return np.array([os.getpid(), gpus, loaded])


class BrokenEnv(gymnasium.Env):
    """Cannot be made."""

    def __init__(self) -> None:
        raise LookupError("the licence server does not answer")


@pytest.fixture
def built() -> Iterator[list[Algorithm]]:
    """Algorithms put in here are stopped in the end: their actors hold CPUs."""
    algorithms: list[Algorithm] = []
    yield algorithms
    for algorithm in algorithms:
        algorithm.stop()


def make(built: list[Algorithm], cls: type[Algorithm], **config: Any) -> Algorithm:
    algorithm = cls(small_config(cls, **{"num_cpus_per_worker": 0.5, **config}))
    built.append(algorithm)
    return algorithm


@pytest.mark.parametrize("cls", [PPO, DQN])
def test_two_actors_are_one_worker_with_their_environments(
    built: list[Algorithm], cls: type[Algorithm]
) -> None:
    more = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}
    actors = make(built, cls, num_workers=2, num_envs_per_worker=2, **more)
    alone = make(built, cls, num_workers=0, num_envs_per_worker=4, **more)
    for _ in range(2):
        rollouts = [algorithm.sample(algorithm.coeffs()) for algorithm in (actors, alone)]
        axis = 1 if cls.off_policy else 0
        for column, expected in rollouts[1][0].batch.items():
            got = np.concatenate([rollout.batch[column] for rollout in rollouts[0]], axis)
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=column)
    filters = [algorithm.policy.filter.get_state() for algorithm in (actors, alone)]
    np.testing.assert_allclose(filters[0]["mean"], filters[1]["mean"], rtol=1e-6)
    assert filters[0]["count"] == filters[1]["count"] > 0


def test_equal_seeds_give_equal_results_however_fast_each_actor_is(built: list[Algorithm]) -> None:
    first, second = (make(built, PPO, num_workers=2) for _ in range(2))
    for _ in range(2):
        assert repeatable(first.train()) == repeatable(second.train())
    assert same_state(first.get_weights(), second.get_weights())


def test_weights_are_those_of_the_learner_after_a_restore(built: list[Algorithm]) -> None:
    """Two runs number their weights alike: the number alone does not say what an actor has."""
    first = make(built, PPO, num_workers=2)
    second = make(built, PPO, num_workers=2, seed=8)
    first.train()
    second.train()
    assert first.learner.weights_version == second.learner.weights_version
    second.sample(second.coeffs())  # sends its own weights of that number
    second.restore(first.save())
    assert repeatable(second.train()) == repeatable(first.train())
    assert same_state(first.get_weights(), second.get_weights())


@pytest.mark.parametrize(("hiddens", "puts"), [([16], 0), ([256, 256], 1)])
def test_weights_arrive_and_only_large_ones_through_the_store(
    built: list[Algorithm], monkeypatch: pytest.MonkeyPatch, hiddens: list[int], puts: int
) -> None:
    import ray

    algorithm = make(built, PPO, num_workers=2, model={"fcnet_hiddens": hiddens})
    put, stored = ray.put, []
    monkeypatch.setattr(ray, "put", lambda value: stored.append(value) or put(value))
    for _ in range(2):  # the second with the same weights
        for rollout in algorithm.sample(algorithm.coeffs()):
            values = algorithm.policy.value(rollout.batch["obs"])
            np.testing.assert_allclose(rollout.batch["vf_preds"], values, rtol=1e-4, atol=1e-5)
    assert len(stored) == puts


@pytest.mark.parametrize("delay", [0.0, 0.3], ids=["between samples", "while it samples"])
def test_a_killed_actor_is_replaced(built: list[Algorithm], delay: float) -> None:
    algorithm = make(built, PPO, env=TellingEnv, env_config={"seconds": delay / 15}, num_workers=2)
    before = algorithm.sample(algorithm.coeffs())
    pids = [int(rollout.batch["obs"][0, 0]) for rollout in before]
    command = ["ps", "-o", "args=", "-p", str(pids[0])]
    assert "RolloutWorker" in subprocess.run(command, capture_output=True, text=True).stdout
    killer = threading.Timer(delay, os.kill, (pids[0], signal.SIGKILL))
    killer.start()
    if not delay:
        killer.join()
    after = algorithm.sample(algorithm.coeffs())
    seen = [set(rollout.batch["obs"][:, 0]) for rollout in after]
    assert len(seen[0]) == 1 and pids[0] not in seen[0]  # nothing that it had sampled is used
    assert seen[1] == {pids[1]}
    assert [rollout.starts.tolist() for rollout in after] == [[True], [False]]
    assert [rollout.steps for rollout in after] == [rollout.steps for rollout in before]
    result = algorithm.train()
    assert result["num_worker_restarts"] == 1 and result["num_healthy_workers"] == 2


def test_a_replaced_actor_repeats_nothing(built: list[Algorithm]) -> None:
    import ray

    algorithm = make(built, DQN, num_workers=2)
    first = algorithm.sample(algorithm.coeffs())[0].batch
    ray.kill(algorithm.workers._actors[0])
    algorithm.train()
    assert algorithm.workers.num_restarts == 1
    replaced = algorithm.replay.get_state()[0]["columns/obs"][0, 0]
    assert not np.array_equal(first["obs"][0, 0], replaced)


def test_an_error_of_the_environment_is_the_user_s_to_see(built: list[Algorithm]) -> None:
    algorithm = make(built, PPO, env=CrashingEnv, num_workers=2)
    with pytest.raises(RuntimeError, match="the simulator fell over") as caught:
        algorithm.train()
    assert 'raise RuntimeError("the simulator fell over")' in str(caught.value)
    assert "step 3 of the episode" in str(caught.value)
    assert algorithm.workers.num_restarts == 0


def test_an_environment_that_cannot_be_made_is_tried_once(built: list[Algorithm]) -> None:
    with pytest.raises(LookupError, match="the licence server does not answer") as caught:
        make(built, PPO, env=BrokenEnv, num_workers=1)
    assert "lost" not in str(caught.value)


def test_spaces_that_do_not_suit_are_bad_input(built: list[Algorithm]) -> None:
    with pytest.raises(ConfigError, match="DQN needs a Discrete action space"):
        make(built, DQN, env="tests.envs.toy:IdentityBoxEnv", num_workers=1)


def test_actors_see_no_gpu_and_load_no_framework(built: list[Algorithm]) -> None:
    algorithm = make(built, PPO, env=TellingEnv, num_workers=2)
    algorithm.train()  # acted with the weights of a framework
    for rollout in algorithm.sample(algorithm.coeffs()):
        pid, gpus, loaded = rollout.batch["obs"][-1]
        assert (gpus, loaded) == (0, 0)
        assert pid != os.getpid()


def test_actors_see_the_gpus_that_they_ask_for(built: list[Algorithm]) -> None:
    algorithm = make(built, PPO, env=TellingEnv, num_workers=2, num_gpus_per_worker=0.5)
    assert [r.batch["obs"][0, 1] for r in algorithm.sample(algorithm.coeffs())] == [1, 1]


def test_another_number_of_workers_starts_new_episodes(
    built: list[Algorithm], caplog: pytest.LogCaptureFixture
) -> None:
    two, none = make(built, PPO, num_workers=2), make(built, PPO)
    two.train()
    path = two.save()
    none.restore(path)
    assert same_state(none.learner.get_state(), two.learner.get_state())
    assert "2 rollout workers, this run 1" in caplog.text
    assert none.train()["training_iteration"] == 2


def pids(algorithm: Algorithm) -> list[int]:
    import ray

    asked = [
        actor.__ray_call__.remote(lambda worker: os.getpid()) for actor in algorithm.workers._actors
    ]
    return ray.get(asked)


@pytest.mark.parametrize("cls", [PPO, pytest.param(DQN, marks=pytest.mark.slow)])
def test_a_reset_keeps_the_actors_and_nothing_else(
    built: list[Algorithm], cls: type[Algorithm]
) -> None:
    """T10.9: for the rollout actors of a reused trial"""
    former = {"observation_filter": "MeanStdFilter", "normalize_rewards": True, "seed": 1}
    used = make(built, cls, num_workers=2, num_envs_per_worker=2, **former)
    used.train()
    used.workers.num_restarts = 4
    before = pids(used)
    more: dict[str, Any] = {"num_cpus_per_worker": 0.5, "num_workers": 2, "env": "Acrobot-v1"}
    assert used.reset_config(small_config(cls, **more, lr=0.02, seed=2))
    assert pids(used) == before
    fresh = make(built, cls, **more, lr=0.02, seed=2)
    for _ in range(2):
        assert repeatable(used.train()) == repeatable(fresh.train())
    assert same_state(used.get_state(), fresh.get_state())


@pytest.mark.slow
def test_other_processes_are_started_where_they_must_be(built: list[Algorithm]) -> None:
    used, fresh = make(built, PPO, num_workers=1), make(built, PPO, num_workers=2)
    before = pids(used)
    for workers, cpus in ((2, 0.5), (2, 0.25), (0, 0.25)):
        used.reset_config(small_config(PPO, num_workers=workers, num_cpus_per_worker=cpus))
        now = pids(used)
        assert len(now) == workers and not set(now) & set(before)
        before = now
        if workers:
            reference = fresh if cpus == 0.5 else None
            result = used.train()
            assert reference is None or repeatable(result) == repeatable(reference.train())


def test_an_actor_that_is_lost_before_a_reset_is_replaced(built: list[Algorithm]) -> None:
    import ray

    used = make(built, PPO, num_workers=2)
    before = pids(used)
    ray.kill(used.workers._actors[0])
    assert used.reset_config(small_config(PPO, num_workers=2, num_cpus_per_worker=0.5, seed=4))
    now = pids(used)
    assert now[1] == before[1] and now[0] != before[0]
    assert used.train()["num_healthy_workers"] == 2


def test_a_reset_to_an_environment_that_cannot_be_made(built: list[Algorithm]) -> None:
    used = make(built, PPO, num_workers=1)
    config = {"num_workers": 1, "num_cpus_per_worker": 0.5}
    with pytest.raises(LookupError, match="the licence server does not answer"):
        used.reset_config(small_config(PPO, env=BrokenEnv, **config))
    assert used.reset_config(small_config(PPO, **config))
    assert used.train()["training_iteration"] == 1


def test_what_other_workers_learned_leaves_the_environments_alone(built: list[Algorithm]) -> None:
    donor, heir = (make(built, PPO, num_workers=1, seed=seed) for seed in (1, 2))
    donor.train()
    before = heir.workers.get_state()["workers"]
    heir.inherit_from_object(donor.save_to_object())
    assert same_state(heir.workers.get_state()["workers"], before)
    assert same_state(heir.get_weights(), donor.get_weights())
    assert heir.train()["info"]["learner"] != donor.train()["info"]["learner"]


@pytest.mark.slow
def test_a_checkpoint_knows_how_often_each_worker_was_replaced(built: list[Algorithm]) -> None:
    import ray

    algorithm, restored = (make(built, PPO, num_workers=2) for _ in range(2))
    ray.kill(algorithm.workers._actors[1])
    assert algorithm.train()["num_worker_restarts"] == 1
    restored.restore(algorithm.save())
    state = restored.workers.get_state()
    assert (state["restarts"], state["num_restarts"]) == ([0, 1], 1)
    ray.kill(restored.workers._actors[1])
    assert restored.train()["num_worker_restarts"] == 2
    assert restored.workers.get_state()["restarts"] == [0, 2]
