"""The lock of an experiment's directory: one live run at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rltune.tune.error import TuneError

LOCK = ".run.lock"
PID = ".run.pid"
# Longer than `is_left` holds it.
PATIENCE_S = 0.2


class RunLock:
    """Held from `acquire` to `release`, or to the end of the process however it ends.

    `.run.pid` beside it tells the process that holds it, or held it last.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._lock: Any = None

    def acquire(self) -> None:
        """Raises TuneError, naming the process, while another run holds it. Twice is once."""
        from filelock import FileLock, Timeout

        if self._lock is not None:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._directory / LOCK)
        try:
            lock.acquire(timeout=PATIENCE_S)
        except Timeout:
            raise TuneError(
                f"A live run (pid {self._holder()}) works in {self._directory}. Wait for its end, "
                "stop it, or give this run another name."
            ) from None
        self._lock = lock
        (self._directory / PID).write_text(str(os.getpid()))

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _holder(self) -> str:
        try:
            return (self._directory / PID).read_text() or "unknown"
        except FileNotFoundError:
            return "unknown"


def is_left(directory: Path) -> bool:
    """Whether the run that worked in a directory last has ended, or was killed; False also where
    that cannot be told.
    """
    try:
        import fcntl

        with open(directory / LOCK, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
