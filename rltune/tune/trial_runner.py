"""TrialRunner: the event loop. Ask, start, wait for the next result, decide, carry out."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rltune import result as keys
from rltune.tune import json_encoding, resuming
from rltune.tune.audience import Audience
from rltune.tune.checkpoints import Checkpoint
from rltune.tune.console import Console
from rltune.tune.decisions import Decisions
from rltune.tune.error import FailureKind, TrialFailure, TuneError, disk_full, is_disk_full
from rltune.tune.experiment_state import ExperimentState
from rltune.tune.interrupt import InterruptGuard
from rltune.tune.log_writer import LogWriter
from rltune.tune.schedulers import FIFOScheduler, TrialScheduler
from rltune.tune.suggest import SearchAlgorithm
from rltune.tune.syncer import CloudSyncer
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor, check_resources
from rltune.tune.trial_table import TrialTable

if TYPE_CHECKING:
    from rltune.tune.server.board import Board

SEARCH_POLL_S = 1.0
SEARCH_PATIENCE_S = 600.0
# A full cluster is asked again after this time even if no trial has changed: it may have grown.
CLUSTER_POLL_S = 1.0
INTERRUPT_PATIENCE_S = 60.0

log = logging.getLogger(__name__)


class TrialRunner(TrialTable):
    """Runs the trials of a search algorithm on an executor, as a scheduler decides.

    Args:
        search_alg: where trials come from.
        scheduler: which of them run, and for how long. Default: FIFO.
        local_checkpoint_dir: the experiment's directory, for its state; None keeps none.
        syncer: copies that directory elsewhere.
        checkpoint_period: seconds between writes of the state; 0 writes it in every step.
        trial_executor: where trials run.
        verbose: 0 prints nothing, 1 status blocks, 2 results too.
        guard: knows whether the user wants to stop.
        board: where clients see the trials and leave requests, which are served between steps.
        about: what the state keeps besides, as JSON holds it.
    """

    def __init__(
        self,
        search_alg: SearchAlgorithm,
        scheduler: TrialScheduler | None = None,
        *,
        trial_executor: TrialExecutor,
        local_checkpoint_dir: str | None = None,
        syncer: CloudSyncer | None = None,
        checkpoint_period: float = 10.0,
        verbose: int = 0,
        guard: InterruptGuard | None = None,
        board: Board | None = None,
        about: dict[str, Any] | None = None,
    ):
        self.search_alg = search_alg
        super().__init__(scheduler or FIFOScheduler(), trial_executor)
        self._audience = Audience(self.scheduler_alg, search_alg)
        self.replayed_ends: frozenset[str] = frozenset()  # by the result that is shown again
        self._interrupted: list[Trial] = []  # that ran when the run before ended
        self.syncer = syncer
        self._console = Console(verbose)
        self._guard = guard or InterruptGuard()
        self._second_start: set[str] = set()
        self._stop_requests: set[str] = set()
        self._board = board
        self._about = about or {}
        self._full: tuple[int, float] | None = None
        self._total_time = 0.0
        self._time_limit = float(os.environ.get("TRIALRUNNER_WALLTIME_LIMIT") or "inf")
        self.state = (
            ExperimentState(local_checkpoint_dir, checkpoint_period)
            if local_checkpoint_dir
            else None
        )
        journal = self.state.journal if self.state else None
        self._decisions = Decisions(self, self._audience, trial_executor, journal)
        self._donors = self._decisions.donors
        trial_executor.undecided_until = self.scheduler_alg.undecided_until
        trial_executor.on_record = journal.note if journal else None
        trial_executor.log_writer = self._log_writer = LogWriter()
        trial_executor.on_status = board.show_status if board else None

    # What schedulers and users ask.

    def stop_trial(self, trial: Trial) -> None:
        """Ends a trial: a running one with its next result, any other at once."""
        if self.replaying:
            if trial.trial_id in self.replayed_ends:
                self._audience.remove(self, trial)
            return
        if trial.is_finished():
            return
        if trial.status == Trial.RUNNING:
            self._stop_requests.add(trial.trial_id)
            return
        self._decisions.remove(trial)
        self._end(trial)

    def is_finished(self) -> bool:
        """Whether every trial has ended and no more will come, or the time is used up. Once it is
        so, clients' requests are refused.
        """
        if self._total_time > self._time_limit:
            log.warning("The time limit of %s s is reached.", self._time_limit)
            return True
        if self._unfinished or not self.search_alg.is_finished():
            return False
        return self._board is None or self._board.close_unless_asked()

    def step(self) -> None:
        """Starts what can start and processes one event. Raises TuneError if there is nothing to
        do, or nothing that can be done.
        """
        if self.is_finished():
            raise TuneError("step() was called, but all trials have ended.")
        self._guard.check()
        self.trial_executor.on_step_begin()
        self._take_new_trials()
        if self._board is not None:
            self._board.serve(self)
        if not self._trials:
            return
        self._print_status()
        self.checkpoint()
        self._start_trials()
        if self.trial_executor.get_running_trials():
            self._process_next_event()
        elif self._unfinished:
            self._resolve_standstill()
        self._donors.settle()
        self.trial_executor.on_step_end()

    def run(self) -> None:
        """Steps to the end. The state is written whatever happens; an interrupt first saves what
        can be saved.
        """
        try:
            while not self.is_finished():
                self.step()
            for trial in self.trial_executor.get_running_trials():
                self._end(trial)  # the time is used up
            self._guard.check()
        except KeyboardInterrupt:
            self._save_running_trials()
            raise
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise disk_full(str(error)) from error
        finally:
            for trial in self._trials:
                trial.close_logger()
            self._log_writer.close()
            if self._trials:
                self.checkpoint(force=True)
            self.trial_executor.cleanup()
            self._donors.close()
            if self.state is not None:
                self.state.close()
            if self._trials:
                self._print_status(last=True)

    # The experiment's state.

    def checkpoint(self, force: bool = False) -> None:
        """Writes the state if it is time; `force`: at once, and waits until it is uploaded."""
        if self.state is None or not (force or self.state.is_due()):
            return
        try:
            self._write_state()
        except OSError as error:
            log.error("The state of the experiment could not be written: %s", error)
        if self.syncer is not None and not force:
            self.syncer.sync_up_if_needed()
        elif self.syncer is not None:
            self.syncer.sync_up()
            self.syncer.wait()

    def resume(self, state: dict[str, Any], stop: Mapping[str, Any] | None = None) -> None:
        """Takes over the trials of a state: finished ones stay as they are, those that ran start
        first, and all go on from their newest complete checkpoint. `stop` are other criteria, for
        finished ones too.
        """
        self._total_time = float(state["runner_data"].get("total_time", 0))
        ran = resuming.interrupted(state)
        trials = resuming.trials_of(state, stop)
        hear, self.trial_executor.on_record = self.trial_executor.on_record, None
        for trial in trials:
            self._take_in(trial)
        self.replaying = self.trial_executor.replaying = True
        resuming.replay(self, self._audience, self.scheduler_alg, state)
        self.replaying = self.trial_executor.replaying = False
        for trial in resuming.in_order(self._unfinished.values()):
            self.trial_executor.set_status(trial, trial.status)  # to the end of the queue
        self._interrupted = [
            trial for trial in trials if trial.trial_id in ran and trial.status == Trial.PENDING
        ]
        if self.state is not None:
            self._write_state()  # whole before the first line of its journal
            for trial in trials:
                self.state.journal.know(trial.trial_id)
        self._donors.resume(trials)
        self.trial_executor.on_record = hear

    def _write_state(self) -> None:
        assert self.state is not None
        records = self.trial_executor.get_checkpoints()
        self.state.write(
            [records[trial.trial_id] for trial in self._trials if trial.trial_id in records],
            {
                "total_time": self._total_time,
                "seen": resuming.seen_by(self._unfinished.values()),
                "interrupted": [trial.trial_id for trial in self._interrupted],
                **self._about,
                **self._audience.get_state(),
            },
        )

    def _journal_extras(self) -> dict[str, Any]:
        """What new trials bring with them."""
        search = json_encoding.dumps(self.search_alg.get_changes())
        return {"search": json.loads(search), **self._about}

    # One step.

    def _take_new_trials(self) -> None:
        """Asks the search algorithm. If there is nothing else to do, waits for its answer."""
        deadline = time.monotonic() + SEARCH_PATIENCE_S
        while not self.search_alg.is_finished():
            trials = self.search_alg.next_trials()
            check_resources(trials, self.trial_executor)
            with self.state.journal.batch(self._journal_extras) if self.state else nullcontext():
                for trial in trials:
                    self.add_trial(trial)
            if trials or self._unfinished or time.monotonic() > deadline:
                return
            time.sleep(SEARCH_POLL_S)

    def _start_trials(self) -> None:
        now = time.monotonic()
        if self._full and self._full[0] == self.trial_executor.changes and now < self._full[1]:
            return
        while (trial := self._choose_trial()) is not None:
            if trial in self._holds:
                break
            self._start(trial)
        self._full = (self.trial_executor.changes, now + CLUSTER_POLL_S)

    def _choose_trial(self) -> Trial | None:
        """What ran when the run before ended comes first, as far as it fits."""
        while self._interrupted:
            trial = self._interrupted[0]
            waits = trial.status == Trial.PENDING and trial not in self._holds
            if waits and self.has_resources(trial.resources):
                return self._interrupted.pop(0)
            if waits and self.trial_executor.get_running_trials():
                return None
            self._interrupted.pop(0)
        return self.scheduler_alg.choose_trial_to_run(self)

    def _start(self, trial: Trial) -> None:
        if trial.status == Trial.PAUSED and trial.seen_decision == TrialScheduler.PAUSE:
            trial.seen_decision = TrialScheduler.CONTINUE
        try:
            self.trial_executor.start_trial(trial)
        except TrialFailure as failure:
            self._on_failure(trial, failure)
        except Exception as error:
            if trial.trial_id not in self._guests:
                raise
            self._on_failure(trial, TrialFailure.of(error, FailureKind.START, retry=False))

    def _process_next_event(self) -> None:
        with self._guard.breakable(self.trial_executor.interruptible):
            trial = self.trial_executor.get_next_available_trial()
        try:
            result = self.trial_executor.fetch_result(trial)
            self._second_start.discard(trial.trial_id)
            self._process(trial, result)
        except TrialFailure as failure:
            self._on_failure(trial, failure)

    def _process(self, trial: Trial, result: dict[str, Any]) -> None:
        """Decides what becomes of the trial, and does it. The next iteration is asked for before
        this result is logged; whatever ends the trial, after it.
        """
        decision, result, new = self._decide(trial, result)
        if decision == TrialScheduler.CONTINUE and not self._is_to_pause(trial):
            try:
                self._save_if_needed(trial, result)
                self._go_on(trial)
            finally:
                self._publish(trial, result, new)
        else:
            self._publish(trial, result, new)
            self._save_if_needed(trial, result)
            self._carry_out(trial, decision)

    def _decide(self, trial: Trial, result: dict[str, Any]) -> tuple[str, dict[str, Any], bool]:
        """What becomes of the trial, the result as others see it, and whether it is a new one."""
        new = keys.RESULT_DUPLICATE not in result
        if not new:
            result = {**trial.last_result, keys.DONE: True}
        result[keys.TRIAL_ID] = trial.trial_id
        decision = self._decisions.decide(trial, result, self._take_stop_request(trial))
        if new:
            trial.on_result(result)
        return decision, result, new

    def _is_to_pause(self, trial: Trial) -> bool:
        return trial in self._holds and not self.trial_executor.has_more(trial)

    def _take_stop_request(self, trial: Trial) -> bool:
        if self.trial_executor.has_more(trial):
            return False
        asked = trial.trial_id in self._stop_requests
        self._stop_requests.discard(trial.trial_id)
        return asked

    def _publish(self, trial: Trial, result: dict[str, Any], new: bool) -> None:
        """Logs and shows a result."""
        if new:
            self._total_time += result[keys.TIME_THIS_ITER_S]
            trial.log_result()
            if self._board is not None:
                self._board.show_result(trial)
        self._console.result(trial, trial.last_result, last=result[keys.DONE])

    def _save_if_needed(self, trial: Trial, result: dict[str, Any]) -> None:
        if not trial.should_checkpoint(result) or trial.obsolete:
            return
        try:
            wanted = trial.keeper.wants(result)
        except (KeyError, ValueError) as error:
            log.warning("%s: no checkpoint, since it has no score: %s.", trial, error)
            return
        if wanted:
            self.trial_executor.save(trial, Checkpoint.DISK, result)

    def _go_on(self, trial: Trial) -> None:
        if trial.obsolete:
            self.trial_executor.start_again(trial)
        else:
            self.trial_executor.continue_training(trial)

    def _carry_out(self, trial: Trial, decision: str) -> None:
        if decision == TrialScheduler.CONTINUE:
            if not (self._is_to_pause(trial) and self._holds.pause(trial)):
                self._go_on(trial)
        elif decision == TrialScheduler.PAUSE:
            self._pause(trial)
        elif decision == TrialScheduler.STOP:
            self.trial_executor.export_trial_if_needed(trial)
            self._end(trial)
        else:
            raise ValueError(f"{self.scheduler_alg!r} decided {decision!r}, which is no decision.")

    def _pause(self, trial: Trial) -> None:
        """What was kept of the trial just now is not saved a second time."""
        kept = None if trial.obsolete else self._donors.state_of(trial)
        if kept is not None:
            trial.checkpoint = kept
        self.trial_executor.pause_trial(trial, save=kept is None and not trial.obsolete)

    # Ends and failures.

    def _end(self, trial: Trial, failure: TrialFailure | None = None) -> None:
        """The trial's last state. `failure` was noted before."""
        self._donors.forget(trial)
        self._holds.drop(trial)
        self.trial_executor.stop_trial(trial, error=failure is not None)
        self._unfinished.pop(trial.trial_id, None)
        self._stop_requests.discard(trial.trial_id)

    def _on_failure(self, trial: Trial, failure: TrialFailure) -> None:
        """Notes a failure; tries again if the trial has another start, else it is in error.

        Raises DiskFull, which ends the run and leaves the trial as it was.
        """
        if failure.kind is FailureKind.DISK_FULL:
            raise disk_full(f"{trial}: {failure.summary}")
        if failure.kind is FailureKind.START and trial.starts_as_the_user_says():
            failure = failure.naming(f"It cannot be started with restore={trial.restore_path!r}.")
        trial.write_error(str(failure))
        log.warning("%s failed (%s), see %s", trial, failure.summary, trial.error_file)
        if failure.kind is FailureKind.START:
            retry = failure.retry and trial.trial_id not in self._second_start
            self._second_start.add(trial.trial_id)
            if retry and trial.has_checkpoint():
                log.warning("%s could not be restored from %s.", trial, trial.checkpoint)
            trial.drop_checkpoint()
        else:
            retry = failure.retry and trial.may_retry()
        if retry and trial.trial_id not in self._stop_requests:
            self._restart(trial)
            return
        self._decisions.fail(trial)
        self._end(trial, failure)

    def _restart(self, trial: Trial) -> None:
        """At once if there is still room, else at the end of the queue. What it repeats is not shown
        again.
        """
        trial.catching_up = trial.seen > 0
        self.trial_executor.requeue_trial(trial)
        if self.has_resources(trial.resources):
            self._start(trial)
            return
        self.scheduler_alg.on_trial_error(self, trial)
        self.scheduler_alg.on_trial_add(self, trial)

    def _resolve_standstill(self) -> None:
        """Nothing runs and nothing can start. Ends guests that do not fit; waits for clients while
        trials are held for them; else raises TuneError.
        """
        guests = [t for t in self._unfinished.values() if t.trial_id in self._guests]
        for trial in guests:
            try:
                check_resources([trial], self.trial_executor)
            except TuneError as error:
                self._on_failure(trial, TrialFailure.of(error, FailureKind.START, retry=False))
                return
        if self._holds and self._board is not None:
            with self._guard.breakable(True):
                self._board.wait(CLUSTER_POLL_S)
            return
        check_resources(self.trial_executor.get_waiting_trials(Trial.PENDING), self.trial_executor)
        states = ", ".join(sorted({trial.status for trial in self._unfinished.values()}))
        raise TuneError(
            f"No trial runs and the scheduler starts none of the {len(self._unfinished)} that "
            f"wait ({states}): {self.scheduler_alg.debug_string()}"
        )

    # The end of the run.

    def _save_running_trials(self) -> None:
        """What an interrupt leaves: a checkpoint of each running trial that can be saved."""
        deadline = time.monotonic() + INTERRUPT_PATIENCE_S
        for trial in self.trial_executor.get_running_trials():
            patience = max(0.0, deadline - time.monotonic())
            try:
                self.trial_executor.settle(trial, patience)
                decision = TrialScheduler.CONTINUE
                while self.trial_executor.has_more(trial):
                    result = self.trial_executor.fetch_result(trial)
                    decision, result, new = self._decide(trial, result)
                    self._publish(trial, result, new)
                if decision == TrialScheduler.STOP:
                    self._carry_out(trial, decision)
                elif not trial.obsolete:
                    self._save_for_resume(trial)
            except TrialFailure as failure:
                log.warning("%s could not be saved: %s", trial, failure.summary)

    def _save_for_resume(self, trial: Trial) -> None:
        """A checkpoint that pushes out none of those that are to be kept for their score."""
        try:
            wanted = trial.keeper.wants(trial.last_result)
        except (KeyError, ValueError):
            wanted = False
        if wanted:
            self.trial_executor.save(trial, Checkpoint.DISK)
            return
        self._donors.keep(trial, trial.last_result)
        self._donors.forget(trial)
        self.trial_executor.try_checkpoint_metadata(trial)

    def _print_status(self, last: bool = False) -> None:
        self._console.status(self._trials, self.scheduler_alg, self.trial_executor, last)
