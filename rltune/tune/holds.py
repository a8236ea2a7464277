"""Holds: trials that a client has paused, and that no scheduler starts meanwhile."""

from __future__ import annotations

import logging

from rltune.tune.error import FailureKind, TrialFailure
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor

log = logging.getLogger(__name__)


class Holds:
    """Which trials are held. `trial.held` says whether one has been paused for that."""

    def __init__(self, executor: TrialExecutor):
        self._executor = executor
        self._trial_ids: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._trial_ids)

    def __contains__(self, trial: Trial) -> bool:
        return trial.trial_id in self._trial_ids

    def add(self, trial: Trial) -> None:
        """Holds a trial: a waiting one at once, a running one when `pause` is asked for it."""
        if trial.is_finished() or trial in self:
            return
        self._trial_ids.add(trial.trial_id)
        if trial.status == Trial.PENDING:
            trial.held = True
            self._executor.set_status(trial, Trial.PAUSED)

    def release(self, trial: Trial) -> None:
        """Ends a hold; a trial that the scheduler paused stays so."""
        was_paused = trial.held
        self.drop(trial)
        if was_paused:
            self._executor.unpause_trial(trial)

    def drop(self, trial: Trial) -> None:
        """The trial ends, or cannot be held."""
        self._trial_ids.discard(trial.trial_id)
        trial.held = False

    def pause(self, trial: Trial) -> bool:
        """Pauses a running trial if it is held and can be saved; whether it is paused. Raises
        TrialFailure if it has died.
        """
        if trial not in self:
            return False
        trial.held = True
        try:
            self._executor.pause_trial(trial)
        except TrialFailure as failure:
            if failure.kind is not FailureKind.RUN:
                trial.held = False
                raise
            log.warning("%s goes on, since it cannot be saved: %s", trial, failure.summary)
            self.drop(trial)
            return False
        return True
