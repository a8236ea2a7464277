"""What every algorithm must do, whoever wrote it.

Subclass `Conformance` in a test module and parametrise the class with `name`, as
tests/agents/test_conformance.py does.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from rltune.algorithm import Algorithm
from rltune.checkpoint import CheckpointError
from rltune.config import ConfigError
from rltune.registry import get_trainable_cls
from rltune.resources import Resources
from tests.bindings import ALL

OWN_TO_A_RUN = {
    "config",
    "date",
    "experiment_id",
    "hostname",
    "node_ip",
    "perf",
    "pid",
    "sampler_perf",
    "time_this_iter_s",
    "time_since_restore",
    "time_total_s",
    "timestamp",
    "timesteps_since_restore",
    "iterations_since_restore",
}
"""Result keys that differ between equal runs."""

RESULT_KEYS = {
    "episode_reward_mean",
    "episode_reward_max",
    "episode_reward_min",
    "episode_len_mean",
    "episodes_this_iter",
    "timesteps_this_iter",
    "info",
    "policy_reward_mean",
    "custom_metrics",
    "sampler_perf",
    "off_policy_estimator",
    "num_healthy_workers",
    "num_worker_restarts",
    "framework",
    "device",
}

SMALL: dict[str, Any] = {
    "learning_starts": 32,
    "buffer_size": 500,
    "schedule_max_timesteps": 1000,
    "target_network_update_freq": 60,
    "train_batch_size": 96,
    "sgd_minibatch_size": 32,
    "num_sgd_iter": 2,
    "timesteps_per_iteration": 96,
    "store_buffer_in_checkpoints": True,
    "log_sys_usage": False,
}


def small_config(cls: type[Algorithm], **more: Any) -> dict[str, Any]:
    """A config of a fraction of a second per iteration, with exact checkpoints."""
    known = cls.config_class.fields_by_key()
    small = {key: value for key, value in SMALL.items() if key in known}
    return {"env": "CartPole-v1", "seed": 7, "model": {"fcnet_hiddens": [16]}, **small, **more}


def make(name: str, **more: Any) -> Algorithm:
    cls = get_trainable_cls(name)
    return cls(small_config(cls, **more))


def repeatable(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what only one run has."""
    return {key: value for key, value in result.items() if key not in OWN_TO_A_RUN}


def same_state(first: Any, second: Any) -> bool:
    """Whether two nested states are equal, bit for bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_state(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same_state, first, second))
    return bool(np.array_equal(first, second))


def flat(weights: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([w.ravel() for w in weights.values()])


class Conformance:
    """Each test runs with `name`, which `get_trainable_cls` knows, and with every framework that is installed."""

    @pytest.fixture(autouse=True, params=ALL)
    def framework(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setitem(SMALL, "framework", request.param)
        return str(request.param)

    def test_an_unknown_key_is_named_with_the_nearest(self, name: str) -> None:
        """T13.3"""
        cls = get_trainable_cls(name)
        with pytest.raises(ConfigError, match=r"Unknown key 'gama'.*nearest: 'gamma'"):
            cls.validate_config({"env": "CartPole-v1", "gama": 0.9})

    def test_all_problems_are_one_error(self, name: str) -> None:
        cls = get_trainable_cls(name)
        with pytest.raises(ConfigError) as caught:
            cls.validate_config(
                {"env": "CartPole-v9", "lr": "fast", "gamma": 2, "framework": "jaxx"}
            )
        assert len(caught.value.problems) == 4

    def test_results_carry_every_key(self, name: str, framework: str) -> None:
        """T13.4"""
        algorithm = make(name)
        for iteration in (1, 2):
            result = algorithm.train()
            assert RESULT_KEYS <= result.keys()
            assert result["training_iteration"] == iteration
        assert result["info"]["learner"]["cur_lr"] == algorithm.cfg.lr
        assert all(
            np.isfinite(value) for value in result["info"]["learner"].values() if value is not None
        )
        assert (
            result["timesteps_total"]
            == result["info"]["num_steps_sampled"]
            >= 2 * result["timesteps_this_iter"]
            > 0
        )
        assert result["info"]["num_steps_trained"] > 0
        assert (result["framework"], result["device"]) == (framework, "cpu")
        json.dumps(
            {key: value for key, value in result.items() if key != "config"}, allow_nan=False
        )

    def test_no_finished_episode_is_null_with_a_reason(self, name: str) -> None:
        algorithm = make(name, env="tests.envs.toy:TruncatedEnv", env_config={"length": 300})
        result = algorithm.train()
        if algorithm.cfg.batch_mode == "complete_episodes":
            assert result["episode_reward_mean"] == result["episode_len_mean"] == 300
            return
        keys = (
            "episode_reward_mean",
            "episode_reward_max",
            "episode_reward_min",
            "episode_len_mean",
        )
        assert [result[key] for key in keys] == [None] * 4
        assert result["episodes_this_iter"] == result["episodes_total"] == 0
        assert result["episode_reward_reason"] == "no episode has finished yet"

    def test_seeds_decide_everything(self, name: str) -> None:
        first, second, other = (make(name, seed=seed) for seed in (3, 3, 4))
        for _ in range(2):
            results = [repeatable(algorithm.train()) for algorithm in (first, second, other)]
        assert results[0] == results[1]
        assert same_state(first.learner.get_state(), second.learner.get_state())
        assert results[0] != results[2]
        assert not same_state(first.get_weights(), other.get_weights())

    def test_training_changes_the_weights_that_act(self, name: str) -> None:
        algorithm = make(name)
        before = flat(algorithm.get_weights()).copy()
        algorithm.train()
        assert not np.array_equal(before, flat(algorithm.get_weights()))
        assert same_state(algorithm.policy.params, algorithm.get_weights())
        algorithm.set_weights({key: 2 * value for key, value in algorithm.get_weights().items()})
        assert same_state(algorithm.policy.params, algorithm.get_weights())

    def test_a_learning_rate_of_nothing_learns_nothing(self, name: str) -> None:
        algorithm = make(name, lr=0.0)
        before = flat(algorithm.get_weights()).copy()
        algorithm.train()
        np.testing.assert_array_equal(before, flat(algorithm.get_weights()))

    def test_lr_schedule_is_what_is_used(self, name: str) -> None:
        algorithm = make(name, lr_schedule=[[0, 0.1], [1000, 0.0]])
        result = algorithm.train()
        assert (
            0.1 * (1 - result["timesteps_total"] / 1000)
            <= result["info"]["learner"]["cur_lr"]
            <= 0.1
        )
        sampled = result["timesteps_total"]
        result = algorithm.train()
        assert 0 < result["info"]["learner"]["cur_lr"] <= 0.1 * (1 - sampled / 1000)

    def test_what_the_loss_reads_of_the_config_is_built_anew_when_it_changes(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A compiled update keeps what its loss has read: whatever may change under it is a coefficient."""
        algorithm, read = make(name), set()

        class Watched:
            def __getattr__(self, key: str) -> Any:
                read.add(key)
                return getattr(algorithm_config, key)

        algorithm_config = algorithm.cfg
        loss = type(algorithm).loss

        def watched_loss(self: Any, *args: Any) -> Any:
            with monkeypatch.context() as patch:
                patch.setattr(self, "cfg", Watched())
                return loss(self, *args)

        monkeypatch.setattr(type(algorithm), "loss", watched_loss)
        reading = make(name)
        reading.train()
        fields = algorithm_config.fields_by_key()
        assert not {key for key in read if fields[key].metadata["rebuild"] != "learner"}

    def test_actions_without_exploration_are_the_policy_s(self, name: str) -> None:
        algorithm = make(name, observation_filter="MeanStdFilter")
        algorithm.train()
        rng = np.random.default_rng(0)
        observations = rng.normal(size=(20, 4)).astype(np.float32)
        alone = [algorithm.compute_action(obs) for obs in observations]
        assert alone == algorithm.policy.compute_actions(observations).tolist()
        assert alone == [algorithm.compute_action(obs) for obs in observations]
        assert all(isinstance(action, int) for action in alone)
        explored = [algorithm.compute_action(observations[0], explore=True) for _ in range(50)]
        assert len(set(explored)) == 2

    def test_asking_for_actions_leaves_training_alone(self, name: str) -> None:
        asked, alone = make(name), make(name)
        for _ in range(2):
            asked.compute_action(np.zeros(4), explore=True)
            assert repeatable(asked.train()) == repeatable(alone.train())

    def test_evaluation_leaves_training_alone(self, name: str) -> None:
        more = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}
        evaluating, plain = (
            make(name, evaluation_interval=2, evaluation_num_episodes=3, **more),
            make(name, **more),
        )
        for iteration in (1, 2, 3, 4):
            result, expected = (repeatable(algorithm.train()) for algorithm in (evaluating, plain))
            assert ("evaluation" in result) == (iteration % 2 == 0)
            evaluation = result.pop("evaluation", None)
            assert result == expected
        assert evaluation["episodes_this_eval"] == 3
        assert (
            evaluation["episode_reward_min"]
            <= evaluation["episode_reward_mean"]
            <= evaluation["episode_reward_max"]
        )
        assert not evaluation["explore"]
        assert same_state(evaluating.get_weights(), plain.get_weights())
        assert same_state(evaluating.policy.filter.get_state(), plain.policy.filter.get_state())

    def test_a_checkpoint_is_json_and_safetensors(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """T13.5"""
        algorithm = make(name, observation_filter="MeanStdFilter")
        algorithm.train()
        path = Path(algorithm.save())
        assert path.name == "checkpoint_1"
        for file in path.iterdir():
            if file.suffix == ".safetensors":
                load_file(file)
            else:
                assert file.suffix == ".json"
                json.loads(file.read_text())
        for loader in ("load", "loads", "Unpickler"):
            monkeypatch.delattr(pickle, loader)
        restored = get_trainable_cls(name).from_checkpoint(path)
        assert same_state(restored.learner.get_state(), algorithm.learner.get_state())

    def test_the_manifest_says_what_it_is(self, name: str) -> None:
        algorithm = make(name)
        result = algorithm.train()
        manifest = json.loads(Path(algorithm.save(), "manifest.json").read_text())
        assert manifest["format_version"] == 1
        assert manifest["algorithm"] == name
        assert manifest["config"]["env"] == "CartPole-v1" and manifest["config"]["seed"] == 7
        assert manifest["config"]["gamma"] == algorithm.cfg.gamma  # resolved: defaults too
        assert manifest["observation_space"]["type"] == "Box" and manifest["action_space"]["n"] == 2
        assert manifest["counters"]["iteration"] == 1
        assert manifest["counters"]["timesteps_total"] == result["timesteps_total"]
        assert manifest["versions"].keys() >= {"python", "numpy", "gymnasium", "torch"}
        assert manifest["exact"] is True
        assert set(manifest["files"]) == {f.name for f in Path(algorithm.save()).iterdir()} - {
            "manifest.json"
        }

    def test_a_checkpoint_goes_through_bytes(self, name: str) -> None:
        algorithm, other = make(name), make(name, seed=8)
        algorithm.train()
        other.train()
        packed = algorithm.save_to_object()
        other.restore_from_object(packed)
        assert same_state(other.get_state(), algorithm.get_state())
        assert other.get_counters() == algorithm.get_counters()
        assert repeatable(other.train()) == repeatable(algorithm.train())

    def test_totals_go_on_after_a_restore(self, name: str) -> None:
        """T13.5"""
        algorithm = make(name)
        before = [algorithm.train() for _ in range(3)][-1]
        restored = Algorithm.from_checkpoint(algorithm.save())
        assert type(restored) is type(algorithm)
        after = restored.train()
        assert after["training_iteration"] == 4 and after["iterations_since_restore"] == 1
        assert after["timesteps_total"] == before["timesteps_total"] + after["timesteps_this_iter"]
        assert after["episodes_total"] == before["episodes_total"] + after["episodes_this_iter"]
        assert after["timesteps_since_restore"] == after["timesteps_this_iter"]
        assert after["experiment_id"] == before["experiment_id"]

    @pytest.mark.parametrize("file", ["manifest.json", "learner.safetensors", "algorithm.json"])
    @pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
    def test_a_damaged_checkpoint_says_which_file(self, name: str, file: str, damage: str) -> None:
        algorithm = make(name)
        path = Path(algorithm.save(), file)
        data = bytearray(path.read_bytes())
        if damage == "gone":
            path.unlink()
        else:
            data[0] ^= 0xFF
            path.write_bytes(data if damage == "flipped" else data[len(data) // 2 :])
        before = flat(algorithm.get_weights()).copy()
        with pytest.raises(CheckpointError, match=file):
            algorithm.restore(str(path.parent))
        np.testing.assert_array_equal(before, flat(algorithm.get_weights()))

    def test_a_checkpoint_of_another_algorithm_is_refused(self, name: str) -> None:
        algorithm = make(name)
        path = Path(algorithm.save())
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**manifest, "algorithm": "SAC"}))
        with pytest.raises(CheckpointError, match=f"is a checkpoint of SAC, not of {name}"):
            algorithm.restore(str(path))
        with pytest.raises(CheckpointError, match=f"is a checkpoint of SAC, not of {name}"):
            type(algorithm).from_checkpoint(path)

    def test_weights_of_another_shape_are_refused_whole(self, name: str) -> None:
        wide, algorithm = make(name, model={"fcnet_hiddens": [8]}), make(name)
        wide.train()
        before = algorithm.get_state()
        with pytest.raises(ValueError, match="do not fit the model"):
            algorithm.restore(wide.save())
        assert same_state(before, algorithm.get_state()) and algorithm.iteration == 0

    def test_reset_config_leaves_nothing_of_the_former_trial(self, name: str) -> None:
        used = make(name, seed=1, lr=0.5, observation_filter="MeanStdFilter", evaluation_interval=1)
        used.train()
        config = small_config(type(used), seed=2, evaluation_interval=2, num_envs_per_worker=2)
        fresh = type(used)(config)
        assert used.reset_config(dict(config))
        for _ in range(2):
            assert repeatable(used.train()) == repeatable(fresh.train())
        assert same_state(used.get_state(), fresh.get_state())

    def test_a_seed_that_was_not_given_is_recorded(self, name: str) -> None:
        algorithm = make(name, seed=None)
        result = algorithm.train()
        again = make(name, seed=result["config"]["seed"])
        assert repeatable(again.train()) == repeatable(result)
        resumed = make(name, seed=None)
        resumed.restore(algorithm.save())
        assert repeatable(resumed.train()) == repeatable(algorithm.train())

    def test_resources_follow_the_config(self, name: str) -> None:
        """T13.2"""
        cls = get_trainable_cls(name)
        assert cls.default_resource_request({"env": "CartPole-v1"}) == Resources(cpu=1, gpu=0)
        config = {
            "env": "CartPole-v1",
            "num_workers": 3,
            "num_gpus": 1,
            "num_gpus_per_worker": 0.25,
            "num_cpus_for_driver": 2,
            "num_cpus_per_worker": 0.5,
            "custom_resources_per_worker": {"hi": 1},
        }
        expected = Resources(2, 1, extra_cpu=1.5, extra_gpu=0.75, extra_custom_resources={"hi": 3})
        assert cls.default_resource_request(config) == expected
        assert cls.placement_bundles(config) == [{"CPU": 0.5, "GPU": 0.25, "hi": 1}] * 3

    def test_a_gpu_that_is_not_there_is_one_warning(
        self, name: str, framework: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        algorithm = make(name, num_gpus=1)
        if algorithm.learner.device != "cpu":
            pytest.skip("there is a GPU")
        assert algorithm.train()["device"] == "cpu"
        assert [r.getMessage() for r in caplog.records if "GPU" in r.getMessage()] == [
            f"num_gpus is 1.0, but {framework} sees no GPU here: training on the CPU"
        ]

    def test_the_callback_may_change_a_result(self, name: str) -> None:
        def note(info: dict[str, Any]) -> None:
            info["result"]["custom_metrics"]["lr"] = info["trainer"].cfg.lr

        algorithm = make(name, callbacks={"on_train_result": note})
        assert algorithm.train()["custom_metrics"] == {"lr": algorithm.cfg.lr}
        assert Algorithm.from_checkpoint(algorithm.save()).train()["custom_metrics"] == {}
