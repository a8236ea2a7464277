"""Launching experiments (T1) and the training API (T2), on the executor without Ray."""

from __future__ import annotations

import inspect
import json
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.config import ConfigError
from rltune.tune import track
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter

run = partial(tune.run, trial_executor="local", verbose=0)


def results(trial: Trial) -> list[dict[str, Any]]:
    assert trial.logdir is not None
    return [json.loads(line) for line in Path(trial.logdir, "result.json").open()]


def report_once(config: dict[str, Any], reporter: Any) -> None:
    reporter(**{"value": 1, **config})


def report_ten(config: dict[str, Any], reporter: Any) -> None:
    for i in range(10):
        reporter(time=i, a={"b": i})


class Picky(Counter):
    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        problems = [f"{key} is not known" for key in config if key != "metrics"]
        if problems:
            raise ConfigError(problems)


def test_t1_1_signature() -> None:
    parameters = inspect.signature(tune.run).parameters.values()
    positional = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    del positional["run_or_experiment"]
    assert positional == dict(
        name=None, stop=None, config=None, resources_per_trial=None, num_samples=1,
        local_dir=None, upload_dir=None, trial_name_creator=None, loggers=None,
        sync_to_cloud=None, sync_to_driver=None, checkpoint_freq=0, checkpoint_at_end=False,
        keep_checkpoints_num=None, checkpoint_score_attr=None, global_checkpoint_period=10,
        export_formats=None, max_failures=3, restore=None, search_alg=None, scheduler=None,
        with_server=False, server_port=4321, verbose=2, resume=False, queue_trials=False,
        reuse_actors=False, trial_executor=None, raise_on_failed_trial=True,
        return_trials=False, ray_auto_init=True, sync_function=None,
    )  # fmt: skip


def test_t1_2_functions_and_classes_run_under_their_name() -> None:
    assert str(run(report_once)[0]) == "report_once_0"
    assert str(run(Counter, stop={"count": 1})[0]) == "Counter_0"
    assert str(run("Counter", stop={"count": 1})[0]) == "Counter_0"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no_such", "Unknown trainable: no_such"),
        (partial(report_once), "cannot be run"),
        (5, "cannot be run"),
        (lambda config, reporter: None, "register_trainable"),
    ],
)
def test_t1_2_what_cannot_be_run(results_dir: Path, what: Any, message: str) -> None:
    with pytest.raises(tune.TuneError, match=message):
        run(what)
    assert not results_dir.exists()


def test_t1_2_an_experiment_says_everything_itself() -> None:
    experiment = tune.Experiment("mine", Counter, stop={"count": 2})
    [trial] = run(experiment, name="other", stop={"count": 9})
    assert trial.last_result["count"] == 2
    assert Path(trial.local_dir).name == "mine"


def test_t1_2_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(report_once)[0].local_dir == str(tmp_path / "results" / "report_once")
    [trial] = run(report_once, name="n", local_dir=str(tmp_path / "other"))
    assert trial.local_dir == str(tmp_path / "other" / "n")
    assert Path(trial.logdir).parent == Path(trial.local_dir)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(report_once, local_dir="~/x")[0].local_dir == str(tmp_path / "x" / "report_once")


def test_t1_2_no_loggers_at_all() -> None:
    [trial] = run(report_once, loggers=[])
    assert list(Path(trial.logdir).iterdir()) == []


def test_t1_3_the_return_value() -> None:
    analysis = run(report_once, config={"x": tune.grid_search([1, 2])})
    assert isinstance(analysis, tune.ExperimentAnalysis)
    first, second = analysis
    assert [first, second] == analysis.trials and len(analysis) == 2 and analysis[0] is first
    assert first.status == "TERMINATED" and first.config == {"x": 1}
    assert isinstance(analysis.stats()["start_time"], float)
    assert isinstance(run(report_once, return_trials=True), list)


def test_t1_4_experiments_run_one_after_another() -> None:
    trials = tune.run_experiments(
        {"one": {"run": report_once}, "two": {"run": report_once}},
        trial_executor="local",
        verbose=0,
    )
    assert [Path(trial.local_dir).name for trial in trials] == ["one", "two"]
    assert results(trials[0])[-1]["timestamp"] <= results(trials[1])[0]["timestamp"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "No trainable specified"),
        ({"run": report_once, "bah": 1}, "'bah'"),
        ({"run": report_once, "num_sample": 1}, "mean 'num_samples'"),
        ({"run": "nope"}, "Unknown trainable"),
        ({"run": report_once, "repeat": 2}, "num_samples"),
        ({"run": report_once, "trial_resources": {}}, "resources_per_trial"),
        ({"run": report_once, "keep_checkpoints_num": 0}, "at least 1"),
    ],
)
def test_t1_4_bad_specs(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(tune.TuneError, match=message):
        tune.run_experiments({"foo": spec}, trial_executor="local")


def test_t1_4_other_types_and_env() -> None:
    with pytest.raises(tune.TuneError):
        tune.run_experiments(5)
    spec = {"run": report_once, "env": "X"}
    [trial] = tune.run_experiments({"foo": spec}, trial_executor="local", verbose=0)
    assert trial.config["env"] == "X"


def test_t1_5_a_registered_lambda_runs_by_its_id() -> None:
    tune.register_trainable("lambda_id", lambda config: track.log(value=config["x"]))
    [trial] = run("lambda_id", config={"x": 7})
    assert trial.last_result["value"] == 7


@pytest.mark.parametrize(
    ("stop", "iterations"),
    [
        ({"training_iteration": 3}, 3),
        ({"a": {"b": 6}}, 7),
        ({"a/b": 4}, 5),
        ({"time": 8, "a": {"b": 2}}, 3),
        ({"time": "<= 0"}, 1),
        ({"a": {"b": ">=1"}}, 2),
        ({"a/b": "> 1"}, 3),
        ({"time": "< -1e3", "a": {"b": 4}}, 5),
        ({"timesteps_total": 5}, 10),  # there, but None
    ],
)
def test_t1_6_stop(stop: dict[str, Any], iterations: int) -> None:
    [trial] = run(report_ten, stop=stop)
    assert len(results(trial)) == iterations


def test_t1_6_a_missing_criterion_is_an_error_of_the_trial() -> None:
    with pytest.raises(tune.TuneError, match="did not complete"):
        run(report_ten, stop={"tme": 10})
    [trial] = run(report_ten, stop={"tme": 10}, raise_on_failed_trial=False)
    assert trial.status == "ERROR" and trial.num_failures == 1
    assert "'tme' is not in the result; did you mean 'time'?" in Path(trial.error_file).read_text()


def test_t1_6_limits_are_numbers(results_dir: Path) -> None:
    for bad in ("ten", "= 5", "<=", "<= ten", "< nan", "10", None, [1]):
        with pytest.raises(tune.TuneError, match="'a/b' must be a number, or text .*not") as caught:
            run(report_ten, stop={"a": {"b": bad}})
        assert repr(bad) in str(caught.value)
    assert not results_dir.exists()


def test_t1_9_samples_repeat_the_grid() -> None:
    config = {"x": tune.grid_search([1, 2]), "y": tune.uniform(0, 1)}
    trials = run(report_once, config=config, num_samples=3).trials
    assert [trial.config["x"] for trial in trials] == [1, 2] * 3
    assert len({trial.config["y"] for trial in trials}) == 6
    assert [trial.experiment_tag.partition("_")[0] for trial in trials] == list("012345")


def test_t1_10_a_config_belongs_to_its_trial() -> None:
    seen: list[dict[str, Any]] = []

    def spoil(config: dict[str, Any], reporter: Any) -> None:
        seen.append(json.loads(json.dumps(config)))
        config["inner"].append(1)
        reporter(x=1)

    config = {"inner": [], "x": tune.grid_search([1, 2])}
    trials = run(spoil, config=config).trials
    assert seen == [{"inner": [], "x": 1}, {"inner": [], "x": 2}]
    assert config["inner"] == [] and trials[0].config == {"inner": [], "x": 1}


def test_t1_11_failures() -> None:
    def fail(config: dict[str, Any], reporter: Any) -> None:
        reporter(x=1)
        raise ValueError("what went wrong")

    with pytest.raises(tune.TuneError) as caught:
        run(fail, max_failures=0)
    text, [trial] = caught.value.args
    assert text == "Trials did not complete"
    error = Path(trial.error_file)
    assert error.parent == Path(trial.logdir)
    assert 'raise ValueError("what went wrong")' in error.read_text()
    assert [r["x"] for r in results(trial)] == [1]
    assert run(fail, raise_on_failed_trial=False)[0].status == "ERROR"


def test_all_problems_come_before_anything_is_made(results_dir: Path) -> None:
    config = {tuned: tune.grid_search([1, 2]) for tuned in ("wrong", "bad")}
    with pytest.raises(ConfigError) as caught:
        run(Picky, config=config, stop={"count": 1})
    assert sorted(caught.value.problems) == ["bad is not known", "wrong is not known"]
    assert not results_dir.exists()
    assert run(Picky, stop={"count": 1})[0].status == "TERMINATED"


def test_t2_1_a_hundred_reports() -> None:
    def report(config: dict[str, Any], reporter: Any) -> None:
        for i in range(100):
            reporter(timesteps_total=i)

    [trial] = run(report)
    lines = results(trial)
    assert [line["timesteps_total"] for line in lines] == list(range(100))
    assert [line["training_iteration"] for line in lines] == list(range(1, 101))
    assert not any(line["done"] for line in lines) and trial.status == "TERMINATED"
    assert trial.last_result["done"] is False


def test_t2_1_done_ends_a_function_that_goes_on() -> None:
    begin = time.monotonic()

    def report(config: dict[str, Any], reporter: Any) -> None:
        reporter(x=1, done=True)
        time.sleep(9999)

    [trial] = run(report)
    assert results(trial)[-1]["done"] is True
    assert time.monotonic() - begin < 5


def test_t2_1_reports_are_in_lock_step() -> None:
    order: list[str] = []

    class Hears(tune.schedulers.FIFOScheduler):  # type: ignore[name-defined, misc]
        def on_trial_result(self, runner: Any, trial: Any, result: dict[str, Any]) -> str:
            order.append(f"decided {result['i']}")
            return self.CONTINUE

    def report(config: dict[str, Any], reporter: Any) -> None:
        for i in range(3):
            reporter(i=i)
            order.append(f"went on after {i}")

    run(report, scheduler=Hears())
    assert order == [f"{what} {i}" for i in range(3) for what in ("decided", "went on after")]


def test_t2_1_a_stopped_function_unwinds_and_its_thread_ends() -> None:
    unwound = threading.Event()

    def report(config: dict[str, Any], reporter: Any) -> None:
        try:
            while True:
                reporter(x=1)
        finally:
            unwound.set()

    run(report, stop={"training_iteration": 2})
    assert unwound.wait(5)


def test_t2_1_returning_without_a_report_is_an_error() -> None:
    [trial] = run(lambda_free_silence, max_failures=0, raise_on_failed_trial=False)
    assert trial.status == "ERROR"
    assert "returned without reporting" in Path(trial.error_file).read_text()


def lambda_free_silence(config: dict[str, Any], reporter: Any) -> None:
    pass


@pytest.mark.parametrize("how", [{"checkpoint_freq": 1}, {"checkpoint_at_end": True}])
def test_t2_1_functions_cannot_be_checkpointed(how: dict[str, Any]) -> None:
    [trial] = run(report_once, **how, stop={"value": 1}, raise_on_failed_trial=False)
    assert trial.status == "ERROR" and trial.num_failures == 1  # trying again would not help
    assert "Functions cannot be checkpointed" in Path(trial.error_file).read_text()


def test_t2_1_functions_and_classes_give_the_same_fields() -> None:
    class Same(tune.Trainable):
        def _train(self) -> dict[str, Any]:
            return {"value": 1}

    volatile = {"date", "timestamp", "experiment_id", "trial_id", "done"}
    volatile |= {"time_this_iter_s", "time_total_s", "time_since_restore"}
    [of_function] = results(run(report_once)[0])
    [of_class] = results(run(Same, stop={"value": 1})[0])
    assert of_function.keys() == of_class.keys()
    assert {k: v for k, v in of_function.items() if k not in volatile} == {
        k: v for k, v in of_class.items() if k not in volatile
    }


def test_t2_1_the_time_of_a_function_is_between_its_reports() -> None:
    def report(config: dict[str, Any], reporter: Any) -> None:
        time.sleep(0.05)
        reporter(x=1)
        reporter(x=2, time_this_iter_s=7)

    first, second = results(run(report)[0])
    assert 0.05 <= first["time_this_iter_s"] < 1
    assert second["time_this_iter_s"] == 7


def test_t2_4_track() -> None:
    def tracked(config: dict[str, Any]) -> None:
        for i in range(3):
            track.log(value=i)
        Path(track.trial_dir(), "mine").touch()
        assert Path("mine").exists()  # the working directory

    [trial] = run(tracked)
    lines = results(trial)
    assert [line["value"] for line in lines] == [0, 1, 2]
    assert [line["training_iteration"] for line in lines] == [0, 1, 2]
    assert {line["trial_id"] for line in lines} == {trial.trial_id}
    assert Path(trial.logdir, "mine").exists()
    with pytest.raises(ValueError, match="track.init"):
        track.log(value=1)


def test_t2_4_track_on_its_own(tmp_path: Path) -> None:
    session = track.init(experiment_dir=str(tmp_path), trial_name="mine")
    with pytest.raises(ValueError, match="already"):
        track.init()
    track.log(value=1)
    track.log(value=2)
    directory = Path(track.trial_dir())
    track.shutdown()
    assert directory.parent == tmp_path and directory.name.startswith("mine_")
    lines = [json.loads(line) for line in (directory / "result.json").open()]
    assert [(line["training_iteration"], line["value"]) for line in lines] == [(0, 1), (1, 2)]
    assert lines[0]["trial_id"] == session.trial_id


def test_nothing_of_a_local_trial_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def litter(config: dict[str, Any], reporter: Any) -> None:
        os.environ["LITTER"] = "1"
        Path("here").touch()
        reporter(x=1)

    monkeypatch.delenv("LITTER", raising=False)
    before = os.getcwd()
    [trial] = run(litter)
    assert os.getcwd() == before and "LITTER" not in os.environ
    assert Path(trial.logdir, "here").exists()
