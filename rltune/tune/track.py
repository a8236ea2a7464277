"""Reporting from anywhere in a training function: `track.log(mean_loss=0.1)`.

Functions of one argument run in a session that logs to their trial. Outside a trial, `init()`
begins a session that logs to files of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rltune.result import TRAINING_ITERATION, TRIAL_ID, default_results_dir
from rltune.trainable import date_text
from rltune.tune.logger import UnifiedLogger

if TYPE_CHECKING:
    from rltune.tune.function_runner import StatusReporter

_session: TrackSession | None = None


class TrackSession:
    """One series of logged metrics: a trial's, or one with its own directory."""

    def __init__(
        self,
        trial_name: str = "",
        experiment_dir: str | None = None,
        trial_config: dict[str, Any] | None = None,
        _tune_reporter: StatusReporter | None = None,
    ):
        self._iteration = _tune_reporter.iteration - 1 if _tune_reporter else -1
        self._reporter = _tune_reporter
        self._logger: UnifiedLogger | None = None
        self.trial_config = trial_config or {}
        self.trial_id = uuid.uuid4().hex[:8]
        if _tune_reporter is not None:
            self._dir = str(_tune_reporter.logdir or os.getcwd())
            return
        name = "_".join(part for part in (trial_name, date_text(), self.trial_id) if part)
        self._dir = os.path.join(os.path.expanduser(experiment_dir or default_results_dir()), name)
        os.makedirs(self._dir)
        self._logger = UnifiedLogger(self.trial_config, self._dir)

    def log(self, **metrics: Any) -> None:
        """One result. `training_iteration`, where it is not given, counts the calls from 0, or on
        from where the trial was restored.
        """
        self._iteration += 1
        metrics.setdefault(TRAINING_ITERATION, self._iteration)
        if self._reporter is not None:
            self._reporter(**metrics)  # the runner adds the trial's own id
        elif self._logger is not None:
            self._logger.on_result({**metrics, TRIAL_ID: self.trial_id})

    def trial_dir(self) -> str:
        return self._dir

    def save_with(self, write: Callable[[str], Any]) -> None:
        if self._reporter is not None:
            self._reporter.save_with(write)

    def restored_from(self) -> str | None:
        return self._reporter.restored_from if self._reporter is not None else None

    def close(self) -> None:
        if self._logger is not None:
            self._logger.close()


def init(**kwargs: Any) -> TrackSession:
    """Begins the session of this process. Raises ValueError if there is one."""
    global _session
    if _session is not None:
        raise ValueError("A track session is running already: call track.shutdown() first.")
    _session = TrackSession(**kwargs)
    return _session


def end(session: TrackSession) -> None:
    """Closes `session`; a later one that has begun meanwhile stays."""
    global _session
    session.close()
    if _session is session:
        _session = None


def shutdown() -> None:
    """Ends the session of this process, if there is one."""
    if _session is not None:
        end(_session)


def log(**metrics: Any) -> None:
    """Logs a result of the running session. Raises ValueError if there is none."""
    _running().log(**metrics)


def trial_dir() -> str:
    """The directory of the running session. Raises ValueError if there is none."""
    return _running().trial_dir()


def save_with(write: Callable[[str], Any]) -> None:
    """Says how the function is saved, as `reporter.save_with`; outside a trial nothing calls it.

    Raises ValueError if no session is running.
    """
    _running().save_with(write)


def restored_from() -> str | None:
    """What the function goes on from, as `reporter.restored_from`; None outside a trial.

    Raises ValueError if no session is running.
    """
    return _running().restored_from()


def _running() -> TrackSession:
    if _session is None:
        raise ValueError("No track session: call track.init() first.")
    return _session
