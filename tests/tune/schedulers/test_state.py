"""Schedulers that are saved and restored decide as if nothing had happened (T10.1 to T10.5)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rltune.tune.schedulers import TrialScheduler
from tests.tune.schedulers.runs import Make, Trouble, schedulers, troubles

MANY = settings(max_examples=40, deadline=None)


class Recorder(TrialScheduler):
    """Hands everything on, and notes what a scheduler is told and what it decides.

    Args:
        make: makes the scheduler.
        period: another one takes over, with nothing but the state, every so many events.
        snapshot_at: from this event on, `snapshot` is the state before the first one that can be.
    """

    def __init__(self, make: Make, period: int = 10**9, snapshot_at: int = 0):
        self._make, self._period, self._snapshot_at = make, period, snapshot_at
        self.scheduler = make()
        self.events: list[tuple[str, tuple[Any, ...], str | None]] = []
        self.snapshot, self.begin = "", 0
        self._within = False  # an event; others are told then whose cause it is

    def on_trial_add(self, trial_runner: Any, *args: Any) -> None:
        self._tell("on_trial_add", trial_runner, *args)

    def on_trial_error(self, trial_runner: Any, *args: Any) -> None:
        self._tell("on_trial_error", trial_runner, *args)

    def on_trial_complete(self, trial_runner: Any, *args: Any) -> None:
        self._tell("on_trial_complete", trial_runner, *args)

    def on_trial_remove(self, trial_runner: Any, *args: Any) -> None:
        self._tell("on_trial_remove", trial_runner, *args)

    def on_trial_result(self, trial_runner: Any, *args: Any) -> str:
        return str(self._tell("on_trial_result", trial_runner, *args))

    def _tell(self, name: str, *args: Any) -> str | None:
        within, position = self._within, len(self.events)
        if not within and position % self._period == self._period - 1:
            self.scheduler = restored(self._make, json.dumps(self.scheduler.get_state()))
        if not within and not self.snapshot and position >= self._snapshot_at:
            self.snapshot, self.begin = json.dumps(self.scheduler.get_state()), position
        self.events.append((name, args[1:], None))
        self._within = True
        decision: str | None = getattr(self.scheduler, name)(*args)
        self._within = within
        self.events[position] = (name, args[1:], decision)
        return decision

    def choose_trial_to_run(self, trial_runner: Any) -> Any:
        first = self.scheduler.choose_trial_to_run(trial_runner)
        assert self.scheduler.choose_trial_to_run(trial_runner) is first  # asking changes nothing
        return first

    def debug_string(self) -> str:
        return self.scheduler.debug_string()


def restored(make: Make, state: str) -> TrialScheduler:
    scheduler = make()
    scheduler.set_state(json.loads(state))
    return scheduler


def story(recorder: Recorder) -> list[tuple[Any, ...]]:
    """What was told and decided, without what differs from run to run."""
    return [
        (name, args[0].config["index"], args[1].get("t") if args[1:] else None, decision)
        for name, args, decision in recorder.events
    ]


@MANY
@given(trouble=troubles, make=schedulers, period=st.integers(5, 50))
def test_t10_1_a_scheduler_whose_state_is_handed_on_runs_as_one(
    trouble: Trouble, make: Make, period: int
) -> None:
    undisturbed, disturbed = Recorder(make), Recorder(make, period)
    for recorder in (undisturbed, disturbed):
        trouble.runner(recorder).run()
    assert story(disturbed) == story(undisturbed)
    last = restored(make, json.dumps(disturbed.scheduler.get_state()))
    assert last.debug_string() == undisturbed.debug_string()


@MANY
@given(trouble=troubles, make=schedulers, snapshot_at=st.integers(0, 300))
def test_t10_1_events_shown_again_are_decided_again_as_they_were(
    trouble: Trouble, make: Make, snapshot_at: int
) -> None:
    """When everything is over: the runner is as it will be, and carries out nothing."""
    recorder = Recorder(make, snapshot_at=snapshot_at)
    runner = trouble.runner(recorder)
    runner.run()
    assume(recorder.snapshot)
    scheduler = restored(make, recorder.snapshot)
    runner.replaying = runner.trial_executor.replaying = True
    runner.scheduler_alg = scheduler
    for name, args, decision in recorder.events[recorder.begin :]:
        assert getattr(scheduler, name)(runner, *args) == decision
    assert scheduler.get_state() == recorder.scheduler.get_state()
