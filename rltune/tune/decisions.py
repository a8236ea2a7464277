"""Decisions: what becomes of a trial after a result, and the line of the journal that tells it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rltune import result as keys
from rltune.tune import json_encoding
from rltune.tune.audience import COMPLETE, REMOVED, RESULT, Audience
from rltune.tune.donors import Donors
from rltune.tune.error import FailureKind, TrialFailure, TuneError
from rltune.tune.journal import Journal
from rltune.tune.plain import plain
from rltune.tune.schedulers.trial_scheduler import TrialScheduler
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor

if TYPE_CHECKING:
    from rltune.tune.trial_runner import TrialRunner


class Decisions:
    """Shows results to those who decide. What they change in trials, and what they decide, is one
    line of the journal: a killed run has done all of it or nothing.
    """

    def __init__(
        self,
        runner: TrialRunner,
        audience: Audience,
        executor: TrialExecutor,
        journal: Journal | None,
    ):
        self._runner, self._audience = runner, audience
        self._executor, self._journal = executor, journal
        self.donors = Donors(executor)
        self._shown: dict[str, Any] = {}
        self._changed: list[Trial] | None = None  # by what is decided on a result

    def decide(self, trial: Trial, result: dict[str, Any], stop_asked: bool) -> str:
        """Takes note of a result and of what is decided on it. Raises TrialFailure."""
        try:
            complete = trial.should_stop(result)
        except TuneError as error:
            raise TrialFailure.of(error, FailureKind.RUN, retry=False) from error
        decision = trial.known_decision(result, TrialScheduler.CONTINUE)
        if decision != TrialScheduler.STOP and (complete or stop_asked):
            decision = None  # it no longer holds
        if decision is None:
            if complete:
                result[keys.DONE] = True
            how = COMPLETE if complete else REMOVED if stop_asked else RESULT
            with self._journal.batch() if self._journal else nullcontext():
                decision = self._ask(trial, result, how)
        result[keys.DONE] = decision == TrialScheduler.STOP
        return decision

    def fail(self, trial: Trial) -> None:
        """Tells that a trial is in error for good; what that changes in others happens at once."""
        self._audience.fail(self._runner, trial)
        self._carry_out()

    def remove(self, trial: Trial) -> None:
        """The same for a trial that is ended from outside."""
        self._audience.remove(self._runner, trial)
        self._carry_out()

    def keep_donor(self, trial: Trial) -> None:
        """Keeps the state of the trial whose result is shown, for others to go on from. Raises
        TrialFailure.
        """
        self.donors.keep(trial, self._shown)
        self._refresh(trial)

    def forget_donor(self, trial: Trial) -> None:
        """Drops what was kept of the trial."""
        if trial.donor is not None:
            self.donors.forget(trial)
            self._refresh(trial)

    def _ask(self, trial: Trial, result: dict[str, Any], how: str) -> str:
        self._shown, self._changed = result, []
        try:
            decision = self._audience.show(self._runner, how, trial, result)
            trial.on_decision(result, decision)
            self._carry_out()
            changed = {each.trial_id: each for each in self._changed}
        finally:
            self._changed = None
        for each in changed.values():
            self._refresh(each)
        if self._journal is not None:
            self._journal.note_result(trial.trial_id, how, decision, _as_json(result))
        return decision

    def _carry_out(self) -> None:
        for changed in self.donors.carry_out():
            self._refresh(changed)

    def _refresh(self, trial: Trial) -> None:
        """Makes a trial's record anew; while a result is shown, when its trial has taken note of
        the decision.
        """
        if self._changed is None:
            self._executor.try_checkpoint_metadata(trial)
        else:
            self._changed.append(trial)


def _as_json(result: dict[str, Any]) -> str:
    shown = plain({k: v for k, v in result.items() if k != "config"}, keep_non_finite=True)
    return json_encoding.dumps(shown)
