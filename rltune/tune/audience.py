"""Who hears of trials: the scheduler and the search algorithm, each event once, over resumes too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rltune.tune.schedulers import TrialScheduler
from rltune.tune.suggest import SearchAlgorithm

if TYPE_CHECKING:
    from rltune.tune.trial import Trial
    from rltune.tune.trial_runner import TrialRunner

# How a result is shown: one of many, the last by itself, the last since somebody stops the trial.
RESULT, COMPLETE, REMOVED = "result", "complete", "removed"


class Audience:
    """Tells scheduler and search algorithm the same things in the same order."""

    def __init__(self, scheduler: TrialScheduler, search: SearchAlgorithm):
        self._scheduler, self._search = scheduler, search

    def show(self, runner: TrialRunner, how: str, trial: Trial, result: dict[str, Any]) -> str:
        """Shows a result; returns what the scheduler decides."""
        if how == COMPLETE:
            self._scheduler.on_trial_complete(runner, trial, result)
            self._search.on_trial_complete(trial.trial_id, result=result)
            return TrialScheduler.STOP
        if how == REMOVED:
            self.remove(runner, trial)
            return TrialScheduler.STOP
        decision = self._scheduler.on_trial_result(runner, trial, result)
        self._search.on_trial_result(trial.trial_id, result)
        if decision == TrialScheduler.STOP:
            self._search.on_trial_complete(trial.trial_id, early_terminated=True)
        return decision

    def remove(self, runner: TrialRunner, trial: Trial) -> None:
        """The trial is ended from outside."""
        self._scheduler.on_trial_remove(runner, trial)
        self._search.on_trial_complete(trial.trial_id, early_terminated=True)

    def fail(self, runner: TrialRunner, trial: Trial) -> None:
        """The trial is in error for good."""
        self._scheduler.on_trial_error(runner, trial)
        self._search.on_trial_complete(trial.trial_id, error=True)

    def get_state(self) -> dict[str, Any]:
        return {"scheduler": self._scheduler.get_state(), "search": self._search.get_state()}
