"""Going on with a run: its trials, and what its scheduler and search algorithm know of them."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rltune.result import TRAINING_ITERATION
from rltune.tune import journal as journals
from rltune.tune import stopping
from rltune.tune.audience import Audience
from rltune.tune.checkpoints import (
    Checkpoint,
    is_complete,
    is_donor_state,
    iteration_of,
    newest_complete,
)
from rltune.tune.error import TuneError
from rltune.tune.plain import plain
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.suggest import SearchAlgorithm
from rltune.tune.trial import Trial

if TYPE_CHECKING:
    from rltune.tune.trial_runner import TrialRunner

OVERRIDES = ("stop", "num_samples")

log = logging.getLogger(__name__)


def resumed_spec(
    old: Mapping[str, Any] | None, new: dict[str, Any], override: Collection[str]
) -> dict[str, Any]:
    """The specification that a resumed run has: the old one, with what `override` names from the
    new. A warning names the changes that have no effect.

    Raises TuneError for an unknown word in `override`.
    """
    if unknown := set(override) - set(OVERRIDES):
        raise TuneError(f"resume_override may hold {', '.join(OVERRIDES)}, not {min(unknown)!r}.")
    if old is None:
        return new
    ignored = [
        name
        for name in new
        if name in old and name not in override and _comparable(old[name]) != _comparable(new[name])
    ]
    if ignored:
        log.warning(
            "Resuming: changes to the specification have no effect, here of %s; resume_override "
            "takes %s.",
            ", ".join(ignored),
            " and ".join(OVERRIDES),
        )
    return {**new, **{name: old[name] for name in ignored}}


def trials_of(state: Mapping[str, Any], stop: Mapping[str, Any] | None) -> list[Trial]:
    """The trials of a state: finished ones as they are, the others wait, with their newest complete
    checkpoint. `stop` replaces their criteria, and reopens what ended by the old ones alone.
    """
    trials = []
    for record in state["checkpoints"]:
        trial = Trial.from_record(record)
        trials.append(trial)
        if stop is not None:
            _replace_stop(trial, stop)
        if not trial.is_finished():
            _point_to_newest(trial, record.get("seen", math.inf))
        if record["status"] == Trial.RUNNING and trial.seen_decision == TrialScheduler.PAUSE:
            trial.status = Trial.PAUSED  # all that was missing is the word
        if trial.is_finished():
            trial.donor = None
    return trials


def interrupted(state: Mapping[str, Any]) -> set[str]:
    """The ids of the trials that ran when their run ended, or were about to after a failure."""
    ran = set(state["runner_data"].get("interrupted", ()))
    for record in state["checkpoints"]:
        waits = record["status"] == Trial.PENDING
        fell = record["num_failures"] > 0 and record.get("seen_decision") != TrialScheduler.PAUSE
        if record["status"] == Trial.RUNNING or waits and fell:
            ran.add(record["trial_id"])
    return ran


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Trials that wait, as they queue after a resume: the pending ones most recently updated first,
    the paused ones as they were paused.
    """
    pause = {Trial.PAUSED: 1, Trial.PENDING: -1}
    return sorted(trials, key=lambda trial: pause[trial.status] * (trial.last_update_time or 0))


def seen_by(trials: Iterable[Trial]) -> dict[str, dict[str, Any]]:
    """What was shown last of each trial, by id: its record may be as old as its checkpoint."""
    return {
        trial.trial_id: {"seen": trial.seen, "seen_decision": trial.seen_decision}
        for trial in trials
        if trial.seen
    }


def replay(
    runner: TrialRunner, audience: Audience, scheduler: TrialScheduler, state: Mapping[str, Any]
) -> None:
    """Tells the scheduler and the search algorithm what happened, from their last snapshot on."""
    known = set(state["before"])
    saved = state["runner_data"].get("scheduler")
    if saved is not None:
        scheduler.set_state(saved)
    else:
        for trial_id, status in state["before"].items():
            if status not in (Trial.TERMINATED, Trial.ERROR):
                scheduler.on_trial_add(runner, _trial(runner, trial_id))
    ended: set[str] = set()
    for line in state["journal"]:
        fields = journals.changes(line)
        for each in fields:
            trial = _trial(runner, each["trial_id"])
            if trial.trial_id not in known:
                known.add(trial.trial_id)
                scheduler.on_trial_add(runner, trial)
        if line.get(journals.EVENT) == journals.RESULT:
            ended.update(_show(runner, audience, line))
            continue
        for each in fields:
            trial = _trial(runner, each["trial_id"])
            if each.get("status") == Trial.ERROR:
                audience.fail(runner, trial)
            elif each.get("status") == Trial.TERMINATED and trial.trial_id not in ended:
                audience.remove(runner, trial)


def _show(runner: TrialRunner, audience: Audience, line: Mapping[str, Any]) -> set[str]:
    """Shows a result again; returns the ids of the trials that it ended."""
    ended = {
        each["trial_id"]
        for each in line.get(journals.RECORDS, ())
        if each.get("status") == Trial.TERMINATED
    }
    runner.replayed_ends = frozenset(ended)
    trial = _trial(runner, line["trial_id"])
    audience.show(runner, line["how"], trial, dict(line[journals.RESULT]))
    if line["decision"] == TrialScheduler.STOP:
        ended.add(trial.trial_id)
    return ended


def search_state(state: Mapping[str, Any], search_alg: SearchAlgorithm) -> Any:
    """The newest state of the search algorithm, of which `search_alg` is another object; None if it
    kept none.
    """
    newest = state["runner_data"].get("search")
    for line in state["journal"]:
        if line.get("search") is not None:
            newest = search_alg.apply_changes(newest, line["search"])
    return newest


def _trial(runner: TrialRunner, trial_id: str) -> Trial:
    trial = runner.get_trial(trial_id)
    assert trial is not None, trial_id
    return trial


def _point_to_newest(trial: Trial, limit: float) -> None:
    """The newest checkpoint of what was seen. Of a trial that has gone on from another's state,
    only the one that was noted: others may be of its former life.
    """
    saved = trial.checkpoint.value
    newest = None if trial.perturbed else newest_complete(trial.logdir, limit)
    torn = saved is None or not is_complete(saved)
    if newest is not None and (torn or iteration_of(newest) >= iteration_of(saved)):
        saved = newest
    inherits = trial.checkpoint.inherits and saved == trial.checkpoint.value
    trial.checkpoint = Checkpoint(Checkpoint.DISK, saved, trial.last_result, inherits)
    known = saved is None or saved == trial.restore_path or is_donor_state(saved)
    if not known and saved not in trial.keeper.kept:
        trial.keeper.add(saved, None)  # it was complete, but not noted yet
    trial.catching_up = trial.seen > 0
    owed = trial.checkpoint_at_end and (saved is None or iteration_of(saved) < trial.seen)
    owed = owed or trial.last_result.get(TRAINING_ITERATION) != trial.seen
    if trial.seen_decision == TrialScheduler.STOP and not owed:
        trial.status = Trial.TERMINATED  # all that was missing is the word


def _replace_stop(trial: Trial, stop: Mapping[str, Any]) -> None:
    old, trial.stopping_criterion = trial.stopping_criterion, dict(stop)
    stopping.check(stop)
    ended = trial.status == Trial.TERMINATED or trial.seen_decision == TrialScheduler.STOP
    if not ended or not trial.last_result:
        return
    if stopping.reached(old, trial.last_result) and not stopping.reached(stop, trial.last_result):
        trial.reopen()


def _comparable(value: Any) -> Any:
    """Functions are the same if they are called the same, wherever they lie in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(plain(value)))
