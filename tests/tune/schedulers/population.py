"""A population for PBT: trials without processes, and a runner that notes what PBT asks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rltune import tune
from rltune.tune.registry import register_trainable
from rltune.tune.schedulers import PopulationBasedTraining
from rltune.tune.trial import Trial
from tests.tune.schedulers.results import result
from tests.tune.scripted import Scripted


class Fake:
    """As much of a TrialRunner as PBT needs; it is its own executor."""

    def __init__(self) -> None:
        self.trial_executor = self
        self.replaying = False
        self.trials: list[Trial] = []
        self.done: list[tuple[str, int] | tuple[str, int, int]] = []  # what, of whom, from whom

    def get_trials(self) -> list[Trial]:
        return self.trials

    def get_trial(self, trial_id: str) -> Trial:
        return next(trial for trial in self.trials if trial.trial_id == trial_id)

    def get_waiting_trials(self, status: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == status]

    startable = get_waiting_trials

    def keep_donor(self, trial: Trial) -> None:
        self.done.append(("keep", self.trials.index(trial)))

    def forget_donor(self, trial: Trial) -> None:
        self.done.append(("forget", self.trials.index(trial)))

    def exploit(self, trial: Trial, donor: Trial, new_config: dict[str, Any], new_tag: str) -> None:
        self.done.append(("exploit", self.trials.index(trial), self.trials.index(donor)))
        trial.update_config(new_config, new_tag)


class Population:
    """`n` trials that run, and a PBT that has been told of them; time is training_iteration."""

    def __init__(self, pbt: PopulationBasedTraining, n: int = 5, directory: Path | None = None):
        register_trainable("Scripted", Scripted)
        self.pbt, self.runner = pbt, Fake()
        for i in range(n):
            trial = Trial(
                "Scripted",
                {"lr": 1.0, "size": 100, "seed": i},
                experiment_tag=f"{i}_lr=1.0",
                local_dir=str(directory) if directory else None,
            )
            trial.status = Trial.RUNNING
            self.runner.trials.append(trial)
            pbt.on_trial_add(self.runner, trial)  # type: ignore[arg-type]

    def report(self, index: int, time: float, score: Any) -> str:
        """What PBT decides on a result of a trial; the trial is paused if that is so."""
        trial = self.runner.trials[index]
        trial.status = Trial.RUNNING
        decision = self.pbt.on_trial_result(self.runner, trial, result(time, score))  # type: ignore[arg-type]
        if decision == "PAUSE":
            trial.status = Trial.PAUSED
        return decision

    def end(self, index: int, how: str = "complete") -> None:
        trial = self.runner.trials[index]
        hook = getattr(self.pbt, f"on_trial_{how}")
        hook(self.runner, trial, *[trial.last_result][: how == "complete"])
        trial.status = Trial.ERROR if how == "error" else Trial.TERMINATED

    def take_done(self) -> list[tuple[Any, ...]]:
        """What was asked of the runner since the last call."""
        done, self.runner.done = self.runner.done, []
        return done


def new_pbt(**more: Any) -> PopulationBasedTraining:
    arguments: dict[str, Any] = {
        "time_attr": "training_iteration",
        "perturbation_interval": 10,
        "hyperparam_mutations": {"lr": tune.uniform(0.0, 10.0)},
        "resample_probability": 0.0,
        "log_config": False,
        "seed": 0,
    }
    return PopulationBasedTraining(**{**arguments, **more})


def scored(pbt: PopulationBasedTraining, n: int = 5, directory: Path | None = None) -> Population:
    """At time 10 the trials have scores 0, 50, 100, ..."""
    population = Population(pbt, n, directory)
    for i in range(n):
        assert population.report(i, 10, 50 * i) == "CONTINUE"
    return population
