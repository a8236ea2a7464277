"""Trainables that are functions: `f(config, reporter)`, or `f(config)` with `track.log`.

The function runs on its own thread, in lock step with `train()`: a report blocks it until the next
iteration is asked for, so that results and decisions keep their order.
"""

from __future__ import annotations

import inspect
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from rltune.result import DONE, RESULT_DUPLICATE, TIME_THIS_ITER_S
from rltune.trainable import Trainable
from rltune.tune import track
from rltune.tune.error import AbortTrialExecution, TuneError

TrainFunction = Callable[..., Any]

# How long a stopped function has to leave its last report; one that computes on is left behind.
STOP_GRACE_S = 0.2


class _Stopped(SystemExit):
    """Raised by a report of a trial that was stopped: unwinds the function, and no thread shows
    it.
    """


class StatusReporter:
    """What a training function reports with: `reporter(mean_loss=0.1, done=True)`."""

    def __init__(self, logdir: str | None = None):
        self.logdir = logdir
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._go_on = threading.Semaphore(0)
        self._stopped = False
        self._last_report = time.monotonic()

    def __call__(self, **metrics: Any) -> None:
        """Reports metrics; returns when the next iteration may begin."""
        now = time.monotonic()
        metrics.setdefault(TIME_THIS_ITER_S, now - self._last_report)
        self._last_report = now
        self._items.put(metrics)
        self._go_on.acquire()
        if self._stopped:
            raise _Stopped

    def run(self, function: Callable[[], Any]) -> None:
        """The thread: runs the function; its end is the last item."""
        self._last_report = time.monotonic()
        try:
            function()
        except _Stopped:
            return
        except BaseException as error:  # raised again in train(), whatever it is
            self._items.put(error)
        else:
            self._items.put(None)

    def next_item(self) -> Any:
        """The next report; None when the function has returned, its exception when it raised."""
        return self._items.get()

    def release(self, stop: bool = False) -> None:
        self._stopped = stop
        self._go_on.release()


class FunctionRunner(Trainable):
    """Runs a function as a trainable. Functions cannot be saved."""

    _function: TrainFunction

    def _setup(self, config: dict[str, Any]) -> None:
        self._reporter = StatusReporter(self.logdir)
        self._last_result: dict[str, Any] | None = None
        self._thread = threading.Thread(
            target=self._reporter.run,
            args=(lambda: type(self)._function(config, self._reporter),),
            name=f"trial-{type(self).__name__}",
            daemon=True,
        )

    def _train(self) -> dict[str, Any]:
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._reporter.release()
        item = self._reporter.next_item()
        if isinstance(item, BaseException):
            raise item
        if item is not None:
            self._last_result = item
            return dict(item)
        if self._last_result is None:
            raise TuneError(
                f"The function {type(self).__name__} returned without reporting. Call "
                "reporter(...) or track.log(...) at least once."
            )
        return {**self._last_result, DONE: True, RESULT_DUPLICATE: True}

    def _save(self, checkpoint_dir: str) -> str:
        raise AbortTrialExecution(
            f"Functions cannot be checkpointed: {type(self).__name__} is a function. Use a "
            "Trainable class, or neither checkpoint_freq nor checkpoint_at_end."
        )

    def _restore(self, checkpoint: Any) -> None:
        raise AbortTrialExecution(
            f"Functions cannot be restored: {type(self).__name__} is a function."
        )

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._reporter.release(stop=True)
            self._thread.join(STOP_GRACE_S)


def wrap_function(function: TrainFunction) -> type[FunctionRunner]:
    """A trainable class that runs `function`.

    A function whose only argument is not called `reporter` reports with `track.log`.
    """
    run = _tracked(function) if _uses_track(function) else function
    name = getattr(function, "__name__", type(function).__name__)
    return type(name, (FunctionRunner,), {"_function": staticmethod(run)})


def _uses_track(function: TrainFunction) -> bool:
    names = list(inspect.signature(function).parameters)
    return len(names) == 1 and names != ["reporter"]


def _tracked(function: TrainFunction) -> TrainFunction:
    def run(config: dict[str, Any], reporter: StatusReporter) -> None:
        session = track.init(_tune_reporter=reporter)
        try:
            function(config)
        finally:
            track.end(session)

    return run
