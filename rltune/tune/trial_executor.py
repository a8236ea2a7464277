"""TrialExecutor: starts, steps, saves and stops trials somewhere."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from rltune.resources import Resources
from rltune.tune import json_encoding
from rltune.tune.checkpoints import Checkpoint, CheckpointsInUse
from rltune.tune.error import TrialFailure, TuneError
from rltune.tune.function_runner import FunctionRunner
from rltune.tune.host import StartOrder
from rltune.tune.log_writer import LogWriter
from rltune.tune.plain import plain
from rltune.tune.stopping import Milestones
from rltune.tune.trial import Trial

# How long the end of a trial waits for its loggers, so that what the experiment's state calls
# finished has its results on disk. They take milliseconds, unless one is slow.
LOG_PATIENCE_S = 1.0

log = logging.getLogger(__name__)


class HostHandle(Protocol):
    """An executor's grip on one TrialHost."""

    def start(self, order: StartOrder, checkpoint: Any) -> None:
        """Begins a trial; does not wait. A failure shows in the next call."""

    def begin_train(self) -> None:
        """Asks for the next iteration, unless it is there already; does not wait."""

    def call(self, method: str, *args: Any) -> Any:
        """A method of the host, waited for. Raises TrialFailure."""

    def save_to_object(self) -> Any:
        """Saves the trainable; returns what `start` and `restore` take as a checkpoint in memory.

        Raises TrialFailure.
        """

    def save_twice(self, directory: str) -> tuple[Any, str]:
        """Saves the trainable under `directory` and in memory; returns the checkpoint in memory and
        the path. Raises TrialFailure.
        """

    def close(self) -> None:
        """Stops the trainable and gives back what it held; does not wait."""


class TrialExecutor(ABC):
    """The life of trials in terms of hosts; where a host lives is up to the subclasses.

    One `train` is outstanding per running trial, from `start_trial` or `continue_training` until
    `fetch_result`. With `undecided_until` it may bring several results, fetched one by one; nothing else is
    done with a trial while it `has_more` of them, since its process has done what they tell.
    Failures of a trial are TrialFailure, whatever its code raised.

    Args:
        queue_trials: start trials that do not fit yet, as long as there is some of each resource.
        reuse_actors: give the host of a stopped trial to the next that starts from a checkpoint.
    """

    # Whether waiting for a result may be broken off at any moment without harm to a trial.
    interruptible = True

    def __init__(self, queue_trials: bool = False, reuse_actors: bool = False):
        self._queue_trials = queue_trials
        self._reuse_actors = reuse_actors
        self._running: dict[str, Trial] = {}
        self._waiting: dict[str, dict[str, Trial]] = {Trial.PENDING: {}, Trial.PAUSED: {}}
        self._records: dict[str, str] = {}
        self._kept: tuple[str, HostHandle] | None = None
        self.on_record: Callable[[str, str], None] | None = None  # hears of refreshed records
        self.on_status: Callable[[Trial], None] | None = None  # hears of every change of state
        self.log_writer: LogWriter | None = None  # where loggers work; None: in the loop
        self.checkpoints_in_use = CheckpointsInUse()
        self._restoring: dict[str, str] = {}  # the checkpoint that a trial starts from, by trial id
        self.changes = 0  # how often a trial has changed its state
        # By which criteria a trial's results are decided on; None: any may be, and is waited for.
        self.undecided_until: Callable[[Trial], Mapping[str, float] | None] = lambda trial: None
        self.replaying = False  # whether schedulers are shown what has happened already

    # Where trials run.

    @abstractmethod
    def has_resources(self, resources: Resources) -> bool:
        """Whether a trial that needs this can start now."""

    def why_never(self, trial: Trial) -> str | None:
        """Why a trial cannot start however long it waits; None if it can. By default: it does not
        fit although nothing runs.
        """
        if self._running or self.has_resources(trial.resources):
            return None
        return "it does not fit although nothing else runs. Lower what it needs"

    @abstractmethod
    def resource_string(self) -> str:
        """What there is: `4 CPUs, 0 GPUs`."""

    @abstractmethod
    def debug_string(self) -> str:
        """The resource line of the status block."""

    @abstractmethod
    def get_next_available_trial(self) -> Trial:
        """Waits for a running trial that has a result."""

    @abstractmethod
    def fetch_result(self, trial: Trial) -> dict[str, Any]:
        """The result of the outstanding iteration. Raises TrialFailure."""

    @abstractmethod
    def has_more(self, trial: Trial) -> bool:
        """Whether `fetch_result` gives something at once."""

    @abstractmethod
    def settle(self, trial: Trial, timeout: float) -> None:
        """Waits for the iteration under way, if there is one: the trial `has_more` then, which is a
        failure when the time, in seconds, is over.
        """

    @abstractmethod
    def open_host(self, trial: Trial) -> HostHandle:
        """A new host with what the trial needs."""

    def on_step_begin(self) -> None:  # noqa: B027
        """Called before each step of the runner."""

    def on_step_end(self) -> None:  # noqa: B027
        """Called after each step of the runner."""

    def cleanup(self) -> None:
        """Ends every host that is left. The executor can be used again."""
        for trial in self.get_running_trials():
            self._release(trial, keep=False)
        self._drop_kept()

    # The life of a trial.

    def start_trial(self, trial: Trial, checkpoint: Checkpoint | None = None) -> None:
        """Starts a trial, from `checkpoint` or its own if it has one. Does not wait: a failing
        constructor or restore comes out of `fetch_result`.
        """
        checkpoint = checkpoint or trial.checkpoint
        trial.init_logger(self.log_writer)
        restores = checkpoint.value is not None
        handle = self._take_kept(trial) if restores else None
        if not restores:
            self._drop_kept()
        trial.runner = handle or self.open_host(trial)
        self.set_status(trial, Trial.RUNNING)
        self._running[trial.trial_id] = trial
        self._begin(trial, checkpoint)

    def start_again(self, trial: Trial) -> None:
        """A running trial goes on from its checkpoint, with its config, in the host that it has."""
        self._has_restored(trial)
        self._begin(trial, trial.checkpoint, rebuilds=True)

    def _begin(self, trial: Trial, checkpoint: Checkpoint, rebuilds: bool = False) -> None:
        assert trial.logdir is not None
        trial.obsolete = False
        restores = checkpoint.value is not None
        if restores and checkpoint.storage == Checkpoint.DISK:
            self.checkpoints_in_use.hold(checkpoint.value)
            self._restoring[trial.trial_id] = checkpoint.value
        order = StartOrder(
            trial.trainable_name,
            trial.config,
            trial.logdir,
            checkpoint.storage if restores else None,
            checkpoint.inherits,
            rebuilds,
            self._milestones(trial),
        )
        trial.runner.start(order, checkpoint.value)
        trial.runner.begin_train()

    def _milestones(self, trial: Trial) -> Milestones | None:
        """None for a function, which is held up at each report until that is processed."""
        decided = self.undecided_until(trial)
        if decided is None or issubclass(trial.get_trainable_cls(), FunctionRunner):
            return None
        return replace(trial.milestones(), decided=decided)

    def continue_training(self, trial: Trial) -> None:
        """Asks a running trial for its next iteration."""
        self._has_restored(trial)
        trial.runner.begin_train()

    def stop_trial(self, trial: Trial, error: bool = False, error_msg: str | None = None) -> None:
        """Ends a trial: its state is ERROR or TERMINATED. `error_msg` is written to a file."""
        if error_msg is not None:
            trial.write_error(error_msg)
        self._release(trial, keep=not error)
        trial.close_logger()
        if self.log_writer is not None:
            self.log_writer.drain(LOG_PATIENCE_S)
        self.set_status(trial, Trial.ERROR if error else Trial.TERMINATED)

    def pause_trial(self, trial: Trial, save: bool = True) -> None:
        """Saves a trial in memory and frees what it held; `save` false: it goes on from the
        checkpoint that it has. Raises TrialFailure.
        """
        if save:
            self.save(trial, Checkpoint.MEMORY)
        self._release(trial, keep=True)
        self.set_status(trial, Trial.PAUSED)

    def unpause_trial(self, trial: Trial) -> None:
        """A paused trial waits for its start again."""
        if not self.replaying:
            self.set_status(trial, Trial.PENDING)

    def resume_trial(self, trial: Trial) -> None:
        """Starts a paused trial from where it was."""
        assert trial.status == Trial.PAUSED, trial.status
        self.start_trial(trial)

    def requeue_trial(self, trial: Trial) -> None:
        """Ends the host of a running trial; the trial waits for another start."""
        self._release(trial, keep=False)
        self.set_status(trial, Trial.PENDING)

    def reset_trial(
        self, trial: Trial, new_config: dict[str, Any], new_experiment_tag: str
    ) -> bool:
        """Gives a running trial another config and tag; False if its trainable cannot do that in
        place.
        """
        trial.update_config(new_config, new_experiment_tag)
        return bool(trial.runner.call("reset_config", new_config))

    def save(
        self, trial: Trial, storage: str = Checkpoint.DISK, result: dict[str, Any] | None = None
    ) -> Any:
        """Saves a running trial; returns the checkpoint's path, or the object in memory.

        Checkpoints that are not to be kept any longer are removed. Raises TrialFailure.
        """
        if storage == Checkpoint.MEMORY:
            value = trial.runner.save_to_object()
            trial.checkpoint = Checkpoint(storage, value, trial.last_result)
            return value
        path = trial.runner.call("call", "save")
        trial.checkpoint = Checkpoint(storage, path, trial.last_result)
        dropped = trial.keeper.add(path, result or trial.last_result)
        self.try_checkpoint_metadata(trial)  # no record names what is gone
        for each in dropped:
            if not self.checkpoints_in_use.defer(each):
                self._delete(trial, each)
        return path

    def restore(self, trial: Trial, checkpoint: Checkpoint | None = None) -> bool:
        """Restores a running trial in place; whether there was a checkpoint. Raises
        TrialFailure.
        """
        checkpoint = checkpoint or trial.checkpoint
        if checkpoint.value is None:
            return False
        trial.runner.call("restore", checkpoint.storage, checkpoint.value)
        return True

    def export_trial_if_needed(self, trial: Trial) -> dict[str, str]:
        """Exports what the trial's `export_formats` name; returns format -> path."""
        if not trial.export_formats:
            return {}
        exported = trial.runner.call("call", "export_model", trial.export_formats)
        return dict(exported)

    def get_running_trials(self) -> list[Trial]:
        return list(self._running.values())

    def get_waiting_trials(self, status: str) -> Collection[Trial]:
        """The trials that are PENDING or PAUSED, in the order in which they became so."""
        return self._waiting[status].values()

    def set_status(self, trial: Trial, status: str) -> None:
        """Moves a trial to another state, if it is not there, and refreshes its record."""
        for waiting in self._waiting.values():
            waiting.pop(trial.trial_id, None)
        trial.status = status
        if status in self._waiting:
            self._waiting[status][trial.trial_id] = trial
        self.changes += 1
        self.try_checkpoint_metadata(trial)
        if self.on_status is not None:
            self.on_status(trial)

    # Records for the experiment state.

    def try_checkpoint_metadata(self, trial: Trial) -> None:
        """Refreshes the record of a trial."""
        record = trial.to_record()
        try:
            text = json_encoding.dumps(record)
        except Exception as error:  # whatever pickling the user's objects raises
            if trial.trial_id not in self._records:
                log.warning("%s cannot be resumed later: %s", trial, error)
            text = json_encoding.dumps(plain(record))
        self._records[trial.trial_id] = text
        if self.on_record is not None:
            self.on_record(trial.trial_id, text)

    def get_checkpoints(self) -> dict[str, str]:
        """The record of each trial as JSON, by trial id."""
        return dict(self._records)

    # Hosts.

    def _delete(self, trial: Trial, path: str) -> None:
        if not os.path.dirname(path):
            return
        try:
            trial.runner.call("call", "delete_checkpoint", path)
        except TrialFailure as failure:
            log.warning("%s: the checkpoint %s was not removed: %s", trial, path, failure.summary)

    def _has_restored(self, trial: Trial) -> None:
        """Whatever became of it, the start of the trial needs its checkpoint no longer."""
        path = self._restoring.pop(trial.trial_id, None)
        if path is not None:
            self.checkpoints_in_use.release(path)

    def _release(self, trial: Trial, keep: bool) -> None:
        """Takes the host from a trial, for the next one or for good."""
        self._has_restored(trial)
        self._running.pop(trial.trial_id, None)
        handle, trial.runner = trial.runner, None
        if handle is None:
            return
        if keep and self._reuse_actors:
            self._drop_kept()
            self._kept = (_shape(trial), handle)
        else:
            handle.close()

    def _take_kept(self, trial: Trial) -> HostHandle | None:
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        if kept[0] == _shape(trial):
            return kept[1]
        kept[1].close()
        return None

    def _drop_kept(self) -> None:
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None


def _shape(trial: Trial) -> str:
    """Hosts can change hands between trials of the same shape."""
    return f"{trial.trainable_name} {trial.resources}"


def check_resources(trials: Iterable[Trial], executor: TrialExecutor) -> None:
    """Raises TuneError for a trial that can never start."""
    fit: Resources | None = None
    for trial in trials:
        if trial.resources == fit:
            continue
        why = executor.why_never(trial)
        if why is not None:
            helping = trial.get_trainable_cls().resource_help(trial.config)
            raise TuneError(
                f"Insufficient resources for {trial}: it needs "
                f"{trial.resources.summary_string()}, the cluster has "
                f"{executor.resource_string()}: {why}, or pass "
                f"queue_trials=True to wait until the cluster has grown. {helping}".rstrip()
            )
        fit = trial.resources
