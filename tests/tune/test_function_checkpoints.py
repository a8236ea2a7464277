"""Functions that say how they are saved (T2.1), with what the runner does to trials (T4)."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune import track
from rltune.tune.function_runner import StatusReporter, wrap_function
from rltune.tune.schedulers import FIFOScheduler, TrialScheduler
from rltune.tune.trial import Trial

run = partial(tune.run, trial_executor="local", verbose=0)


def count(config: dict[str, Any], reporter: StatusReporter) -> None:
    """Reports 1, 2, 3, ... over all its lives; `fail_at` ends the first of them,
    `interrupt_at` the run."""
    value = 0
    if reporter.restored_from:
        value = int(Path(reporter.restored_from, "value").read_text())
    first = value
    reporter.save_with(lambda directory: Path(directory, "value").write_text(str(value)))
    while value < config.get("until", 100):
        value += 1
        if value == config.get("fail_at") and first == 0:
            raise RuntimeError("a fault on purpose")
        if value == config.get("interrupt_at"):
            os.kill(os.getpid(), signal.SIGINT)
        reporter(value=value, first=first)


def count_tracked(config: dict[str, Any]) -> None:
    directory = track.restored_from()
    value = int(Path(directory, "value").read_text()) if directory else 0
    track.save_with(lambda directory: Path(directory, "value").write_text(str(value)))
    while True:
        value += 1
        track.log(value=value)


def column(trial: Trial, name: str) -> list[Any]:
    assert trial.logdir is not None
    return [json.loads(line)[name] for line in Path(trial.logdir, "result.json").open()]


def test_t2_1_a_function_is_saved_by_frequency_and_at_its_end() -> None:
    [trial] = run(count, stop={"value": 5}, checkpoint_freq=2, checkpoint_at_end=True)
    assert trial.logdir is not None
    values = {p.parent.name: p.read_text() for p in Path(trial.logdir).glob("checkpoint_*/value")}
    assert values == {"checkpoint_2": "2", "checkpoint_4": "4", "checkpoint_5": "5"}


def test_t2_1_a_function_that_returned_is_saved_too() -> None:
    [trial] = run(count, config={"until": 3}, checkpoint_at_end=True)
    assert Path(trial.checkpoint.value, "value").read_text() == "3"


def test_t4_3_a_function_goes_on_from_its_newest_checkpoint() -> None:
    [trial] = run(count, config={"fail_at": 6}, stop={"value": 8}, checkpoint_freq=2)
    assert trial.num_failures == 1
    assert column(trial, "value") == [1, 2, 3, 4, 5, 5, 6, 7, 8]
    assert column(trial, "training_iteration") == column(trial, "value")
    assert trial.last_result["first"] == 4 and trial.last_result["iterations_since_restore"] == 4


def test_t4_4_a_function_is_restored_into_another_run() -> None:
    [first] = run(count, stop={"value": 3}, checkpoint_at_end=True)
    [second] = run(count, name="again", stop={"value": 5}, restore=first.checkpoint.value)
    assert column(second, "value") == [4, 5] == column(second, "training_iteration")


def test_t4_7_a_function_is_resumed() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(count, name="x", config={"interrupt_at": 3}, stop={"value": 6})
    [trial] = run(count, name="x", stop={"value": 6}, resume=True)
    assert column(trial, "value") == [1, 2, 3, 4, 5, 6]


class Pauses(FIFOScheduler):
    def on_trial_result(self, runner: Any, trial: Trial, result: dict[str, Any]) -> str:
        return TrialScheduler.PAUSE

    def choose_trial_to_run(self, runner: Any) -> Trial | None:
        return runner.first_that_fits(Trial.PENDING) or runner.first_that_fits(Trial.PAUSED)


@pytest.mark.parametrize("function", [count, count_tracked])
def test_t4_5_a_function_is_paused_and_goes_on(function: Any) -> None:
    trials = run(function, num_samples=2, stop={"value": 3}, scheduler=Pauses())
    for trial in trials:
        assert column(trial, "value") == [1, 2, 3]
        assert trial.logdir is not None
        assert not list(Path(trial.logdir).glob("restored*"))  # what it was unpacked to


def test_t2_4_a_restored_track_session_counts_on() -> None:
    [first] = run(count_tracked, stop={"value": 3}, checkpoint_at_end=True)
    [second] = run(count_tracked, name="b", stop={"value": 5}, restore=first.checkpoint.value)
    assert column(first, "training_iteration") == [0, 1, 2]
    assert column(second, "training_iteration") == [3, 4]


def test_t2_1_a_function_in_mid_run_takes_back_an_earlier_state(tmp_path: Path) -> None:
    trainable = wrap_function(count)()
    trainable.train()
    path = trainable.save(str(tmp_path))
    assert [trainable.train()["value"] for _ in range(2)] == [2, 3]
    trainable.restore(path)
    result = trainable.train()
    assert (result["value"], result["first"], result["training_iteration"]) == (2, 1, 2)
    trainable.stop()


def test_t2_1_a_function_that_does_not_look_is_not_taken_for_restored() -> None:
    def forgetful(config: dict[str, Any], reporter: StatusReporter) -> None:
        reporter.save_with(lambda directory: None)
        reporter(value=1, done=True)

    [first] = run(forgetful, checkpoint_at_end=True)
    [second] = run(forgetful, name="b", restore=first.checkpoint.value, raise_on_failed_trial=False)
    assert second.status == "ERROR" and second.num_failures == 1
    assert "Functions cannot be restored" in Path(second.error_file).read_text()


def test_t4_3_an_error_in_writing_keeps_its_traceback() -> None:
    def unlucky(config: dict[str, Any], reporter: StatusReporter) -> None:
        reporter.save_with(write_nothing)
        reporter(value=1, done=True)

    def write_nothing(directory: str) -> None:
        raise OSError("the disk is full")

    [trial] = run(unlucky, checkpoint_at_end=True, max_failures=1, raise_on_failed_trial=False)
    assert trial.status == "ERROR" and trial.num_failures == 2
    text = Path(trial.error_file).read_text()
    assert "the disk is full" in text and "write_nothing" in text


@pytest.mark.ray
def test_t4_3_a_function_in_an_actor_goes_on_after_its_death(ray_cluster: None) -> None:
    def dies(config: dict[str, Any], reporter: StatusReporter) -> None:
        value = 0
        if reporter.restored_from:
            value = int(Path(reporter.restored_from, "value").read_text())
        begin = value
        reporter.save_with(lambda directory: Path(directory, "value").write_text(str(value)))
        while True:
            value += 1
            if value == 4 and begin == 0:
                os._exit(1)
            reporter(value=value)

    [trial] = tune.run(dies, stop={"value": 5}, checkpoint_freq=2, max_failures=1, verbose=0)
    assert trial.num_failures == 1 and column(trial, "value") == [1, 2, 3, 3, 4, 5]


@pytest.mark.parametrize("take", ["restore_from_object", "inherit_from_object"])
def test_a_function_goes_on_from_another_s_checkpoint_in_memory(take: str) -> None:
    donor, heir = wrap_function(count)({}), wrap_function(count)({})
    for _ in range(3):
        donor.train()
    getattr(heir, take)(donor.save_to_object())
    assert heir.train()["value"] == 4
    for trainable in (donor, heir):
        trainable.stop()
