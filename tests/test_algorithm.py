"""What `Algorithm` does around any algorithm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.dqn import DQN
from agents.pg import PG
from agents.ppo import PPO
from rltune import registry
from rltune.algorithm import Algorithm
from rltune.checkpoint import CheckpointError
from rltune.config import ConfigError
from tests.conformance import make, repeatable, same_state, small_config
from tests.envs.toy import IdentityEnv, TruncatedEnv


class TestValidation:
    def test_creators_are_not_called(self) -> None:
        def creator(config: Any) -> Any:
            raise AssertionError("called")

        registry.register_env("not yet", creator)
        PPO.validate_config({"env": "not yet"})
        PPO.validate_config({"env": "tests.envs.toy:NestedEnv"})

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({}, "no environment"),
            ({"env": "CartPole-v99"}, "CartPole"),
            ({"env": "CartPole-v1", "env_config": {"nonsense": 1}}, "nonsense"),
            ({"env": "CartPole-v1", "num_gpus": 2}, "at most one GPU"),
            ({"env": "CartPole-v1", "model": {"fcnet_hidens": []}}, "nearest: '.*fcnet_hiddens'"),
            ({"env": "CartPole-v1", "evaluation_config": {"lr": 1}}, "evaluation_config.lr"),
            ({"env": "CartPole-v1", "callbacks": {"on_step": print}}, "callbacks.on_step"),
        ],
    )
    def test_problems_are_found_without_a_start(self, config: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            PPO.validate_config(config)

    def test_the_config_is_left_alone(self) -> None:
        config = {"env": "CartPole-v1", "sample_batch_size": 10, "model": {"fcnet_hiddens": [8]}}
        before = json.dumps(config)
        PPO.validate_config(config)
        PPO.default_resource_request(config)
        PPO(config)
        assert json.dumps(config) == before


class TestBuilding:
    def test_the_environment_may_be_an_argument(self) -> None:
        algorithm = PPO({"seed": 1, "log_sys_usage": False}, env=TruncatedEnv)
        assert algorithm.cfg.env is TruncatedEnv

    def test_what_cannot_be_built_can_be_stopped(self) -> None:
        algorithm = make("PPO")
        with pytest.raises(RuntimeError, match="no such thing"):
            algorithm.reset_config({"env": raising})
        algorithm.stop()

    def test_an_instance_can_be_reset_after_a_failure(self) -> None:
        algorithm = make("PPO")
        with pytest.raises(RuntimeError):
            algorithm.reset_config({"env": raising})
        assert algorithm.reset_config(small_config(PPO))
        assert repeatable(algorithm.train()) == repeatable(make("PPO").train())


def raising(config: Any) -> Any:
    raise RuntimeError("no such thing")


class TestEvaluation:
    def test_it_plays_so_many_episodes_in_environments_of_its_own(self) -> None:
        algorithm = PPO(
            small_config(
                PPO,
                env=TruncatedEnv,
                env_config={"length": 20},
                evaluation_config={"env_config": {"length": 6}},
                evaluation_num_episodes=7,
                num_envs_per_worker=3,
            )
        )
        evaluation = algorithm.evaluate()
        assert evaluation["episodes_this_eval"] == 7
        assert evaluation["episode_len_mean"] == evaluation["episode_reward_mean"] == 6
        assert algorithm.train()["episode_len_mean"] == 20

    def test_each_evaluation_plays_other_episodes(self) -> None:
        algorithm = make("PPO", evaluation_num_episodes=5)
        assert algorithm.evaluate() != algorithm.evaluate()

    def test_it_is_greedy_unless_told_otherwise(self) -> None:
        config = small_config(PPO, env=IdentityEnv, evaluation_num_episodes=2, lr=0.02)
        greedy = PPO(config)
        exploring = PPO({**config, "evaluation_config": {"explore": True}})
        for algorithm in (greedy, exploring):
            for _ in range(6):
                algorithm.train()
        assert same_state(greedy.get_weights(), exploring.get_weights())
        best, other = greedy.evaluate(), exploring.evaluate()
        assert best["episode_reward_mean"] == 100 > other["episode_reward_mean"]

    def test_filters_are_applied_and_frozen(self) -> None:
        algorithm = make("PPO", env="Pendulum-v1", observation_filter="MeanStdFilter")
        algorithm.train()
        before = algorithm.policy.filter.get_state()
        algorithm.evaluate()
        assert same_state(algorithm.policy.filter.get_state(), before)
        assert before["count"] == algorithm.num_steps_sampled

    def test_episodes_are_not_counted_as_training(self) -> None:
        algorithm = make("PPO", evaluation_interval=1)
        result = algorithm.train()
        assert result["timesteps_total"] == 96
        assert result["episodes_total"] == result["episodes_this_iter"] < 10


class TestCheckpoints:
    def test_algorithm_finds_the_class(self) -> None:
        algorithm = make("PG")
        assert type(Algorithm.from_checkpoint(algorithm.save())) is PG

    def test_a_class_refuses_the_checkpoint_of_another(self) -> None:
        with pytest.raises(CheckpointError, match="of PG, not of PPO"):
            PPO.from_checkpoint(make("PG").save())

    def test_a_subclass_that_no_table_knows_restores_itself(self) -> None:
        class Mine(PPO):
            """PPO by another name."""

        algorithm = Mine(small_config(PPO))
        algorithm.train()
        restored = Mine.from_checkpoint(algorithm.save())
        assert type(restored) is Mine
        assert repeatable(restored.train()) == repeatable(algorithm.train())

    def test_overrides_apply(self) -> None:
        algorithm = make("PPO")
        assert PPO.from_checkpoint(algorithm.save(), {"lr": 0.5}).cfg.lr == 0.5

    def test_an_environment_class_is_found_again(self) -> None:
        algorithm = PPO(small_config(PPO, env=TruncatedEnv))
        assert PPO.from_checkpoint(algorithm.save()).cfg.env == "tests.envs.toy:TruncatedEnv"

    def test_saving_twice_is_saving_once(self) -> None:
        algorithm = make("DQN")
        algorithm.train()
        assert algorithm.save() == algorithm.save()
        restored = DQN.from_checkpoint(algorithm.save())
        assert repeatable(restored.train()) == repeatable(algorithm.train())

    def test_saving_changes_nothing(self) -> None:
        saved, other = make("DQN"), make("DQN")
        for _ in range(3):
            assert repeatable(saved.train()) == repeatable(other.train())
            saved.save()

    def test_a_save_that_was_cut_off_is_no_checkpoint(self) -> None:
        path = Path(make("PPO").save())
        (path / "manifest.json").unlink()
        with pytest.raises(CheckpointError, match="no manifest.json"):
            PPO.from_checkpoint(path)

    def test_deleting_removes_the_directory(self) -> None:
        algorithm = make("PPO")
        path = Path(algorithm.save())
        algorithm.delete_checkpoint(str(path))
        assert not path.exists()

    def test_exports(self, tmp_path: Path) -> None:
        algorithm = make("PPO")
        exported = algorithm.export_model(["checkpoint", "model"], str(tmp_path))
        assert same_state(
            PPO.from_checkpoint(exported["checkpoint"]).get_weights(), algorithm.get_weights()
        )
        assert list(Path(exported["model"]).glob("*.safetensors"))
        with pytest.raises(ConfigError, match="'onnx' is not known"):
            algorithm.export_model(["onnx"], str(tmp_path))


class TestResults:
    def test_an_iteration_has_at_least_the_steps_it_should(self) -> None:
        algorithm = make("PPO", timesteps_per_iteration=250)
        result = algorithm.train()
        assert result["timesteps_this_iter"] == 288  # three batches of 96
        assert algorithm.learner.weights_version > 3

    def test_sampler_perf_has_rllib_s_keys(self) -> None:
        perf = make("PPO").train()["sampler_perf"]
        assert perf.keys() == {"mean_env_wait_ms", "mean_inference_ms", "mean_processing_ms"}
        assert all(0 < ms < 1000 for ms in perf.values())

    def test_perf_says_where_the_time_of_an_iteration_went(self) -> None:
        algorithm = make("PPO", evaluation_interval=1)
        algorithm.train()
        result = algorithm.train()
        perf = result["perf"]
        parts = ["sampling_s", "update_s", "weights_s", "other_s"]
        work = ["env_s", "inference_s", "processing_s"]
        assert set(perf) == {*parts, *work, "calls_s", "runner_s"}
        assert all(perf[name] > 0 for name in (*parts, *work, "runner_s"))
        assert sum(perf[name] for name in parts) <= result["time_this_iter_s"]
        assert sum(perf[name] for name in work) <= perf["sampling_s"]

    def test_usage_is_measured_unless_switched_off(self) -> None:
        assert PPO({"env": TruncatedEnv, "train_batch_size": 64}).config["log_sys_usage"] is True
        assert make("PPO").config["log_sys_usage"] is False


def test_weights_can_be_handed_over() -> None:
    first, second = make("PPO"), make("PPO", seed=9)
    first.train()
    second.set_weights(first.get_weights())
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    actions = [[each.compute_action(o) for o in obs] for each in (first, second)]
    assert actions[0] == actions[1]
