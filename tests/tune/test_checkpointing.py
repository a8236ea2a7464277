"""Checkpoints, retries and restores of trials (T4.1 to T4.5, T4.9, T3.7)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.checkpoints import CheckpointKeeper, newest_complete
from rltune.tune.trial import ExportFormat, Trial
from tests.tune.trainables import Counter

run = partial(tune.run, trial_executor="local", verbose=0)


def saved(trial: Trial) -> list[str]:
    assert trial.logdir is not None
    return sorted(path.name for path in Path(trial.logdir).glob("checkpoint_*"))


def column(trial: Trial, name: str) -> list[Any]:
    assert trial.logdir is not None
    return [json.loads(line)[name] for line in Path(trial.logdir, "result.json").open()]


def run_metrics(*values: float | None, stop_at: int | None = None, **kwargs: Any) -> Trial:
    config = {"metrics": {"loss": list(values)}}
    stop = {"training_iteration": stop_at or len(values)}
    [trial] = run(Counter, config=config, stop=stop, checkpoint_freq=1, **kwargs)
    return trial


def test_t4_1_by_frequency_and_at_the_end() -> None:
    stop = {"count": 5}
    assert saved(run(Counter, stop=stop)[0]) == []
    [trial] = run(Counter, stop=stop, checkpoint_freq=2)
    assert saved(trial) == ["checkpoint_2", "checkpoint_4"]
    [trial] = run(Counter, stop=stop, checkpoint_freq=2, checkpoint_at_end=True)
    assert saved(trial) == ["checkpoint_2", "checkpoint_4", "checkpoint_5"]


def test_t4_1_as_the_result_says() -> None:
    config = {"metrics": {"should_checkpoint": [False, True, False]}}
    assert saved(run(Counter, config=config, stop={"count": 3})[0]) == ["checkpoint_2"]


def test_t4_2_the_best_are_kept() -> None:
    trial = run_metrics(1, 3, 2, 5, keep_checkpoints_num=2, checkpoint_score_attr="loss")
    assert saved(trial) == ["checkpoint_2", "checkpoint_4"]
    trial = run_metrics(5, 3, 4, 1, keep_checkpoints_num=2, checkpoint_score_attr="min-loss")
    assert saved(trial) == ["checkpoint_2", "checkpoint_4"]


def test_t4_2_by_default_the_last_are_kept() -> None:
    assert saved(run_metrics(5, 3, 4, 1, keep_checkpoints_num=2)) == [
        "checkpoint_3",
        "checkpoint_4",
    ]


def test_t4_2_no_score_no_checkpoint(caplog: pytest.LogCaptureFixture) -> None:
    nan = float("nan")
    trial = run_metrics(1, nan, 2, keep_checkpoints_num=1, checkpoint_score_attr="loss")
    assert saved(trial) == ["checkpoint_3"]
    trial = run_metrics(1, keep_checkpoints_num=1, checkpoint_score_attr="other")
    assert saved(trial) == [] and "no score" in caplog.text


def test_t4_2_a_nested_attribute() -> None:
    keeper = CheckpointKeeper(1, "evaluation/reward")
    assert keeper.wants({"evaluation": {"reward": 1}})
    keeper.add("a", {"evaluation": {"reward": 1}})
    assert not keeper.wants({"evaluation": {"reward": 1}})
    assert keeper.add("b", {"evaluation": {"reward": 2}}) == ["a"]


def test_t4_3_failures_are_counted() -> None:
    for frequency in (0, 1):
        [trial] = run(
            Counter,
            config={"fail_at": 1},
            checkpoint_freq=frequency,
            max_failures=2,
            raise_on_failed_trial=False,
        )
        assert trial.status == "ERROR" and trial.num_failures == 3
        assert len(list(Path(trial.logdir).glob("error_*.txt"))) == 3


def test_t4_3_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    config = {"fail_at": 8, "once": str(tmp_path / "failed")}
    [trial] = run(Counter, config=config, stop={"count": 10}, checkpoint_freq=5)
    assert trial.status == "TERMINATED" and trial.num_failures == 1
    assert column(trial, "training_iteration") == [1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10]
    assert column(trial, "iterations_since_restore") == [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5]


def test_t4_3_without_checkpoints_from_scratch(tmp_path: Path) -> None:
    config = {"fail_at": 3, "once": str(tmp_path / "failed")}
    [trial] = run(Counter, config=config, stop={"count": 4})
    assert column(trial, "training_iteration") == [1, 2, 1, 2, 3, 4]


def test_t4_3_a_repeated_iteration_replaces_its_checkpoint(tmp_path: Path) -> None:
    config = {"fail_at": 3, "once": str(tmp_path / "failed")}
    [trial] = run(
        Counter, config=config, stop={"count": 4}, checkpoint_freq=2, keep_checkpoints_num=1
    )
    assert saved(trial) == ["checkpoint_4"]


def test_t4_4_restore() -> None:
    [first] = run(Counter, stop={"count": 3}, checkpoint_at_end=True)
    [second] = run(Counter, stop={"count": 5}, restore=first.checkpoint.value)
    assert column(second, "training_iteration") == [4, 5]


def test_t4_4_a_restore_that_cannot_be_is_an_error_of_the_trial(results_dir: Path) -> None:
    [trial] = run(
        Counter, stop={"count": 2}, restore="/no/such/checkpoint", raise_on_failed_trial=False
    )
    assert trial.status == "ERROR" and trial.num_failures == 1
    assert not Path(trial.logdir, "result.json").read_text()
    text = Path(trial.error_file).read_text()
    assert "restore='/no/such/checkpoint'" in text and "FileNotFoundError" in text


def test_t3_7_a_failing_constructor_gets_one_more_start(tmp_path: Path) -> None:
    starts: list[int] = []

    class Fails(Counter):
        def _setup(self, config: dict[str, Any]) -> None:
            starts.append(1)
            raise ValueError("no setup")

    [trial] = run(Fails, raise_on_failed_trial=False, max_failures=5)
    assert len(starts) == 2 and trial.status == "ERROR"
    assert "no setup" in Path(trial.error_file).read_text()


def test_a_trainable_that_leaves_the_process_is_a_failed_trial() -> None:
    class Exits(Counter):
        def _train(self) -> dict[str, Any]:
            raise SystemExit(3)

    [trial] = run(Exits, raise_on_failed_trial=False, max_failures=0)
    assert trial.status == "ERROR" and "SystemExit: 3" in Path(trial.error_file).read_text()


class Exports(Counter):
    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        ExportFormat.validate(export_formats)
        Path(export_dir, "exported").write_text(",".join(export_formats))
        return {"model": f"{export_dir}/exported"}


def test_t4_9_export() -> None:
    [trial] = run(Exports, stop={"count": 1}, export_formats=[" Model "])
    assert Path(trial.logdir, "exported").read_text() == "model"
    with pytest.raises(tune.TuneError):
        run(Exports, stop={"count": 1}, export_formats=["format"])


def test_export_format_refuses_others() -> None:
    with pytest.raises(tune.TuneError, match="'h5'"):
        ExportFormat.validate(["model", "h5"])


@pytest.mark.parametrize("marker", ["model.tune_metadata", "manifest.json"])
def test_only_complete_checkpoints_count(tmp_path: Path, marker: str) -> None:
    for number in (2, 9, 10, 11):
        (tmp_path / f"checkpoint_{number}").mkdir()
    for number in (2, 10):
        (tmp_path / f"checkpoint_{number}" / marker).touch()
    name = "checkpoint_10" + ("/model" if marker.startswith("model") else "")
    assert newest_complete(str(tmp_path)) == str(tmp_path / name)
    assert newest_complete(str(tmp_path / "checkpoint_9")) is None


def test_a_checkpoint_in_use_is_removed_when_it_is_let_go(tmp_path: Path) -> None:
    class Copies(tune.schedulers.FIFOScheduler):  # type: ignore[name-defined, misc]
        held: str | None = None
        kept = False

        def on_trial_result(self, runner: Any, trial: Any, result: dict[str, Any]) -> str:
            in_use = runner.trial_executor.checkpoints_in_use
            if result["count"] == 2:
                self.held = trial.checkpoint.value
                in_use.hold(self.held)
                in_use.hold(self.held)
            if result["count"] == 4:
                in_use.release(self.held)
                self.kept = Path(self.held).exists() and trial.checkpoint.value != self.held
                in_use.release(self.held)
            return self.CONTINUE

    scheduler = Copies()
    [trial] = run(
        Counter,
        stop={"count": 5},
        checkpoint_freq=1,
        keep_checkpoints_num=1,
        scheduler=scheduler,
    )
    assert scheduler.kept and scheduler.held is not None
    assert [p.name for p in Path(trial.logdir).glob("checkpoint_*")] == ["checkpoint_5"]
