"""TrialTable: the trials of a run, as schedulers and clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rltune.resources import Resources
from rltune.tune.decisions import Decisions
from rltune.tune.holds import Holds
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor


class TrialTable:
    """Every trial in order of creation, which of them have not ended, and what can start."""

    _decisions: Decisions

    def __init__(self, scheduler: TrialScheduler, executor: TrialExecutor):
        self.scheduler_alg, self.trial_executor = scheduler, executor
        self._trials: list[Trial] = []
        self._by_id: dict[str, Trial] = {}
        self._unfinished: dict[str, Trial] = {}
        self._requests: set[str] = set()  # the resources that trials ask for, as texts
        self._guests: set[str] = set()
        self._holds = Holds(executor)
        self.replaying = False  # whether the scheduler is shown what has happened already

    def get_trials(self) -> list[Trial]:
        """All trials, in order of creation."""
        return self._trials

    def get_trial(self, trial_id: str) -> Trial | None:
        return self._by_id.get(trial_id)

    def has_resources(self, resources: Resources) -> bool:
        """Whether a trial that needs this can start now."""
        return self.trial_executor.has_resources(resources)

    def first_that_fits(self, status: str) -> Trial | None:
        """The first trial in this state, PENDING or PAUSED, that can start now."""
        return next(self.startable(status), None)

    def startable(self, status: str) -> Iterator[Trial]:
        """The trials in this state, PENDING or PAUSED, of which each can start now."""
        unfit: Resources | None = None
        for trial in self.trial_executor.get_waiting_trials(status):
            if trial.resources == unfit or trial in self._holds:
                continue
            if self.has_resources(trial.resources):
                yield trial
            elif len(self._requests) == 1:
                return  # all trials ask for the same
            else:
                unfit = trial.resources

    def keep_donor(self, trial: Trial) -> None:
        """Keeps the state of the trial whose result the scheduler is shown, for others to go on
        from; the one kept before is dropped. Raises TrialFailure.
        """
        if not self.replaying:
            self._decisions.keep_donor(trial)

    def forget_donor(self, trial: Trial) -> None:
        """No other trial will go on from this one's state."""
        if not self.replaying:
            self._decisions.forget_donor(trial)

    def exploit(self, trial: Trial, donor: Trial, new_config: dict[str, Any], new_tag: str) -> None:
        """The next iteration of a trial, which does not run or whose result the scheduler is shown,
        begins from what `keep_donor` kept of the donor, with this config and tag.
        """
        if not self.replaying:
            self._decisions.donors.copy(trial, donor)
            trial.update_config(new_config, new_tag)

    def add_trial(self, trial: Trial) -> None:
        """Puts a trial at the end of the queue."""
        self._take_in(trial)
        if not trial.is_finished():
            self.scheduler_alg.on_trial_add(self, trial)  # type: ignore[arg-type]

    def add_guest(self, trial: Trial) -> None:
        """Adds a trial that came from outside: if it cannot start, that ends it and not the run."""
        self._guests.add(trial.trial_id)
        self.add_trial(trial)

    def pause_trial(self, trial: Trial) -> None:
        """Holds a trial until `resume_trial`: a running one is saved and paused after its next
        result, or goes on with a warning if it cannot be saved. No scheduler starts it meanwhile.
        """
        self._holds.add(trial)

    def resume_trial(self, trial: Trial) -> None:
        """Ends what `pause_trial` did; a trial that the scheduler paused stays so."""
        self._holds.release(trial)

    def _take_in(self, trial: Trial) -> None:
        self._trials.append(trial)
        self._by_id[trial.trial_id] = trial
        self._requests.add(str(trial.resources))
        self.trial_executor.set_status(trial, trial.status)
        if not trial.is_finished():
            self._unfinished[trial.trial_id] = trial
