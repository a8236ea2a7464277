"""Trials that go on from the state of another one (T10.8)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltune.tune import experiment_state
from rltune.tune.error import TuneError
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.trial import Trial
from rltune.tune.trial_runner import TrialRunner
from tests.tune.scripted import Scripted, make_scripted

Act = Callable[[TrialRunner, Trial, dict[str, Any]], str | None]


class Weights(Scripted):
    """Learns `rate` per iteration; the weights are what others can go on from."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.weights = 0.0

    def _train(self) -> dict[str, Any]:
        self.weights += self.config.get("rate", 1)
        # The first trial is slow later on, so that it lives when the second one comes to copy it.
        slow = self.config["index"] == 0 and self.iteration >= 2
        return {"weights": self.weights, "time_this_iter_s": 5.0 if slow else 1.0}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"weights": self.weights}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.weights = checkpoint["weights"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.weights = 0.0
        return super().reset_config(new_config)


class Rigid(Weights):
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return False


class Scheduler(FIFOScheduler):
    """Does what `act` does with a result."""

    def __init__(self, act: Act):
        self._act = act

    def on_trial_result(self, trial_runner: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._act(trial_runner, trial, result) or self.CONTINUE


def donor_directories(runner: TrialRunner) -> list[str]:
    logdirs = [Path(trial.logdir) for trial in runner.get_trials() if trial.logdir]
    return sorted(path.name for logdir in logdirs for path in logdir.glob("donor_*"))


def make(act: Act, tmp_path: Path, kind: type[Scripted] = Weights, **more: Any) -> TrialRunner:
    more = {"n": 2, "stop": {"training_iteration": 5}, "checkpoint_freq": 0, **more}
    return make_scripted(Scheduler(act), kind, directory=tmp_path, **more)


def second_copies_first(runner: TrialRunner, trial: Trial, result: dict[str, Any]) -> str | None:
    first, second = runner.get_trials()
    iteration = result["training_iteration"]
    if trial is first and iteration == 2:
        runner.keep_donor(first)
    if trial is second and iteration == 3 and not trial.perturbed:
        runner.exploit(second, first, {**first.config, "rate": 100}, "copy")
        assert second.config["rate"] == 100
    return None


@pytest.mark.parametrize("kind", [Weights, Rigid])
def test_t10_8_a_copy_goes_on_from_the_donors_state(tmp_path: Path, kind: type[Scripted]) -> None:
    runner = make(second_copies_first, tmp_path, kind)
    runner.run()
    first, second = runner.get_trials()
    # Two iterations of the first at 1 each, then three of its own at 100.
    assert first.last_result["weights"] == 5
    assert second.last_result["weights"] == 302
    assert second.experiment_tag == "copy"
    assert [trial.status for trial in (first, second)] == [Trial.TERMINATED] * 2


def test_t10_8_a_paused_trial_can_become_a_copy(tmp_path: Path) -> None:
    def act(runner: TrialRunner, trial: Trial, result: dict[str, Any]) -> str | None:
        first, second = runner.get_trials()
        if trial is second and result["training_iteration"] == 1:
            return "PAUSE"
        if trial is first and result["training_iteration"] == 3:
            runner.keep_donor(first)
            runner.exploit(second, first, {**first.config, "rate": 10}, "copy")
        return None

    runner = make(act, tmp_path, slots=1)
    runner.run()
    assert runner.get_trials()[1].last_result["weights"] == 3 + 2 * 10


def test_t10_8_a_donor_that_pauses_is_saved_once(tmp_path: Path) -> None:
    saved: list[int] = []

    class Counted(Weights):
        def _save(self, checkpoint_dir: str) -> dict[str, Any]:
            saved.append(self.iteration)
            return super()._save(checkpoint_dir)

    def act(runner: TrialRunner, trial: Trial, result: dict[str, Any]) -> str | None:
        if result["training_iteration"] == 2:
            runner.keep_donor(trial)
        return "PAUSE" if result["training_iteration"] in (2, 3) else None

    runner = make(act, tmp_path, Counted, n=1)
    runner.run()
    assert saved == [2, 3]  # what was kept before is not what it goes on from
    assert runner.get_trials()[0].last_result["weights"] == 5


def test_t10_8_only_a_kept_state_can_be_copied(tmp_path: Path) -> None:
    def act(runner: TrialRunner, trial: Trial, result: dict[str, Any]) -> str | None:
        first, second = runner.get_trials()
        if trial is first:
            runner.keep_donor(first)
            runner.forget_donor(first)
        else:
            runner.exploit(second, first, dict(first.config), "copy")
        return None

    with pytest.raises(TuneError, match="no state was kept"):
        make(act, tmp_path).run()


def test_t10_8_a_kept_state_is_on_disk_as_long_as_a_record_names_it(tmp_path: Path) -> None:
    kept: list[list[str]] = []

    def act(runner: TrialRunner, trial: Trial, result: dict[str, Any]) -> str | None:
        first, _ = runner.get_trials()
        if trial is first:
            deadline = time.monotonic() + 10
            while len(donor_directories(runner)) > 1 and time.monotonic() < deadline:
                time.sleep(0.001)
            kept.append(donor_directories(runner))
            runner.keep_donor(first)
        return None

    runner = make(act, tmp_path)
    runner.run()
    assert [len(names) for names in kept] == [0, 1, 1, 1]
    assert kept[1] != kept[2]
    # The last one is what the trial itself would go on from, if it were extended.
    [name] = donor_directories(runner)
    path = experiment_state.newest(str(tmp_path / "scripted"))
    assert path is not None
    assert name in experiment_state.load(path)["checkpoints"][0]["checkpoint"]


@pytest.mark.parametrize("steps", range(1, 14))
def test_t10_8_a_copy_survives_a_kill(tmp_path: Path, steps: int) -> None:
    runner = make(second_copies_first, tmp_path)
    for _ in range(steps):
        if not runner.is_finished():
            runner.step()
    assert runner.state is not None
    runner.state.close()  # the lock of a process that died
    resumed = make(second_copies_first, tmp_path, resume=True)
    resumed.run()
    assert [trial.last_result["weights"] for trial in resumed.get_trials()] == [5, 302]


class Forgetful(Weights):
    """Cannot go on from a state in memory."""

    def restore_from_object(self, packed: bytes) -> None:
        raise ValueError("the state in memory is lost")


def test_t4_4_a_trial_whose_state_in_memory_is_lost_goes_on_from_disk(tmp_path: Path) -> None:
    starts: list[float] = []

    def act(runner: TrialRunner, trial: Trial, result: dict[str, Any]) -> str | None:
        starts.append(result["weights"])
        return "PAUSE" if result["training_iteration"] == 3 else None

    runner = make(act, tmp_path, Forgetful, n=1, checkpoint_freq=2)
    runner.run()
    [trial] = runner.get_trials()
    assert trial.status == Trial.TERMINATED
    assert trial.last_result["weights"] == 5
    assert starts == [1, 2, 3, 4]  # what it repeats is not shown again
