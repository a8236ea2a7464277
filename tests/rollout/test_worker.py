"""What a rollout worker brings back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.dqn import DQN
from agents.pg import PG
from agents.ppo import PPO
from rltune.algorithm import Algorithm
from rltune.envs.filters import MeanStdFilter, RewardNormalizer
from rltune.rollout import worker
from rltune.rollout.worker import Orders, Rollout, RolloutWorker
from tests.rollout import envs

TRUNCATED = "tests.envs.toy:TruncatedEnv"


class Sampler:
    """A worker of algorithm `cls` with fresh weights."""

    def __init__(self, cls: type[Algorithm], **config: Any) -> None:
        self.cfg = cls.config_class.from_dict(
            {"seed": 1, "model": {"fcnet_hiddens": [8]}, **config}
        )
        self.worker = RolloutWorker(cls, self.cfg)
        self.weights = self.worker.policy.model.init(np.random.default_rng(0))
        self.coeffs = {**self.cfg.coeffs(), "epsilon": 0.5}

    def sample(self, steps: int, **filters: Any) -> Rollout:
        return self.worker.sample(Orders(self.weights, 3, self.coeffs, filters), steps)

    def value(self, obs: Any) -> np.ndarray:
        return self.worker.policy.value(np.asarray(obs, np.float32))


class TestTruncation:
    @pytest.mark.parametrize("num_envs", [1, 2])
    def test_a_cut_episode_bootstraps_with_the_value_of_its_last_observation(
        self, num_envs: int
    ) -> None:
        sampler = Sampler(
            PPO, env=TRUNCATED, gamma=0.5, num_envs_per_worker=num_envs, **{"lambda": 0.0}
        )
        batch = sampler.sample(7).batch
        after = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 0.2, 0.4])  # never 0, where the next one begins
        expected = 1 + 0.5 * sampler.value(after[:, None])
        assert abs(sampler.value([1.0]) - sampler.value([0.0])) > 0.01
        np.testing.assert_allclose(batch["value_targets"], np.tile(expected, num_envs), rtol=1e-5)

    def test_a_terminated_episode_does_not(self) -> None:
        sampler = Sampler(
            PPO, env=TRUNCATED, env_config={"terminate": True}, gamma=0.5, **{"lambda": 0.0}
        )
        batch = sampler.sample(5).batch
        expected = 1 + 0.5 * sampler.value([[0.2], [0.4], [0.6], [0.8], [1.0]])
        expected[-1] = 1.0
        np.testing.assert_allclose(batch["value_targets"], expected, rtol=1e-5)

    def test_a_fragment_s_end_bootstraps_with_the_next_observation(self) -> None:
        sampler = Sampler(PPO, env=TRUNCATED, gamma=0.5, **{"lambda": 1.0})
        batch = sampler.sample(2).batch
        following = sampler.value([0.4])
        expected = [1 + 0.5 * (1 + 0.5 * following), 1 + 0.5 * following]
        np.testing.assert_allclose(batch["value_targets"], expected, rtol=1e-5)

    def test_the_environment_s_own_vector_form_says_the_same(self) -> None:
        config = {
            "env": "CartPole-v1",
            "env_config": {"max_episode_steps": 7},
            "num_envs_per_worker": 8,
        }
        sampler = Sampler(PPO, **config, gamma=0.9, **{"lambda": 0.0})
        batch = sampler.sample(20).batch
        assert batch["truncateds"].sum() > 8 and not batch["terminateds"].any()
        obs = batch["obs"].reshape(8, 20, 4)
        targets = batch["value_targets"].reshape(8, 20)
        # Where nothing ended, the next row is the next observation.
        plain = 1 + 0.9 * sampler.value(obs[:, 1:])
        going = ~batch["truncateds"].reshape(8, 20)[:, :-1]
        np.testing.assert_allclose(targets[:, :-1][going], plain[going], rtol=1e-4)
        assert not np.isclose(targets[:, :-1][~going], plain[~going], rtol=1e-4).any()

    def test_replay_rows_keep_the_true_last_observation(self) -> None:
        batch = Sampler(DQN, env=TRUNCATED, num_envs_per_worker=2).sample(7).batch
        assert batch["new_obs"].shape == (7, 2, 1)
        after = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 0.2, 0.4], np.float32)
        np.testing.assert_allclose(batch["new_obs"][:, 1, 0], after)
        np.testing.assert_allclose(
            batch["obs"][:, 1, 0], np.where(after == 0.2, 0.0, after - 0.2), atol=1e-6
        )
        assert batch["truncateds"][:, 0].tolist() == [False] * 4 + [True] + [False] * 2


class TestAutoreset:
    def test_rows_that_only_reset_are_no_rows(self) -> None:
        sampler = Sampler(
            PPO, env="Counting-v0", num_envs_per_worker=5, gamma=1.0, **{"lambda": 1.0}
        )
        rollout = sampler.sample(12)
        batch = rollout.batch
        # Environment i: episodes of 3 + i steps, each followed by one reset.
        rows = [[t for t in np.arange(12) % (length + 1) if t < length] for length in range(3, 8)]
        assert batch["obs"][:, 0].tolist() == [t for each in rows for t in each]
        assert rollout.steps == batch.count == sum(map(len, rows))
        assert set(batch["rewards"]) == {1.0} and batch["valid"].all()
        lengths = [length for length in range(3, 8) for _ in range((12 + 1) // (length + 1))]
        assert sorted(rollout.episode_lengths) == sorted(lengths)
        assert sorted(rollout.episode_rewards) == sorted(lengths)
        first = batch["value_targets"][:3]
        np.testing.assert_allclose(first, [3, 2, 1] + sampler.value([3.0]), rtol=1e-5)

    def test_they_keep_their_place_in_what_goes_to_replay(self) -> None:
        rollout = Sampler(DQN, env="Counting-v0", num_envs_per_worker=5).sample(12)
        assert rollout.batch["valid"].sum() == rollout.steps < 60
        assert rollout.batch["rewards"][rollout.batch["valid"]].max() == 1.0

    def test_statistics_do_not_see_them(self) -> None:
        sampler = Sampler(
            PPO,
            env="Counting-v0",
            num_envs_per_worker=5,
            normalize_rewards=True,
            observation_filter="MeanStdFilter",
        )
        rollout = sampler.sample(12)
        valid = rollout.batch["obs"]
        delta = rollout.filter_deltas["obs"]
        assert delta["count"] == rollout.steps == rollout.filter_deltas["reward"]["count"]
        np.testing.assert_allclose(delta["mean"], valid.mean(0), rtol=1e-6)
        assert rollout.filter_deltas["reward"]["mean"] < 8


def batches_of_whole_episodes(
    lengths: list[int], fragment: int, num_envs: int, samples: int
) -> list[np.ndarray]:
    sampler = Sampler(
        PG, env=envs.NumberedEnv, env_config={"lengths": lengths}, num_envs_per_worker=num_envs
    )
    return [sampler.sample(fragment).batch["obs"] for _ in range(samples)]


class TestWholeEpisodes:
    @settings(max_examples=60, deadline=None)
    @given(
        lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
        fragment=st.integers(1, 12),
        num_envs=st.integers(1, 4),
    )
    def test_each_row_once_and_only_whole_episodes(
        self, lengths: list[int], fragment: int, num_envs: int
    ) -> None:
        batches = batches_of_whole_episodes(lengths, fragment, num_envs, samples=4)
        assert all(len(batch) >= fragment * num_envs for batch in batches)
        for env in range(num_envs):
            expected_episode = 0
            for batch in batches:
                rows = batch[batch[:, 0] == env, 1:].astype(int).tolist()
                while rows:
                    length = lengths[(env + expected_episode) % len(lengths)]
                    assert rows[:length] == [[expected_episode, t] for t in range(length)]
                    rows, expected_episode = rows[length:], expected_episode + 1
            assert expected_episode > 0

    def test_returns_reach_over_fragments(self) -> None:
        sampler = Sampler(PG, env=envs.NumberedEnv, env_config={"lengths": [5]}, gamma=1.0)
        batch = sampler.sample(3).batch
        assert batch["advantages"].tolist() == [15, 14, 12, 9, 5]
        assert sampler.sample(3).batch["advantages"].tolist() == [15, 14, 12, 9, 5]

    def test_waiting_for_the_end_of_an_episode_is_not_silent(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(worker, "PATIENCE", 20)
        sampler = Sampler(PG, env=envs.NumberedEnv, env_config={"lengths": [500]})
        sampler.sample(10)
        assert [record.args[0] for record in caplog.records] == [20, 200]
        assert "does this environment end its episodes?" in caplog.text

    @pytest.mark.parametrize("terminate", [True, False])
    def test_values_reach_over_fragments(self, terminate: bool) -> None:
        sampler = Sampler(
            PPO,
            env=envs.NumberedEnv,
            env_config={"lengths": [5], "terminate": terminate},
            gamma=1.0,
            batch_mode="complete_episodes",
            **{"lambda": 1.0},
        )
        targets = sampler.sample(3).batch["value_targets"]
        last = 0.0 if terminate else sampler.value([0, 0, 5])
        np.testing.assert_allclose(targets, np.array([15, 14, 12, 9, 5]) + last, rtol=1e-5)


class TestActions:
    @pytest.mark.parametrize("normalize", [False, True])
    def test_the_environment_gets_bounded_ones_training_the_policy_s(self, normalize: bool) -> None:
        envs.RecordingEnv.actions.clear()
        sampler = Sampler(PPO, env=envs.RecordingEnv, normalize_actions=normalize)
        batch = sampler.sample(200).batch
        stored, given_ = batch["actions"], np.array(envs.RecordingEnv.actions)
        scaled = stored * [0.5, 1.5] + [0.0, 1.5] if normalize else stored
        np.testing.assert_allclose(given_, np.clip(scaled, [-0.5, 0.0], [0.5, 3.0]), rtol=1e-5)
        assert (np.abs(stored) > 1.5).any()
        mean = batch["action_dist_inputs"][:, :2]
        log_std = batch["action_dist_inputs"][:, 2:]
        density = (
            np.exp(-(((stored - mean) / np.exp(log_std)) ** 2) / 2)
            / np.exp(log_std)
            / np.sqrt(2 * np.pi)
        )
        np.testing.assert_allclose(batch["action_logp"], np.log(density).sum(1), rtol=1e-4)


class TestRewards:
    def test_clipped_rewards_are_trained_on_and_true_ones_reported(self) -> None:
        rollout = Sampler(PPO, env="Pendulum-v1", clip_rewards=True).sample(200)
        assert set(rollout.batch["rewards"]) == {-1.0}
        assert rollout.episode_rewards[0] < -200

    def test_statistics_are_those_that_came_with_the_orders(self) -> None:
        env = {"env": envs.NumberedEnv, "env_config": {"lengths": [10]}}
        sampler = Sampler(PPO, **env, normalize_rewards=True, observation_filter="MeanStdFilter")
        plain = Sampler(PPO, **env).sample(50).batch
        first = sampler.sample(50)
        np.testing.assert_array_equal(first.batch["rewards"], plain["rewards"])
        np.testing.assert_array_equal(first.batch["obs"], plain["obs"])
        obs_filter, normalizer = MeanStdFilter(3), RewardNormalizer(1, 0.99)
        obs_filter.merge([first.filter_deltas["obs"]])
        normalizer.merge([first.filter_deltas["reward"]])
        orders = {"obs": obs_filter.get_state(), "reward": normalizer.get_state()}
        second = sampler.sample(50, **orders).batch
        expected = normalizer.apply(plain["rewards"])
        np.testing.assert_array_equal(second["rewards"], expected)
        raw = plain["obs"] + [0, 5, 0]  # five episodes later
        np.testing.assert_allclose(second["obs"], obs_filter.apply(raw), rtol=1e-5, atol=1e-6)
        assert not np.allclose(second["obs"], raw) and not np.allclose(expected, plain["rewards"])


class TestState:
    @pytest.mark.parametrize("env", ["CartPole-v1", TRUNCATED])
    @pytest.mark.parametrize("num_envs", [1, 8])
    @pytest.mark.parametrize("whole", [False, True])
    def test_a_restored_worker_samples_the_same(self, env: str, num_envs: int, whole: bool) -> None:
        mode = "complete_episodes" if whole else "truncate_episodes"
        config = {
            "env": env,
            "num_envs_per_worker": num_envs,
            "batch_mode": mode,
            "normalize_rewards": True,
        }
        sampler, other = Sampler(PPO, **config), Sampler(PPO, **config, seed=2)
        for _ in range(3):
            sampler.sample(13)
        assert other.worker.set_state(sampler.worker.get_state())
        expected, got = sampler.sample(13), other.sample(13)
        for column, values in expected.batch.items():
            np.testing.assert_array_equal(got.batch[column], values)
        assert got.episode_rewards.tolist() == expected.episode_rewards.tolist()
        assert got.steps == expected.steps

    def test_what_cannot_be_restored_starts_afresh_and_says_so(self) -> None:
        sampler = Sampler(PPO, env="Counting-v0", num_envs_per_worker=5)
        sampler.sample(2)
        assert not sampler.worker.set_state(sampler.worker.get_state())
        rollout = sampler.sample(3)
        assert rollout.starts.all()
        assert rollout.episode_lengths.tolist() == rollout.episode_rewards.tolist() == [3]

    def test_only_the_first_rollout_starts(self) -> None:
        sampler = Sampler(DQN, env="CartPole-v1", num_envs_per_worker=2)
        assert [sampler.sample(4).starts.tolist() for _ in range(2)] == [[True] * 2, [False] * 2]


def test_rows_do_not_depend_on_the_other_environments() -> None:
    alone = Sampler(PPO, env="CartPole-v1").sample(30).batch
    together = Sampler(PPO, env="CartPole-v1", num_envs_per_worker=8).sample(30).batch
    np.testing.assert_array_equal(alone["actions"], together["actions"][:30])
    np.testing.assert_allclose(alone["obs"], together["obs"][:30], rtol=1e-5)


def test_timing_and_version_come_along() -> None:
    rollout = Sampler(PPO, env="CartPole-v1").sample(10)
    assert rollout.weights_version == 3
    assert rollout.perf.keys() == {"env_s", "inference_s", "processing_s", "total_s"}
    assert all(seconds > 0 for seconds in rollout.perf.values())
