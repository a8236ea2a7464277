"""Donors: states of trials that others may go on from."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from rltune.tune.checkpoints import (
    Checkpoint,
    donor_directory,
    is_donor_state,
    remove,
    remove_others,
)
from rltune.tune.error import TrialFailure, TuneError
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor

log = logging.getLogger(__name__)


class Donors:
    """Keeps one state per donor: in the object store, which a copy comes from, and on disk, which a
    resumed run goes on from. A state on disk lives as long as the record of some trial names it; what
    is removed goes on a thread of its own, since some file systems take milliseconds for it.
    """

    def __init__(self, executor: TrialExecutor):
        self._executor = executor
        self._in_memory: dict[str, Checkpoint] = {}
        self._trials: dict[str, Trial] = {}  # whose records may name such states
        self._named: dict[str, set[str]] = {}
        self._copies: list[tuple[Trial, Checkpoint, Checkpoint]] = []
        self._remover = ThreadPoolExecutor(1, "donors")
        executor.checkpoints_in_use.remove = self._remove

    def keep(self, trial: Trial, result: dict[str, Any]) -> None:
        """Saves the present state of a trial that is between two iterations. Raises TrialFailure."""
        assert trial.logdir is not None
        directory = donor_directory(trial.logdir)
        try:
            value, path = trial.runner.save_twice(directory)
        except TrialFailure:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        self._in_memory[trial.trial_id] = Checkpoint(Checkpoint.MEMORY, value, result, True)
        trial.donor = path
        # The trial itself goes on from there too, if this run is killed before it saves again.
        trial.on_disk = Checkpoint(Checkpoint.DISK, path, result)
        self._trials[trial.trial_id] = trial

    def forget(self, trial: Trial) -> None:
        """Nobody will copy the trial's state any more."""
        self._in_memory.pop(trial.trial_id, None)
        trial.donor = None

    def state_of(self, trial: Trial) -> Checkpoint | None:
        """What was kept of a trial that has not trained since, as its own state; None if it has."""
        kept = self._in_memory.get(trial.trial_id)
        if kept is None or kept.last_result is not trial.last_result:
            return None
        return replace(kept, inherits=False)

    def copy(self, trial: Trial, donor: Trial) -> None:
        """The trial's next iteration begins from the donor's state, once `carry_out` was called.

        Raises TuneError if the donor has none, or the trial is in the middle of an iteration.
        """
        if donor.donor is None:
            raise TuneError(f"{trial} cannot go on from {donor}, of which no state was kept.")
        on_disk = Checkpoint(Checkpoint.DISK, donor.donor, donor.last_result, True)
        state = self._in_memory.get(donor.trial_id, on_disk)
        self._copies.append((trial, state, on_disk))
        self._trials[trial.trial_id] = trial

    def carry_out(self) -> list[Trial]:
        """Makes the copies that were asked for since the last call; returns their trials."""
        copies, self._copies = self._copies, []
        for trial, state, on_disk in copies:
            trial.on_exploit(state, on_disk)
        return [trial for trial, _, _ in copies]

    def resume(self, trials: Sequence[Trial]) -> None:
        """Takes over what the records of these trials name, and removes what none of them does."""
        self._trials = {trial.trial_id: trial for trial in trials}
        self.settle()
        states = {path for named in self._named.values() for path in named}
        for trial in trials:
            if trial.logdir is not None:
                kept = trial.keeper.kept
                remove_others(trial.logdir, {*states, *kept}, trial.keeper.number is None)

    def close(self) -> None:
        """Waits until everything is removed."""
        self._remover.shutdown()

    def settle(self) -> None:
        """Removes the states that no record names any longer: call it when records are written."""
        in_use = self._executor.checkpoints_in_use
        for trial_id, trial in list(self._trials.items()):
            paths = (trial.donor, trial.on_disk.value)
            named = {path for path in paths if path is not None and is_donor_state(path)}
            before = self._named.pop(trial_id, set())
            for path in named - before:
                in_use.hold(path)
            for path in before - named:
                in_use.defer(path)
                in_use.release(path)
            if named:
                self._named[trial_id] = named
            else:
                del self._trials[trial_id]

    def _remove(self, path: str) -> None:
        """No other state ever has the path of a donor's, so that this one may go late."""
        if is_donor_state(path):
            self._remover.submit(_remove_if_possible, path)
        else:
            remove(path)


def _remove_if_possible(path: str) -> None:
    try:
        remove(path)
    except OSError as error:
        log.warning("%s was not removed: %s", path, error)
