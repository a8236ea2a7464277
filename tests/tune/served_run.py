"""A run with a server, on a thread, and plain HTTP requests to it."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.error import HTTPError

from rltune import tune
from rltune.resources import Resources
from rltune.tune.local_trial_executor import LocalTrialExecutor
from rltune.tune.trial import Trial
from rltune.tune.web_server import TuneClient
from tests.tune.trainables import Counter

PATIENCE_S = 20.0


class Slow(Counter):
    """A Counter whose iterations take a while, so that clients come in between."""

    def _train(self) -> dict[str, Any]:
        time.sleep(0.01)
        return super()._train()


class Slots(LocalTrialExecutor):
    """Several trials at a time in this process, in random order."""

    def __init__(self, number: int):
        super().__init__()
        self._number = number

    def has_resources(self, resources: Resources) -> bool:
        return len(self._running) < self._number

    def get_next_available_trial(self) -> Trial:
        return random.choice(list(self._running.values()))


class Answer(NamedTuple):
    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def request(
    url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request; an error is an answer too."""
    asked = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as response:
            return Answer(response.status, response.headers, response.read().decode())
    except HTTPError as error:
        return Answer(error.code, error.headers, error.read().decode())


def until(condition: Callable[[], Any]) -> Any:
    """Waits until the condition holds; returns its value."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, "this took too long"
        time.sleep(0.01)
    return value


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class ServedRun:
    """`client` and `url` reach the run; `trials` are there when it has ended."""

    def __init__(self, port: int) -> None:
        self.client = TuneClient("localhost", port)
        self.url = f"http://localhost:{port}"
        self.trials: list[Trial] = []

    def infos(self) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = self.client.get_all_trials()["trials"]
        return infos

    def ids(self) -> list[str]:
        return [info["id"] for info in self.infos()]

    def status(self, trial_id: str) -> str:
        return str(self.client.get_trial(trial_id)["trial"]["status"])

    def count(self, trial_id: str) -> int:
        """How many results the trial has."""
        return int(self.client.get_trial(trial_id)["trial"]["result"].get("count", 0))

    def is_over(self) -> bool:
        try:
            self.infos()
        except OSError:
            return True
        return False

    def stop_all(self) -> None:
        request(f"{self.url}/trials", "PUT")


@contextmanager
def served_run(trainable: Any, **kwargs: Any) -> Iterator[ServedRun]:
    """Within it the run goes on, with every trial on view. At the end all that is left of it is
    stopped, and its own exception raised.
    """
    served = ServedRun(kwargs.setdefault("server_port", free_port()))
    failure: list[BaseException] = []

    def run() -> None:
        try:
            kwargs.setdefault("trial_executor", "local")
            kwargs.setdefault("with_server", True)
            served.trials = tune.run(trainable, verbose=0, return_trials=True, **kwargs)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: failure or _has_trials(served))
        yield served
    finally:
        with suppress(OSError):  # the run may end by itself at any moment
            served.stop_all()
        thread.join(PATIENCE_S)
        if failure:
            raise failure[0]
    assert not thread.is_alive()


def _has_trials(served: ServedRun) -> bool:
    try:
        return bool(served.infos())
    except OSError:
        return False
