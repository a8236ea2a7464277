"""Ctrl-C: the first asks a run to stop in order, the second ends the process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptGuard:
    """While it is entered, SIGINT and SIGTERM set `requested`; a second one does what it does by
    default. Only in a section that may be broken off do they raise KeyboardInterrupt at once.

    Outside the main thread it does nothing, since signals go to the main thread.
    """

    def __init__(self) -> None:
        self.requested = False
        self._breakable = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._on_signal) for s in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def breakable(self, really: bool) -> Iterator[None]:
        """A section in which a signal raises at once, if `really`."""
        self.check()
        self._breakable = really
        try:
            yield
        finally:
            self._breakable = False

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        print("\nStopping. Once more stops at once.", file=sys.stderr, flush=True)
        if self._breakable:
            self._breakable = False
            raise KeyboardInterrupt
