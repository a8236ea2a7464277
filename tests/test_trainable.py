"""Trainable: the class API (T2.2), saving and restoring (T2.3) and filled-in results (T5.2)."""

from __future__ import annotations

import os
import pickle
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltune.trainable import Trainable
from rltune.tune.logger import NoopLogger


class Reports(Trainable):
    """Reports `config["results"]` one after another."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.done = 0

    def _train(self) -> dict[str, Any]:
        self.done += 1
        return dict(self.config["results"][self.done - 1])

    def _save(self, checkpoint_dir: str) -> Any:
        return {"done": self.done}

    def _restore(self, checkpoint: Any) -> None:
        self.done = checkpoint["done"]
        self.restored = checkpoint


class WritesFiles(Reports):
    def _save(self, checkpoint_dir: str) -> Any:
        Path(checkpoint_dir, "sub").mkdir()
        Path(checkpoint_dir, "sub", "weights").write_text(str(self.done))
        return os.path.join(checkpoint_dir, "model")  # a prefix: there is no such file

    def _restore(self, checkpoint: Any) -> None:
        self.done = int(Path(checkpoint).parent.joinpath("sub", "weights").read_text())


def make(cls: type[Trainable], logdir: Path, *results: dict[str, Any], **config: Any) -> Any:
    logdir.mkdir(parents=True, exist_ok=True)
    config["results"] = list(results) or [{}] * 10
    return cls(config, logger_creator=lambda config: NoopLogger(config, str(logdir)))


def test_t2_2_setup_may_take_no_argument(tmp_path: Path) -> None:
    class NoArgument(Trainable):
        def _setup(self) -> None:  # type: ignore[override]
            self.ready = self.config["x"]

    assert NoArgument({"x": 3}).ready == 3


class CountsItself(Trainable):
    def _setup(self, config: dict[str, Any]) -> None:
        self.iteration = 10

    def _train(self) -> dict[str, Any]:
        self.iteration += 1
        return {"own": self.iteration}


def test_t2_2_a_subclass_may_count_iterations_itself(tmp_path: Path) -> None:
    trainable = make(CountsItself, tmp_path)
    trainable.train()
    result = trainable.train()
    assert (result["own"], result["training_iteration"]) == (12, 2)


def test_t2_2_setup_gets_a_copy_of_the_config(tmp_path: Path) -> None:
    class Changes(Reports):
        def _setup(self, config: dict[str, Any]) -> None:
            config["inner"]["x"] = 2

    assert make(Changes, tmp_path, inner={"x": 1}).config["inner"] == {"x": 1}


def test_t2_2_without_overrides_the_methods_are_not_implemented() -> None:
    trainable = Trainable()
    for call in (trainable.train, trainable.save):
        with pytest.raises(NotImplementedError):
            call()


def test_t2_2_train_must_return_a_dict(tmp_path: Path) -> None:
    class ReturnsList(Reports):
        def _train(self) -> Any:
            return [1]

    with pytest.raises(AssertionError, match="must return a dict"):
        make(ReturnsList, tmp_path).train()


@pytest.mark.parametrize("returned", ["/somewhere/else", 5, None])
def test_t2_2_save_must_return_a_path_inside_or_a_dict(tmp_path: Path, returned: Any) -> None:
    class SavesWrongly(Reports):
        def _save(self, checkpoint_dir: str) -> Any:
            return returned

    with pytest.raises(ValueError, match="path in"):
        make(SavesWrongly, tmp_path).save()


def test_t2_2_outside_a_runner_it_logs_below_the_results_dir(results_dir: Path) -> None:
    trainable = Reports({"results": [{"x": 1}]})
    assert not results_dir.exists()  # made when it is needed
    trainable.train()
    trainable.stop()
    assert Path(trainable.logdir).parent == results_dir
    assert Path(trainable.logdir, "result.json").read_text().count("\n") == 1


@pytest.mark.parametrize("cls", [Reports, WritesFiles])
@pytest.mark.parametrize("in_memory", [False, True])
def test_t2_3_restore_goes_on(tmp_path: Path, cls: type[Trainable], in_memory: bool) -> None:
    first, second = make(cls, tmp_path / "a"), make(cls, tmp_path / "b")
    for _ in range(3):
        last = first.train()
    if in_memory:
        second.restore_from_object(first.save_to_object())
    else:
        second.restore(first.save())
    result = second.train()
    assert result["training_iteration"] == 4
    assert result["iterations_since_restore"] == 1
    assert result["experiment_id"] == last["experiment_id"]
    assert result["time_total_s"] > result["time_since_restore"]
    assert second.done == 4


def test_t2_3_metadata_beside_the_path_has_exactly_these_keys(tmp_path: Path) -> None:
    trainable = make(WritesFiles, tmp_path)
    trainable.train()
    path = trainable.save()
    assert path == str(tmp_path / "checkpoint_1" / "model")
    metadata = pickle.loads(Path(f"{path}.tune_metadata").read_bytes())
    assert set(metadata) == {
        "experiment_id",
        "iteration",
        "timesteps_total",
        "time_total",
        "episodes_total",
        "saved_as_dict",
    }
    assert metadata["iteration"] == 1 and metadata["saved_as_dict"] is False


def test_t2_3_a_dict_comes_back_with_its_path(tmp_path: Path) -> None:
    trainable = make(Reports, tmp_path)
    path = trainable.save()
    trainable.restore(path)
    assert trainable.restored == {"done": 0, "tune_checkpoint_path": path}


def test_t2_3_each_iteration_has_its_own_path(tmp_path: Path) -> None:
    trainable = make(Reports, tmp_path)
    first = trainable.save()
    trainable.train()
    assert trainable.save() != first


def test_t2_3_nothing_is_left_of_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    trainable = make(WritesFiles, tmp_path / "trial")
    trainable.restore_from_object(trainable.save_to_object())
    assert list((tmp_path / "trial").iterdir()) == []
    assert not [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
    trainable.stop()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_t2_3_an_object_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = make(Reports, tmp_path)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    trainable.save_to_object()
    assert synced == []
    trainable.save()
    assert synced != []


@pytest.mark.parametrize("cls", [Reports, WritesFiles])
def test_t2_3_delete_checkpoint_removes_its_directory(tmp_path: Path, cls: type[Trainable]) -> None:
    trainable = make(cls, tmp_path)
    trainable.delete_checkpoint(trainable.save())
    assert list(tmp_path.iterdir()) == []


def test_t2_3_a_failed_save_leaves_no_complete_checkpoint(tmp_path: Path) -> None:
    class Fails(Reports):
        def _save(self, checkpoint_dir: str) -> Any:
            if self.done > 1:
                raise OSError("disk full")
            return super()._save(checkpoint_dir)

    trainable = make(Fails, tmp_path)
    trainable.train()
    path = trainable.save()
    trainable.done = 2
    with pytest.raises(OSError):
        trainable.save()
    assert not Path(f"{path}.tune_metadata").exists()


# T5.2, row by row.


def last(tmp_path: Path, *results: dict[str, Any]) -> dict[str, Any]:
    trainable = make(Reports, tmp_path, *results)
    return [trainable.train() for _ in results][-1]


def test_t5_2_done_and_iteration(tmp_path: Path) -> None:
    assert last(tmp_path, {}, {})["training_iteration"] == 2
    assert last(tmp_path, {})["done"] is False
    assert last(tmp_path, {"done": True})["done"] is True
    assert last(tmp_path, {"training_iteration": 7})["training_iteration"] == 7


def test_t5_2_time_is_measured_or_the_users(tmp_path: Path) -> None:
    assert 0 < last(tmp_path, {})["time_this_iter_s"] < 1
    result = last(tmp_path, {"time_this_iter_s": 2}, {"time_this_iter_s": 3, "time_total_s": 99})
    assert result["time_total_s"] == result["time_since_restore"] == 5


def test_t5_2_timesteps_are_summed(tmp_path: Path) -> None:
    result = last(tmp_path, *[{"timesteps_this_iter": np.int64(3)}] * 10)
    assert result["timesteps_total"] == result["timesteps_since_restore"] == 30
    assert type(result["timesteps_total"]) is int


def test_t5_2_a_total_of_the_user_wins(tmp_path: Path) -> None:
    result = last(tmp_path, {"timesteps_total": 5}, {"timesteps_total": 5})
    assert result["timesteps_total"] == 5
    assert "timesteps_this_iter" not in result


@pytest.mark.parametrize("kind", ["timesteps", "episodes"])
def test_t5_2_totals_without_increments(tmp_path: Path, kind: str) -> None:
    assert last(tmp_path, {})[f"{kind}_total"] is None
    assert last(tmp_path, {f"{kind}_this_iter": 0})[f"{kind}_total"] == 0
    assert last(tmp_path, {f"{kind}_this_iter": 2}, {})[f"{kind}_total"] == 2


def test_t5_2_neg_mean_loss(tmp_path: Path) -> None:
    assert last(tmp_path, {"mean_loss": 0.5})["neg_mean_loss"] == -0.5
    assert "neg_mean_loss" not in last(tmp_path, {"mean_loss": 0})
    assert last(tmp_path, {"mean_loss": 1, "neg_mean_loss": 3})["neg_mean_loss"] == 3


def test_t5_2_identity(tmp_path: Path) -> None:
    trainable = make(Reports, tmp_path)
    first, second = trainable.train(), trainable.train()
    assert re.fullmatch("[0-9a-f]{32}", first["experiment_id"])
    assert first["experiment_id"] == second["experiment_id"]
    assert re.fullmatch(r"\d{4}(-\d\d){2}_\d\d(-\d\d){2}", first["date"])
    assert first["pid"] == os.getpid() and first["hostname"] == socket.gethostname()
    assert type(first["timestamp"]) is int
    assert first["config"] == trainable.config
    assert re.fullmatch(r"[\d.]+", first["node_ip"])


def test_t5_2_metrics_are_never_invented(tmp_path: Path) -> None:
    assert not {"mean_loss", "mean_accuracy", "episode_reward_mean", "perf"} & set(
        last(tmp_path, {})
    )


def test_t5_2_perf_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltune.system_usage.INTERVAL_S", 0.01)
    trainable = make(Reports, tmp_path, *[{}] * 500, log_sys_usage=True)
    while "perf" not in (result := trainable.train()):
        trainable._usage._stopped.wait(0.01)
    trainable.stop()
    assert set(result["perf"]) >= {"cpu_util_percent", "ram_util_percent"}
    assert 0 <= result["perf"]["ram_util_percent"] <= 100


def test_inheriting_is_restoring_unless_a_class_says_otherwise(tmp_path: Path) -> None:
    donor, heir = make(Reports, tmp_path / "a"), make(Reports, tmp_path / "b", mine=True)
    donor.train()
    heir.inherit(donor.save())
    assert heir.done == 1 and heir.iteration == 1 and heir.config["mine"]
    donor.train()
    heir.inherit_from_object(donor.save_to_object())
    assert heir.done == 2 and heir.iteration == 2
    assert not list((tmp_path / "b").iterdir())


def test_a_class_may_inherit_in_its_own_way(tmp_path: Path) -> None:
    class Keeps(Reports):
        def inherit(self, checkpoint_path: str) -> None:
            own = self.config["own"]
            super().inherit(checkpoint_path)
            self.kept = own

    donor, heir = make(Reports, tmp_path / "a"), make(Keeps, tmp_path / "b", own=3)
    donor.train()
    heir.inherit_from_object(donor.save_to_object())
    assert heir.kept == 3 and heir.done == 1
