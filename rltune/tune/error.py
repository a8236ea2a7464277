"""Errors of the runner."""

from __future__ import annotations

import traceback
from enum import Enum


class TuneError(Exception):
    """What goes wrong with an experiment: a bad specification, resources that do not exist, failed
    trials.
    """


class AbortTrialExecution(TuneError):
    """Raised by a trial that cannot succeed however often it is tried; it is not retried."""


class FailureKind(str, Enum):
    """Where a trial failed."""

    START = "start"  # its constructor, or the restore of its checkpoint
    RUN = "run"  # any later call
    DIED = "died"  # its process went away


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

    @classmethod
    def of(cls, error: BaseException, kind: FailureKind, retry: bool = True) -> TrialFailure:
        """The failure that `error` is, with the traceback of where it was raised."""
        # The first frame is the runner's own.
        tail = error.__traceback__.tb_next if error.__traceback__ else None
        details = "".join(traceback.format_exception(type(error), error, tail))
        return cls(kind, f"{type(error).__name__}: {error}", details, retry)
