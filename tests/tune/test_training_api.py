"""What a run promises to trainables, loggers and syncs, from its start to its end (T2, T5 to T7)."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import trainable as trainables
from rltune import tune
from rltune.tune.logger import DEFAULT_LOGGERS, Logger
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.suggest import BasicVariantGenerator
from tests.tune.trainables import Counter, Resettable

run = partial(tune.run, trial_executor="local", verbose=0)


def lines(trial: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(trial.logdir, "result.json").open()]


class MyClass(tune.Trainable):
    """The guide's class: a path for a checkpoint, files in it, an export, and an end."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.saver = config["start"]

    def _train(self) -> dict[str, Any]:
        self.saver += 1
        return {"mean_accuracy": self.saver}

    def _save(self, checkpoint_dir: str) -> str:
        Path(checkpoint_dir, "save-data").write_bytes(pickle.dumps(self.saver))
        return f"{checkpoint_dir}/save"  # a prefix of what was written

    def _restore(self, checkpoint: Any) -> None:
        self.saver = pickle.loads(Path(f"{checkpoint}-data").read_bytes())

    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        return dict.fromkeys(export_formats, export_dir)

    def _stop(self) -> None:
        Path(self.logdir, "stopped").touch()


def test_t2_1_the_end_of_a_function_is_heard_of_once() -> None:
    heard: list[tuple[str, Any, Any]] = []

    class Hears(FIFOScheduler):
        def on_trial_complete(self, runner: Any, trial: Any, result: dict[str, Any]) -> None:
            heard.append(("scheduler", result["x"], result["done"]))

    class Searches(BasicVariantGenerator):
        def on_trial_complete(self, *trial_id: Any, result: Any = None, **how: Any) -> None:
            heard.append(("search", result["x"], result["done"]))

    def report(config: dict[str, Any], reporter: Any) -> None:
        reporter(x=1)
        reporter(x=2)

    run(report, scheduler=Hears(), search_alg=Searches())
    assert heard == [("scheduler", 2, True), ("search", 2, True)]


def test_t2_2_the_class_of_the_guide() -> None:
    config = {"start": 0}
    kept: dict[str, Any] = {"checkpoint_freq": 2, "checkpoint_at_end": True}
    [trial] = run(MyClass, config=config, stop={"mean_accuracy": 5}, **kept)
    assert trial.logdir is not None and Path(trial.logdir, "stopped").exists()
    assert trial.checkpoint.value == f"{trial.logdir}/checkpoint_5/save"
    path = f"{trial.logdir}/checkpoint_4/save"
    [again] = run(MyClass, name="b", config=config, stop={"mean_accuracy": 6}, restore=path)
    assert [line["mean_accuracy"] for line in lines(again)] == [5, 6]


def test_t2_2_what_a_trainable_says_of_itself(tmp_path: Path) -> None:
    mine = MyClass({"start": 1})
    assert mine.current_ip() == trainables.node_ip() and mine.get_config() == {"start": 1}
    assert mine.export_model(["model"]) == {"model": mine.logdir}
    assert mine.export_model(["model"], str(tmp_path)) == {"model": str(tmp_path)}
    assert MyClass.default_resource_request({}) is None and MyClass.resource_help({}) == ""
    assert mine.reset_config({}) is False


def test_t2_2_a_slow_setup_says_what_helps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="rltune")
    Counter()
    assert "reuse_actors" not in caplog.text
    monkeypatch.setattr(trainables, "SLOW_SETUP_S", -1.0)
    Counter()
    assert "reuse_actors" in caplog.text


def test_t2_2_a_reset_takes_on_the_new_config() -> None:
    from rltune.tune.host import StartOrder, TrialHost

    tune.register_trainable("Resettable", Resettable)
    host = TrialHost(chdir=False)
    host.start(StartOrder("Resettable", {"a": 1}, os.environ["TUNE_RESULT_DIR"]), None)
    assert host.reset_config({"a": 2}) is True
    assert host.call("get_config") == {"a": 2}
    assert host.reset_config({"refuse": True}) is False
    assert host.call("get_config") == {"a": 2}
    host.stop()


def test_t2_3_a_large_object_is_mentioned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="rltune")
    monkeypatch.setattr(trainables, "LARGE_OBJECT_BYTES", 10)
    Counter().save_to_object()
    assert "kept in memory" in caplog.text


def test_t5_2_what_the_driver_fills_in() -> None:
    [trial] = run(Counter, stop={"count": 2}, config={"metrics": {"trial_id": ["mine", "mine"]}})
    assert [line["done"] for line in lines(trial)] == [False, True]
    assert re.fullmatch("[0-9a-f]{8}", trial.trial_id)
    assert {line["trial_id"] for line in lines(trial)} == {trial.trial_id}


class A(Logger):
    def on_result(self, result: dict[str, Any]) -> None:
        with open(os.path.join(self.logdir, type(self).__name__), "a") as file:
            file.write(f"{result['count']} ")


class B(A):
    pass


@pytest.mark.parametrize(
    ("loggers", "default"), [((A, B), False), (DEFAULT_LOGGERS + (A, B), True)]
)
def test_t6_5_loggers_replace_the_default_ones_or_join_them(loggers: Any, default: bool) -> None:
    assert isinstance(DEFAULT_LOGGERS, tuple)
    [trial] = run(Counter, stop={"count": 2}, loggers=loggers)
    assert trial.logdir is not None
    directory = Path(trial.logdir)
    assert (directory / "A").read_text() == (directory / "B").read_text() == "1 2 "
    assert (directory / "result.json").exists() is default


def test_t7_2_a_template_copies_the_final_state(tmp_path: Path) -> None:
    copy = "mkdir -p {remote_dir} && cp -r {local_dir}/. {remote_dir}"
    [trial] = run(
        Counter,
        name="x",
        stop={"count": 2},
        upload_dir=str(tmp_path / "up"),
        sync_function=copy,
    )
    assert trial.logdir is not None
    copied = tmp_path / "up" / "x" / Path(trial.logdir).name / "result.json"
    assert copied.read_text() == Path(trial.logdir, "result.json").read_text()
    assert len(copied.read_text().splitlines()) == 2
    assert '"TERMINATED"' in "".join(
        path.read_text().replace("\\", "")
        for path in (tmp_path / "up" / "x").glob("experiment_state-*.json")
    )


@pytest.mark.parametrize("argument", ["sync_function", "sync_to_cloud"])
def test_t7_2_a_function_gets_both_directories(argument: str, results_dir: Path) -> None:
    calls: list[tuple[str, str]] = []

    def sync(source: str, target: str) -> None:
        calls.append((source, target))

    for function in (sync, tune.function(sync)):
        how: dict[str, Any] = {argument: function}
        run(Counter, name="x", stop={"count": 1}, upload_dir="any://up", **how)
        assert calls and set(calls) == {(str(results_dir / "x"), "any://up/x")}
        calls.clear()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"upload_dir": "/up", "sync_to_cloud": "cp {source}"}, ValueError, "{target}"),
        ({"upload_dir": "/up", "sync_function": "cp {source}"}, ValueError, "{local_dir}"),
        ({"upload_dir": "ftp://x"}, tune.TuneError, "s3://, gs://"),
        ({"sync_to_cloud": "cp {source} {target}"}, AssertionError, "upload_dir"),
    ],
)
def test_t7_1_t7_2_bad_syncs_are_refused_before_anything_runs(
    arguments: dict[str, Any], error: type[Exception], words: str, results_dir: Path
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        run(Counter, stop={"count": 1}, **arguments)
    assert not results_dir.exists()
