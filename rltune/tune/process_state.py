"""What a trial may leave behind in its process, and how the next one gets the process as new."""

from __future__ import annotations

import os
import random
import sys
import threading


class ProcessState:
    """The working directory, the environment and the threads of this process as they are now."""

    def __init__(self) -> None:
        self._directory = os.getcwd()
        self._environ = dict(os.environ)
        self._threads = {thread.ident for thread in threading.enumerate()}

    def restore(self) -> None:
        """Puts directory and environment back, and seeds `random` and `numpy.random` anew.

        A process that just began draws other numbers than the one before it, and so does the next
        trial: with one state for all, trials that forget to seed would be copies of each other.
        """
        os.chdir(self._directory)
        if os.environ != self._environ:
            os.environ.clear()
            os.environ.update(self._environ)
        random.seed()
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed()

    def leftovers(self) -> list[str]:
        """Threads that began since and still live, daemons too, and children that were not waited
        for. A daemon may be the function of a trial that was stopped and computes on.
        """
        current = threading.current_thread()
        left = [
            f"thread {thread.name}"
            for thread in threading.enumerate()
            if thread is not current and thread.ident not in self._threads
        ]
        return [*left, "a child process"] if _has_children() else left


def _has_children() -> bool:
    """Asked without reaping any: whoever started a child may still wait for it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
