"""Whole runs of PBT in virtual time (T10.7 to T10.9): they end, they learn, they survive a kill."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltune import tune
from rltune.tune import append_file
from rltune.tune.schedulers import PopulationBasedTraining
from rltune.tune.trial_runner import TrialRunner
from tests.tune.schedulers.population import new_pbt
from tests.tune.schedulers.runs import END, Trouble, troubles
from tests.tune.schedulers.test_state import Recorder, restored, story
from tests.tune.scripted import Scripted, make_scripted, run_scripted

MANY = settings(max_examples=20, deadline=None)
LAST = 18
LRS = [0.3, 1e-4, 1e-3, 1e-2, 1e-3, 1e-2]


@pytest.fixture(autouse=True)
def no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written need not reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Hill(Scripted):
    """`height` grows by lr - lr^2 in each iteration, which is most for lr 0.5. `starts` and `resets` are of the
    process.
    """

    starts = 0

    def _setup(self, config: dict[str, Any]) -> None:
        type(self).starts += 1
        self.height, self.resets = 0.0, 0

    def _train(self) -> dict[str, Any]:
        lr = self.config["lr"]
        self.height += lr - lr**2
        return {
            "score": self.height,
            "lr": lr,
            "resets": self.resets,
            "time_this_iter_s": 1 + self.config["index"] / 10,
        }

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"height": self.height}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.height = checkpoint["height"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.height, self.resets = 0.0, self.resets + 1
        return super().reset_config(new_config)


def climbing(**more: Any) -> PopulationBasedTraining:
    mutations = {"lr": tune.loguniform(1e-4, 1.0)}
    arguments = {"metric": "score", "perturbation_interval": 3, "hyperparam_mutations": mutations}
    return new_pbt(**{**arguments, **more})


def climb(pbt: Any, directory: Path | None = None, make: Any = run_scripted, **more: Any) -> Any:
    arguments = {
        "n": 6,
        "slots": 1,
        "stop": {"training_iteration": LAST},
        "config": {"lr": tune.sample_from(lambda spec: LRS[spec.config.index])},
        "directory": directory,
    }
    return make(pbt, Hill, **{**arguments, **more})


@pytest.mark.parametrize("synch", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 6])
@pytest.mark.parametrize("reuse_actors", [False, True])
def test_t10_8_the_population_moves_to_the_best(
    synch: bool, slots: int, reuse_actors: bool
) -> None:
    """State and iteration come from the donor, trial and directory stay."""
    pbt = climbing(synch=synch)
    runner = climb(pbt, slots=slots, reuse_actors=reuse_actors)
    trials = runner.get_trials()
    assert {trial.status for trial in trials} == {"TERMINATED"}
    assert {trial.last_result["training_iteration"] for trial in trials} == {LAST}
    copies = [trial for trial in trials if "@perturbed" in trial.experiment_tag]
    assert len(copies) >= 3
    for trial in copies:
        assert trial.last_result["lr"] == trial.config["lr"]
        assert trial.experiment_tag.count("@perturbed") == 1
        assert f"_{trial.experiment_tag[0]}_" in trial.logdir
    alone = LAST * sum(lr - lr**2 for lr in LRS)
    assert sum(trial.last_result["score"] for trial in trials) > 1.5 * alone


def test_t10_9_reused_actors_start_no_process() -> None:
    Hill.starts = 0
    climb(climbing(), slots=2, reuse_actors=True)
    reused = Hill.starts
    Hill.starts = 0
    climb(climbing(), slots=2)
    assert reused <= 6 + 2  # a first start never reuses
    assert Hill.starts > 3 * reused


def test_t10_7_with_one_cpu_all_progress_within_an_interval() -> None:
    progress: dict[str, int] = {}

    class Watched(PopulationBasedTraining):
        def on_trial_result(self, trial_runner: Any, trial: Any, result: Any) -> str:
            progress[trial.trial_id] = result["training_iteration"]
            if len(progress) == 4:
                assert max(progress.values()) - min(progress.values()) <= 3
            return super().on_trial_result(trial_runner, trial, result)

    watched = Watched("training_iteration", None, "score", "max", 3, {"lr": [0.1, 0.2]}, seed=0)
    climb(watched, n=4)
    assert len(progress) == 4


@MANY
@given(
    trouble=troubles,
    synch=st.booleans(),
    interval=st.integers(1, 30),
    fraction=st.sampled_from([0.1, 0.25, 0.5]),
    seed=st.integers(0, 9),
)
def test_t10_7_every_run_ends(
    trouble: Trouble, synch: bool, interval: int, fraction: float, seed: int
) -> None:
    """No trial is left PAUSED or PENDING, and no dead one blocks a round."""
    runner = trouble.runner(troubled(synch, interval, quantile_fraction=fraction, seed=seed))
    for _ in range(20 * (trouble.n + 1) * END):
        if runner.is_finished():
            break
        runner.step()
    assert {trial.status for trial in runner.get_trials()} <= {"TERMINATED", "ERROR"}


def troubled(synch: bool, interval: int, **more: Any) -> PopulationBasedTraining:
    """A mutated key that has no effect on the results."""
    arguments = {"metric": "score", "time_attr": "t", "hyperparam_mutations": {"x": [1, 2]}}
    return new_pbt(**arguments, synch=synch, perturbation_interval=interval, **more)


@MANY
@given(trouble=troubles, synch=st.booleans(), period=st.integers(5, 50))
def test_t10_7_a_state_that_is_handed_on_runs_as_one(
    trouble: Trouble, synch: bool, period: int
) -> None:
    undisturbed = Recorder(lambda: troubled(synch, 7))
    disturbed = Recorder(lambda: troubled(synch, 7), period)
    for recorder in (undisturbed, disturbed):
        trouble.runner(recorder).run()
    assert story(disturbed) == story(undisturbed)
    assert disturbed.scheduler.debug_string() == undisturbed.scheduler.debug_string()


@MANY
@given(trouble=troubles, synch=st.booleans(), snapshot_at=st.integers(0, 300))
def test_t10_7_events_shown_again_lead_to_the_same_state(
    trouble: Trouble, synch: bool, snapshot_at: int
) -> None:
    recorder = Recorder(lambda: troubled(synch, 7), snapshot_at=snapshot_at)
    runner = trouble.runner(recorder)
    runner.run()
    if not recorder.snapshot:
        return
    scheduler = restored(lambda: troubled(synch, 7), recorder.snapshot)
    runner.replaying = runner.trial_executor.replaying = True
    for name, args, decision in recorder.events[recorder.begin :]:
        # A result whose trial could not be saved was not decided on, and is in no journal.
        if decision is not None or name != "on_trial_result":
            getattr(scheduler, name)(runner, *args)
    states = [each.get_state() for each in (scheduler, recorder.scheduler)]
    for member in [member for state in states for member in state["members"].values()]:
        member.pop("first")  # for readers: of a trial that has another config by now it is unknown
    assert states[0] == states[1]


class Killed(BaseException):
    """The process is gone."""


def killed_and_resumed(pbt: Any, directory: Path, seed: int, **more: Any) -> TrialRunner | None:
    """A run that is killed within the write of some record of the journal or the PBT log, and goes on. None if it
    has ended before.
    """
    rng = random.Random(seed)
    left = rng.randrange(5, 400)
    append = append_file.AppendFile.append

    def dying(self: append_file.AppendFile, record: bytes) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            append(self, record[: rng.randrange(len(record) + 1)])
        if left <= 0:
            raise Killed
        append(self, record)

    runner = climb(pbt(), directory, make_scripted, period=rng.choice([0, 1e9]), **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_file.AppendFile, "append", dying)
        try:
            while not runner.is_finished():
                runner.step()
            return None
        except Killed:
            pass
    assert runner.state is not None
    runner.state.close()
    resumed: TrialRunner = climb(pbt(), directory, make_scripted, resume=True, **more)
    resumed.run()
    return resumed


def outcome(runner: TrialRunner, directory: Path) -> tuple[Any, ...]:
    """What became of the trials, and what the files say."""
    trials = [
        (trial.status, trial.config, trial.experiment_tag, trial.last_result["score"])
        for trial in runner.get_trials()
    ]
    files = {path.name: read(path) for path in (directory / "scripted").glob("pbt_*")}
    return trials, files


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("synch", "slots"), [(False, 1), (True, 1), (True, 2)])
def test_t10_9_a_killed_run_decides_and_logs_as_an_undisturbed_one(
    synch: bool, slots: int, tmp_path: Path
) -> None:
    def pbt() -> PopulationBasedTraining:
        return climbing(synch=synch, log_config=True)

    undisturbed = tmp_path / "undisturbed"
    expected = outcome(climb(pbt(), undisturbed, slots=slots), undisturbed)
    assert len(expected[1]["pbt_global.txt"]) >= 3
    killed = 0
    for seed in range(25):
        directory = tmp_path / str(seed)
        runner = killed_and_resumed(pbt, directory, seed, slots=slots)
        if runner is not None:
            killed += 1
            assert outcome(runner, directory) == expected, f"seed {seed}"
        shutil.rmtree(directory)
    assert killed > 8
