"""The interface of executors, on the one without Ray."""

from __future__ import annotations

from pathlib import Path

from rltune.registry import register_trainable
from rltune.tune.local_trial_executor import LocalTrialExecutor
from rltune.tune.ray_trial_executor import RayTrialExecutor
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter

METHODS = (
    "has_resources start_trial stop_trial continue_training pause_trial unpause_trial resume_trial "
    "reset_trial get_running_trials on_step_begin on_step_end get_next_available_trial fetch_result "
    "debug_string resource_string save restore export_trial_if_needed set_status "
    "try_checkpoint_metadata get_checkpoints"
).split()


def make_trial(tmp_path: Path) -> Trial:
    register_trainable("Counter", Counter)
    return Trial("Counter", local_dir=str(tmp_path))


def count(executor: LocalTrialExecutor, trial: Trial) -> int:
    """Waits for the result that was asked for."""
    assert executor.get_next_available_trial() is trial
    return int(executor.fetch_result(trial)["count"])


def test_t3_8_both_executors_have_every_method() -> None:
    for executor in (LocalTrialExecutor, RayTrialExecutor):
        assert [name for name in METHODS if not callable(getattr(executor, name, None))] == []


def test_t3_8_a_paused_trial_frees_its_resources_and_goes_on_where_it_was(tmp_path: Path) -> None:
    executor, trial = LocalTrialExecutor(), make_trial(tmp_path)
    executor.start_trial(trial)
    assert trial.status == Trial.RUNNING and executor.get_running_trials() == [trial]
    assert not executor.has_resources(trial.resources)
    assert count(executor, trial) == 1

    executor.pause_trial(trial)
    assert trial.status == Trial.PAUSED and executor.get_running_trials() == []
    assert executor.has_resources(trial.resources)

    executor.resume_trial(trial)
    assert count(executor, trial) == 2
    executor.continue_training(trial)
    assert count(executor, trial) == 3
    executor.stop_trial(trial)
    assert trial.status == Trial.TERMINATED


def test_t3_8_a_trial_is_taken_back_to_a_checkpoint(tmp_path: Path) -> None:
    executor, trial = LocalTrialExecutor(), make_trial(tmp_path)
    executor.start_trial(trial)
    assert count(executor, trial) == 1
    executor.save(trial)
    executor.continue_training(trial)
    assert count(executor, trial) == 2

    assert executor.restore(trial, trial.checkpoint)
    executor.continue_training(trial)
    assert count(executor, trial) == 2
    executor.stop_trial(trial)
