"""Board: what clients see of a run, and what they ask of it.

It is all that the runner's thread and the server's thread share. The runner puts up views, which
never change, and serves requests when it is ready for them; the server reads and asks.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from rltune.tune.plain import plain

if TYPE_CHECKING:
    from rltune.tune.trial import Trial
    from rltune.tune.trial_runner import TrialRunner

# Events that a client which comes late, or comes back, can still have.
EVENTS_KEPT = 1000

_ACTIONS: dict[str, Callable[[TrialRunner, Trial], None]] = {
    "stop": lambda runner, trial: runner.stop_trial(trial),
    "pause": lambda runner, trial: runner.pause_trial(trial),
    "resume": lambda runner, trial: runner.resume_trial(trial),
}
ACTIONS = tuple(_ACTIONS)


class RunOver(Exception):
    """The run has ended: it takes no more requests."""


@dataclass(frozen=True)
class TrialView:
    """A trial at one moment. The runner replaces configs and results and does not write in them."""

    id: str
    trainable_name: str
    config: dict[str, Any]
    status: str
    result: dict[str, Any]

    @cached_property
    def json(self) -> str:
        """On one line; what JSON has no form for is its text."""
        return json.dumps(self.to_dict(plain), allow_nan=False)

    def to_dict(self, encode: Callable[[Any], Any]) -> dict[str, Any]:
        """What clients get of it; `encode` is applied to config and result."""
        return {
            "id": self.id,
            "trainable_name": self.trainable_name,
            "config": encode(self.config),
            "status": self.status,
            "result": encode(self.result),
        }

    @classmethod
    def of(cls, trial: Trial) -> TrialView:
        return cls(
            trial.trial_id, trial.trainable_name, trial.config, trial.status, trial.last_result
        )


@dataclass(frozen=True)
class Event:
    """`kind` is "status" or "result"; numbers are consecutive."""

    number: int
    kind: str
    view: TrialView


class Board:
    """See above. Every method may be called from any thread, but `serve`, `wait` and
    `close_unless_asked` are the runner's.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._views: dict[str, TrialView] = {}
        self._requests: deque[Callable[[TrialRunner], None]] = deque()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._count = 0
        self._listeners: set[Callable[[], object]] = set()
        self._closed = False

    # The runner's side.

    def show_status(self, trial: Trial) -> None:
        self._show("status", trial)

    def show_result(self, trial: Trial) -> None:
        self._show("result", trial)

    def serve(self, runner: TrialRunner) -> None:
        """Carries out what was asked since the last time, in order."""
        while self._requests:
            self._requests.popleft()(runner)

    def wait(self, timeout: float) -> None:
        """Returns when there is a request, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._requests, timeout)

    def close_unless_asked(self) -> bool:
        """Closes the board if no request waits; whether it did."""
        with self._changed:
            if self._requests:
                return False
            self.close()
            return True

    def close(self) -> None:
        """From now on requests raise RunOver, and listeners know that no event will come."""
        with self._changed:
            self._closed = True
        self._call_listeners()

    # The server's side.

    def views(self) -> list[TrialView]:
        """All trials, in order of creation."""
        with self._changed:
            return list(self._views.values())

    def view(self, trial_id: str) -> TrialView | None:
        return self._views.get(trial_id)

    def ask(self, action: str, trial_ids: Iterable[str]) -> None:
        """Asks for one of ACTIONS. Raises RunOver."""
        ids = list(trial_ids)

        def carry_out(runner: TrialRunner) -> None:
            for trial in map(runner.get_trial, ids):
                if trial is not None:
                    _ACTIONS[action](runner, trial)

        self._ask(carry_out)

    def add(self, trials: list[Trial]) -> list[TrialView]:
        """Asks to take trials into the run; they are on view at once. Raises RunOver."""

        def carry_out(runner: TrialRunner) -> None:
            for trial in trials:
                runner.add_guest(trial)

        views = [TrialView.of(trial) for trial in trials]
        self._ask(carry_out, views)
        return views

    def last_event(self) -> int:
        """The number of the newest event; 0 if there was none."""
        return self._count

    def events_after(self, number: int) -> tuple[list[Event], bool]:
        """The events after the one of this number that are still here, and whether they are the
        last of all.
        """
        with self._changed:
            oldest = self._count - len(self._events) + 1
            return list(islice(self._events, max(0, number + 1 - oldest), None)), self._closed

    @contextmanager
    def listening(self, listener: Callable[[], object]) -> Iterator[None]:
        """Within it `listener` is called, in the runner's thread, when there are new events."""
        with self._changed:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.discard(listener)

    def _ask(self, request: Callable[[TrialRunner], None], views: Iterable[TrialView] = ()) -> None:
        with self._changed:
            if self._closed:
                raise RunOver("The run has ended: it takes no more requests.")
            self._views.update((view.id, view) for view in views)
            self._requests.append(request)
            self._changed.notify_all()

    def _show(self, kind: str, trial: Trial) -> None:
        view = TrialView.of(trial)
        with self._changed:
            self._views[view.id] = view
            self._count += 1
            self._events.append(Event(self._count, kind, view))
        self._call_listeners()

    def _call_listeners(self) -> None:
        with self._changed:
            for listener in self._listeners:
                listener()
