"""LocalTrialExecutor: trials one after another in this process, without Ray."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rltune.resources import Resources
from rltune.tune.error import TrialFailure
from rltune.tune.host import StartOrder, TrialHost
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import HostHandle, TrialExecutor

log = logging.getLogger(__name__)


class LocalTrialExecutor(TrialExecutor):
    """Runs one trial at a time, whatever it asks for: resources are not counted.

    While trial code runs, the working directory is the trial's; it and the environment variables
    are put back afterwards. `CUDA_VISIBLE_DEVICES` is left as it is.
    """

    # An iteration runs in this process: breaking it off would leave the trainable in no state.
    interruptible = False

    def has_resources(self, resources: Resources) -> bool:
        return not self._running

    def resource_string(self) -> str:
        return f"{os.cpu_count()} CPUs, 0 GPUs"

    def debug_string(self) -> str:
        cpus = sum(trial.resources.cpu_total() for trial in self.get_running_trials())
        gpus = sum(trial.resources.gpu_total() for trial in self.get_running_trials())
        return f"Resources used: {cpus:g}/{os.cpu_count()} CPUs, {gpus:g}/0 GPUs"

    def get_next_available_trial(self) -> Trial:
        return next(iter(self._running.values()))

    def fetch_result(self, trial: Trial) -> dict[str, Any]:
        result: dict[str, Any] = trial.runner.call("call", "train")
        return result

    def settle(self, trial: Trial, timeout: float) -> None:
        """Nothing is under way between two calls."""

    def has_more(self, trial: Trial) -> bool:
        return False

    def open_host(self, trial: Trial) -> HostHandle:
        return _LocalHandle()


class _LocalHandle:
    """A host in this process. An iteration runs when it is fetched."""

    def __init__(self) -> None:
        self._host = TrialHost(chdir=False)
        self._logdir = "."
        self._environ = dict(os.environ)

    def start(self, order: StartOrder, checkpoint: Any) -> None:
        self._logdir = order.logdir
        with self._inside():
            self._host.start(order, checkpoint)

    def begin_train(self) -> None:
        """Nothing to do ahead: there is one process."""

    def call(self, method: str, *args: Any) -> Any:
        with self._inside():
            value = getattr(self._host, method)(*args)
        if isinstance(value, TrialFailure):
            raise value
        return value

    def save_to_object(self) -> Any:
        return self.call("call", "save_to_object")

    def save_twice(self, directory: str) -> tuple[Any, str]:
        value, path = self.call("save_twice", directory)
        return value, path

    def close(self) -> None:
        with self._inside():
            failure = self._host.stop()
        if failure is not None:
            log.warning("Stopping a trial failed: %s", failure)
        os.environ.clear()
        os.environ.update(self._environ)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        before = os.getcwd()
        try:
            os.chdir(self._logdir)
        except FileNotFoundError:
            os.makedirs(self._logdir, exist_ok=True)
            os.chdir(self._logdir)
        try:
            yield
        finally:
            os.chdir(before)
