"""Going on from what another trial has learned: what is copied, what stays, and what is then in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import ALGORITHMS
from agents.dqn import DQN
from agents.ppo import PPO
from rltune.algorithm import Algorithm
from rltune.checkpoint import CheckpointError
from rltune.effective import EffectiveValueError
from rltune.registry import get_trainable_cls
from tests.conformance import make, repeatable, same_state, small_config

NAMES = sorted(ALGORITHMS)
STATISTICS = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}


def trained(name: str, iterations: int = 2, **more: Any) -> Algorithm:
    algorithm = make(name, **more)
    for _ in range(iterations):
        algorithm.train()
    return algorithm


def own(algorithm: Algorithm) -> dict[str, Any]:
    """Random streams and environments: what no exploit touches."""
    state = algorithm.get_state()
    return {
        "workers": state["workers"]["workers"],
        "learner_rng": state["algorithm"]["learner_rng"],
        "caller_rng": algorithm._caller_rng.bit_generator.state,
        "evaluator": state["algorithm"]["evaluator"],
        "replay_rng": state["replay"]["meta"]["rng"] if "replay" in state else None,
    }


def learned(algorithm: Algorithm) -> dict[str, Any]:
    state = algorithm.get_state()
    streams = ("learner_rng", "evaluator")
    return {
        "learner": state["learner"],
        **{key: value for key, value in state["algorithm"].items() if key not in streams},
        "counters": algorithm.get_counters(),
    }


@pytest.mark.parametrize("name", NAMES)
def test_t10_8_what_was_learned_is_copied_and_streams_stay(name: str) -> None:
    donor = trained(name, 3, evaluation_interval=1, **STATISTICS)
    receiver = trained(name, 1, seed=8, evaluation_interval=1, **STATISTICS)
    before = own(receiver)
    receiver.inherit(donor.save())
    assert same_state(learned(receiver), learned(donor))
    if name == "DQN":  # rows come along, the stream they are drawn with does not
        assert len(receiver.replay) == len(donor.replay) > 0  # type: ignore[attr-defined]
    assert same_state(own(receiver), before)
    assert receiver.config["seed"] == 8
    result = receiver.train()
    assert result["training_iteration"] == 4 and result["iterations_since_restore"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_reused_receiver_equals_a_new_one(name: str) -> None:
    packed = trained(name).save_to_object()
    config = small_config(get_trainable_cls(name), seed=8, lr=0.02, gamma=0.9)
    used, fresh = trained(name, seed=5), get_trainable_cls(name)(config)
    used.reset_config(dict(config))
    for receiver in (used, fresh):
        receiver.inherit_from_object(packed)
    for _ in range(2):
        assert repeatable(used.train()) == repeatable(fresh.train())
    assert same_state(used.get_state(), fresh.get_state())


@pytest.mark.parametrize("name", NAMES)
def test_nobody_becomes_a_twin(name: str) -> None:
    """Donor and receivers have the same weights at first, and other episodes from the beginning."""
    donor = trained(name)
    packed = donor.save_to_object()
    receivers = [make(name, seed=seed) for seed in (8, 9)]
    for receiver in receivers:
        receiver.inherit_from_object(packed)
        assert same_state(receiver.get_weights(), donor.get_weights())
    everyone = [donor, *receivers]
    for _ in range(2):
        results = [algorithm.train() for algorithm in everyone]
    episodes = [algorithm.get_state()["workers"]["workers"][0]["envs"] for algorithm in everyone]
    weights = [np.concatenate([w.ravel() for w in a.get_weights().values()]) for a in everyone]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not same_state(episodes[i]["episode_seeds"], episodes[j]["episode_seeds"])
        assert not same_state(episodes[i]["obs"], episodes[j]["obs"])
        assert np.abs(weights[i] - weights[j]).max() > 0
        assert results[i]["info"]["learner"] != results[j]["info"]["learner"]


@pytest.mark.parametrize(
    ("mine", "expected"), [(0.2, "the donor's"), (0.3, 0.3)], ids=["not mutated", "mutated"]
)
def test_an_adaptive_coefficient(mine: float, expected: Any) -> None:
    donor = trained("PPO", kl_coeff=0.2, kl_target=1e-9)
    now = donor.adapted["kl_coeff"]
    assert now > 0.4
    receiver = trained("PPO", seed=8, kl_coeff=0.2, kl_target=1.0)
    receiver.reset_config(small_config(PPO, seed=8, kl_coeff=mine))
    for take in (receiver.inherit, receiver.restore):
        take(donor.save())
        assert receiver.coeffs()["kl_coeff"] == (now if expected == "the donor's" else expected)
    result = receiver.train()["info"]["learner"]
    assert result["cur_kl_coeff"] == (now if expected == "the donor's" else expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", STATISTICS)
def test_other_statistics_are_refused_with_both_values(name: str, key: str) -> None:
    donor, receiver = trained(name, 1, **{key: STATISTICS[key]}), trained(name, 1, seed=8)
    before = receiver.get_state()
    default = getattr(receiver.cfg, key)
    for take in (receiver.restore, receiver.inherit):
        with pytest.raises(CheckpointError) as caught:
            take(donor.save())
        message = str(caught.value)
        assert f"trained with '{key}' {STATISTICS[key]!r}, this config has {default!r}" in message
        assert f"set '{key}' to {STATISTICS[key]!r}" in message
    assert same_state(receiver.get_state(), before)


class TestReplay:
    def test_it_travels_in_memory_whatever_files_hold(self) -> None:
        donor, receiver = trained("DQN", store_buffer_in_checkpoints=False), make("DQN", seed=8)
        receiver.inherit_from_object(donor.save_to_object())
        assert len(receiver.replay) == len(donor.replay) == 192  # type: ignore[attr-defined]
        assert not list(Path(donor.save()).glob("replay*"))
        receiver.inherit(donor.save())
        assert len(receiver.replay) == 0  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        "mine",
        [
            {"buffer_size": 100},
            {"buffer_size": 4000},
            {"prioritized_replay": False},
            {"prioritized_replay_alpha": 0.0},
            {"n_step": 3},
        ],
    )
    def test_another_buffer_takes_what_fits(self, mine: dict[str, Any]) -> None:
        donor = trained("DQN")
        receiver: Any = DQN(small_config(DQN, seed=8, **mine))
        receiver.inherit(donor.save())
        assert len(receiver.replay) == min(192, receiver.cfg.buffer_size)
        assert receiver.train()["timesteps_total"] == 288

    def test_rows_of_another_number_of_environments_stay_behind(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        donor = trained("DQN")
        receiver: Any = make("DQN", seed=8, num_envs_per_worker=2)
        receiver.inherit(donor.save())
        assert len(receiver.replay) == 0 and receiver.train()["training_iteration"] == 3
        assert "of 1 environments, this run has 2: it fills again" in caplog.text
        assert exact(receiver) is False

    def test_another_alpha_on_a_restore(self) -> None:
        donor: Any = trained("DQN", prioritized_replay_alpha=1.0)
        receiver: Any = make("DQN", prioritized_replay_alpha=0.5)
        receiver.restore(donor.save())
        for algorithm in (donor, receiver):
            algorithm.replay.update_priorities(np.array([0]), np.array([4.0]))
        mine, theirs = (a.replay.get_state()[0]["priorities"] for a in (receiver, donor))
        np.testing.assert_allclose(mine, theirs**0.5, rtol=1e-12)


def exact(algorithm: Algorithm) -> Any:
    return json.loads(Path(algorithm.save(), "manifest.json").read_text())["exact"]


def test_exact_tells_of_the_last_checkpoint_s_past() -> None:
    whole, bare = trained("DQN"), trained("DQN", store_buffer_in_checkpoints=False)
    algorithm = make("DQN", seed=8)
    assert exact(algorithm) is True
    algorithm.restore(bare.save())
    assert exact(algorithm) is False
    later = make("DQN")
    later.restore(algorithm.save())  # exact itself, of a run that was not
    assert exact(later) is False
    later.restore(whole.save())
    assert exact(later) is True
    algorithm.reset_config(small_config(DQN))
    assert exact(algorithm) is True


@pytest.mark.parametrize("take", ["restore", "inherit"])
def test_the_number_of_worker_restarts_goes_along(take: str) -> None:
    donor, receiver = make("PPO"), make("PPO", seed=8)
    donor.workers.num_restarts = 3
    getattr(receiver, take)(donor.save())
    assert receiver.train()["num_worker_restarts"] == 3


class BringsBack(PPO):
    """Keeps a copy of lr, which its state brings back: what today's RLlib does."""

    def _begin(self, config: Any) -> None:
        super()._begin(config)
        self.own_lr = config.lr

    def coeffs(self) -> dict[str, float]:
        return {**super().coeffs(), "lr": self.own_lr}

    def get_state(self, whole: bool = False) -> dict[str, Any]:
        state = super().get_state(whole)
        state["algorithm"]["lr"] = self.own_lr
        return state

    def _take_over(self, state: dict[str, Any]) -> None:
        super()._take_over(state)
        self.own_lr = state["algorithm"]["lr"]


class StepsOtherwise(PPO):
    """Hands its update another clip_param than `coeffs` says."""

    def _sync_policy(self) -> None:
        super()._sync_policy()
        update = self.learner.update
        if not hasattr(self, "_former"):
            self._former = update
            self.learner.update = lambda batch, index, coeffs: self._former(  # type: ignore[method-assign]
                batch, index, {**coeffs, "clip_param": 0.11}
            )


class TestEffectiveValues:
    @pytest.mark.parametrize("take", ["restore", "inherit"])
    def test_a_value_that_comes_back_is_an_error(self, take: str) -> None:
        donor, receiver = (BringsBack(small_config(BringsBack, lr=lr)) for lr in (0.1, 0.2))
        with pytest.raises(EffectiveValueError) as caught:
            getattr(receiver, take)(donor.save())
        assert "the next update has 'lr' 0.1, the config says 0.2" in str(caught.value)

    def test_what_the_update_really_got_is_looked_at(self) -> None:
        algorithm = StepsOtherwise(small_config(StepsOtherwise))
        with pytest.raises(EffectiveValueError, match="the update has 'clip_param' 0.11, .* 0.2"):
            algorithm.train()

    def test_a_worker_that_kept_its_settings_is_an_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        algorithm = make("PPO")
        monkeypatch.setattr(algorithm.workers, "reset", lambda config: None)
        with pytest.raises(EffectiveValueError) as caught:
            algorithm.reset_config(small_config(PPO, clip_rewards=True, seed=9))
        assert "rollout worker 0 has 'clip_rewards' False, the config says True" in str(
            caught.value
        )
        assert "rollout worker 0 has 'seed' 7, the config says 9" in str(caught.value)

    @pytest.mark.parametrize("name", NAMES)
    def test_schedules_and_switches_are_no_mismatch(self, name: str) -> None:
        more: dict[str, Any] = {"lr_schedule": [[0, 0.1], [200, 0.0]], **STATISTICS}
        if name == "PPO":
            more |= {"use_gae": False, "kl_coeff": 0.2, "kl_target": 1e-9, "vf_clip_param": None}
        algorithm = trained(name, 1, **more)
        algorithm.restore(algorithm.save())
        algorithm.inherit(algorithm.save())
        algorithm.train()
