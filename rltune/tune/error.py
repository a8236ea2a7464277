"""Errors of the runner."""

from __future__ import annotations

import errno
import traceback
from enum import Enum


class TuneError(Exception):
    """What goes wrong with an experiment: a bad specification, resources that do not exist, failed
    trials.
    """


class AbortTrialExecution(TuneError):
    """Raised by a trial that cannot succeed however often it is tried; it is not retried."""


class DiskFull(TuneError):
    """There is no space for a checkpoint or the experiment's state. The run can be resumed."""


def disk_full(what: str) -> DiskFull:
    return DiskFull(
        f"The disk is full ({what}). The run stops; what was saved before is whole. Free some "
        "space, then go on with resume=True."
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, is about space."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


class FailureKind(str, Enum):
    """Where a trial failed."""

    START = "start"  # its constructor, or the restore of its checkpoint
    RUN = "run"  # any later call
    DIED = "died"  # its process went away
    DISK_FULL = "disk full"  # it had no space to write to


class TrialFailure(Exception):
    """A trial's failure as text, so that it travels between processes whatever was raised."""

    def __init__(self, kind: FailureKind, summary: str, details: str, retry: bool = True):
        super().__init__(kind, summary, details, retry)
        self.kind = kind
        self.summary = summary
        self.details = details
        self.retry = retry

    def __str__(self) -> str:
        return self.details or self.summary

    def naming(self, reason: str) -> TrialFailure:
        """The same, not to be tried again, with a reason that comes first."""
        return TrialFailure(
            self.kind, f"{reason} {self.summary}", f"{reason}\n{self.details}", retry=False
        )

    @classmethod
    def of(cls, error: BaseException, kind: FailureKind, retry: bool = True) -> TrialFailure:
        """The failure that `error` is, with the traceback of where it was raised."""
        # The first frame is the runner's own.
        tail = error.__traceback__.tb_next if error.__traceback__ else None
        details = "".join(traceback.format_exception(type(error), error, tail))
        if is_disk_full(error):
            kind = FailureKind.DISK_FULL
        return cls(kind, f"{type(error).__name__}: {error}", details, retry)
