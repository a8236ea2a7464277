"""LogWriter: keeps the time that loggers take, and their hanging, away from the run."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

# How many results may wait: about as many as a run makes in a second.
CAPACITY = 2_000
# After how long a call counts as hung. Longer than what a slow network disk takes.
HANG_S = 30.0
# How long the end of a run waits for everything to be written.
DRAIN_S = 60.0
POLL_S = 0.1
# What comes within this time after the last call is taken together: results in quick succession then
# neither wait for the thread's turn nor find its code and data gone from the processor's caches.
GATHER_S = 0.02

LogCall = tuple[type, Callable[[], object]]

log = logging.getLogger(__name__)


class LogWriter:
    """Makes calls on a thread of its own, one after another and in the order they were submitted.

    A class whose call hangs is given up with a warning: its later calls are left out, those of
    others go on. While `capacity` submissions wait, `submit` waits.

    Args:
        capacity: how many submissions may wait.
        hang_s: seconds after which a call counts as hung.
    """

    def __init__(self, capacity: int = CAPACITY, hang_s: float = HANG_S):
        self._capacity, self._hang_s = capacity, hang_s
        self._submitted: queue.SimpleQueue[Sequence[LogCall] | None] = queue.SimpleQueue()
        self._calls: deque[LogCall] = deque()  # what is left of the submission under way
        self._lock = threading.Lock()  # held where one call ends or is given up
        self._current: type | None = None  # whose call is being made
        self._since = 0.0
        self._given_up: set[type] = set()
        self._thread: threading.Thread | None = None
        self._hurried = threading.Event()

    def submit(self, calls: Sequence[LogCall]) -> None:
        """Leaves calls, each with the class that answers for it. They must not raise."""
        if self._thread is None:
            self._start_thread()
        self._give_up_hung()
        while self._submitted.qsize() >= self._capacity:
            time.sleep(POLL_S)
            self._give_up_hung()
        self._submitted.put(calls)

    def drain(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds until every call has been made; whether that is so."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._hurried.set()
        self._submitted.put([(LogWriter, done.set)])
        deadline = time.monotonic() + timeout
        try:
            while not done.wait(max(0.0, min(POLL_S, deadline - time.monotonic()))):
                self._give_up_hung()
                if time.monotonic() > deadline:
                    return False
        finally:
            self._hurried.clear()
        return True

    def close(self, timeout: float = DRAIN_S) -> None:
        """Makes what is left, for at most `timeout` seconds, and ends the thread."""
        if not self.drain(timeout):
            log.warning("Loggers were not done after %g s; what they had left is lost.", timeout)
        self._submitted.put(None)
        self._thread = None

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """The thread. It ends when it was given up, or finds None."""
        me = threading.current_thread()
        while True:
            if not self._calls:
                submitted = self._submitted.get()
                if submitted is None:
                    return
                self._calls.extend(submitted)
                continue
            owner, call = self._calls.popleft()
            if owner in self._given_up:
                continue
            self._since = time.monotonic()
            self._current = owner
            call()
            with self._lock:
                if self._thread is not me:
                    return
                self._current = None
            if not self._calls and self._submitted.empty():
                self._hurried.wait(GATHER_S)

    def _give_up_hung(self) -> None:
        with self._lock:
            hung = self._current
            if hung is None or time.monotonic() - self._since < self._hang_s:
                return
            self._given_up.add(hung)
            self._current = None
            self._start_thread()
        log.warning(
            "%s has hung for %g s: the run goes on without it.", hung.__name__, self._hang_s
        )
