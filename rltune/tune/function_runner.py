"""Trainables that are functions: `f(config, reporter)`, or `f(config)` with `track.log`.

The function runs on its own thread, in lock step with `train()`: a report blocks it until the next
iteration is asked for, so that results and decisions keep their order.

A function is checkpointable if it says how it is saved, and takes back what it finds at its start:

    def train(config, reporter):
        model = Model(config)
        if reporter.restored_from:
            model.load(f"{reporter.restored_from}/model.pt")
        reporter.save_with(lambda directory: model.save(f"{directory}/model.pt"))
        while True:
            reporter(mean_loss=model.step())
"""

from __future__ import annotations

import copy
import inspect
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rltune import packing
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
    """What a training function reports with: `reporter(mean_loss=0.1, done=True)`.

    Args:
        logdir: the trial's directory.
        restored_from: see the property.
        iteration: iterations that the trial had done when the function started.
    """

    def __init__(
        self, logdir: str | None = None, restored_from: str | None = None, iteration: int = 0
    ):
        self.logdir = logdir
        self.iteration = iteration
        self.write: Callable[[str], Any] | None = None
        self.has_restored = restored_from is None
        self._restored_from = restored_from
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

    def save_with(self, write: Callable[[str], Any]) -> None:
        """Says how the function is saved: `write(directory)` puts what it needs to go on into that
        directory, which exists.

        It is called whenever a checkpoint is due, on another thread, while the function waits in
        its report or has returned; so it sees the state as it was reported. Call this before the
        first report; a later call replaces it.
        """
        self.write = write

    @property
    def restored_from(self) -> str | None:
        """The directory that an earlier `write` filled and that this start goes on from, or None
        when the trial begins anew. Read it before the first report: it may be gone afterwards.
        """
        self.has_restored = True
        return self._restored_from

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
    """Runs a function as a trainable, which can be saved as far as the function says how."""

    _function: TrainFunction

    def _setup(self, config: dict[str, Any]) -> None:
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._prepare()

    def _prepare(self, restored_from: str | None = None) -> None:
        """A thread that will run the function from its beginning."""
        reporter = StatusReporter(self.logdir, restored_from, self.iteration)
        config = copy.deepcopy(self.config)
        self._reporter = reporter
        self._last_result: dict[str, Any] | None = None
        self._thread = threading.Thread(
            target=reporter.run,
            args=(lambda: type(self)._function(config, reporter),),
            name=f"trial-{type(self).__name__}",
            daemon=True,
        )

    def _train(self) -> dict[str, Any]:
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._reporter.release()
        item = self._reporter.next_item()
        self._drop_unpacked()
        if isinstance(item, BaseException):
            raise item
        self._check_restored()
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
        if self._reporter.write is None:
            raise AbortTrialExecution(
                "Functions cannot be checkpointed unless they say how: "
                f"{type(self).__name__} has not called reporter.save_with(write). Call it before "
                "the first report, use a Trainable class, or set neither checkpoint_freq nor "
                "checkpoint_at_end."
            )
        self._reporter.write(checkpoint_dir)
        return checkpoint_dir

    def _restore(self, checkpoint: Any) -> None:
        self._stop()
        self._prepare(restored_from=checkpoint)

    @contextmanager
    def _files_of(self, packed: bytes) -> Iterator[str]:
        """As of any Trainable; but the files stay until the first report, since the function reads
        them when it starts.
        """
        unpacked = tempfile.TemporaryDirectory(prefix="restored", dir=self.logdir)
        yield os.path.join(unpacked.name, packing.unpack(packed, unpacked.name))
        self._unpacked = unpacked

    def _check_restored(self) -> None:
        if not self._reporter.has_restored:
            raise AbortTrialExecution(
                f"Functions cannot be restored unless they do it: {type(self).__name__} has begun "
                "anew, since it did not look at reporter.restored_from before its first report."
            )

    def _drop_unpacked(self) -> None:
        if self._unpacked is not None:
            self._unpacked.cleanup()
            self._unpacked = None

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._reporter.release(stop=True)
            self._thread.join(STOP_GRACE_S)
        self._drop_unpacked()


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
