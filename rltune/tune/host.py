"""TrialHost: the place where a trial's trainable lives, in this process or in an actor.

Failures of user code come back as values with their traceback as text, so they are the same
wherever the trainable lives and need not be picklable.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rltune import packing
from rltune import result as keys
from rltune.trainable import Trainable
from rltune.tune.checkpoints import Checkpoint
from rltune.tune.error import AbortTrialExecution, FailureKind, TrialFailure, TuneError
from rltune.tune.logger import NoopLogger
from rltune.tune.registry import get_trainable_cls
from rltune.tune.stopping import Milestones

# How long a host may train on with results that nobody has seen: a call then costs little of it,
# and a kill loses no more than that.
AHEAD_S = 0.01


@dataclass(frozen=True)
class StartOrder:
    """What a host needs to begin a trial. `storage` says what the checkpoint is, None: no one.

    `inherits`: the checkpoint is another trial's. `rebuilds`: a trainable that is here and cannot be
    reset makes room for a new one; otherwise that ends the trial. `milestones`: nobody decides on any
    other result, so the host may go on after it; None: every result is waited for.
    """

    trainable_name: str
    config: dict[str, Any]
    logdir: str
    storage: str | None = None
    inherits: bool = False
    rebuilds: bool = False
    milestones: Milestones | None = None


class TrialHost:
    """Hosts one trainable at a time.

    `environ` is set before the trainable's module is loaded; `chdir` makes the trial's directory
    the working directory while it is hosted.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, chdir: bool = True):
        os.environ.update(environ or {})
        self._chdir = chdir
        self._trainable: Trainable | None = None
        self._start_failure: TrialFailure | None = None
        self._milestones: Milestones | None = None
        self._pace = 1

    def start(self, order: StartOrder, checkpoint: Any) -> None:
        """Constructs the trainable, or resets the one that is here, and restores the checkpoint.

        A failure is kept and is what the next call returns.
        """
        self._start_failure = self._guard(FailureKind.START, self._start, order, checkpoint)
        self._milestones, self._pace = order.milestones, 1

    def train(self) -> list[Any]:
        """One iteration, or several short ones: their results, and as the last of them the
        TrialFailure that was raised.

        How many are tried doubles while they are short, so that few results wait for a long iteration
        that follows them.
        """
        outcomes: list[Any] = []
        deadline = time.monotonic() + AHEAD_S
        while True:
            outcomes.append(self.call("train"))
            if time.monotonic() > deadline:
                self._pace = 1
                return outcomes
            if self._milestones is None or self._is_milestone(self._milestones, outcomes[-1]):
                return outcomes
            if len(outcomes) == self._pace:
                self._pace *= 2
                return outcomes

    @staticmethod
    def _is_milestone(milestones: Milestones, outcome: Any) -> bool:
        if isinstance(outcome, TrialFailure) or keys.RESULT_DUPLICATE in outcome:
            return True
        try:
            return milestones.is_one(outcome)
        except TuneError:  # which the runner will get as well
            return True

    def call(self, method: str, *args: Any) -> Any:
        """A method of the trainable; returns its value, or the TrialFailure that it raised."""
        if self._start_failure is not None:
            return self._start_failure
        return self._guard(FailureKind.RUN, getattr(self._trainable, method), *args)

    def restore(self, storage: str, checkpoint: Any) -> Any:
        return self._run(self._restore, storage, checkpoint)

    def reset_config(self, config: dict[str, Any]) -> Any:
        """Whether the trainable took on another config in place."""
        return self._run(self._reset, config)

    def save_twice(self, directory: str) -> Any:
        """Saves under `directory`; returns the checkpoint as bytes and its path."""
        return self._run(self._save_twice, directory)

    def stop(self) -> Any:
        """Stops the trainable, if there is one; the TrialFailure that it raised, or None."""
        trainable, self._trainable = self._trainable, None
        return self._guard(FailureKind.RUN, trainable.stop) if trainable is not None else None

    def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        """What it returns, or the TrialFailure that it or the start raised."""
        if self._start_failure is not None:
            return self._start_failure
        return self._guard(FailureKind.RUN, function, *args)

    def _start(self, order: StartOrder, checkpoint: Any) -> None:
        os.makedirs(order.logdir, exist_ok=True)
        if self._chdir:
            os.chdir(order.logdir)
        if self._trainable is not None and self._reset(order.config):
            self._trainable.move_to(order.logdir)
        else:
            self._make_room(order)
            self._trainable = get_trainable_cls(order.trainable_name)(
                config=copy.deepcopy(order.config),
                logger_creator=lambda config: NoopLogger(config, order.logdir),
            )
        if order.storage is not None:
            self._restore(order.storage, checkpoint, order.inherits)

    def _make_room(self, order: StartOrder) -> None:
        trainable, self._trainable = self._trainable, None
        if trainable is None:
            return
        if not order.rebuilds:
            self._trainable = trainable
            raise AbortTrialExecution(
                f"reuse_actors=True needs a reset_config of {order.trainable_name} that returns "
                "True: it has to take on the config of the next trial."
            )
        trainable.stop()

    def _reset(self, config: dict[str, Any]) -> bool:
        assert self._trainable is not None
        config = copy.deepcopy(config)
        if not self._trainable.reset_config(config):
            return False
        self._trainable.config = config
        return True

    def _save_twice(self, directory: str) -> tuple[bytes, str]:
        trainable = self._trainable
        assert trainable is not None
        path = trainable.save_into(trainable.checkpoint_directory(directory), whole=True)
        return packing.pack(directory, os.path.relpath(path, directory)), path

    def _restore(self, storage: str, checkpoint: Any, inherits: bool = False) -> None:
        trainable = self._trainable
        assert trainable is not None
        if storage == Checkpoint.MEMORY and inherits:
            trainable.inherit_from_object(checkpoint)
        elif storage == Checkpoint.MEMORY:
            trainable.restore_from_object(checkpoint)
        elif inherits:
            trainable.inherit(checkpoint)
        else:
            trainable.restore(checkpoint)

    @staticmethod
    def _guard(kind: FailureKind, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except AbortTrialExecution as error:
            return TrialFailure.of(error, kind, retry=False)
        except (Exception, SystemExit) as error:
            return TrialFailure.of(error, kind)
