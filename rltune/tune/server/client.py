"""TuneClient: talks to the server of a run."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

from rltune.tune.error import TuneError

TIMEOUT_S = 60.0


class TuneClient:
    """Sees and steers the trials of a run that was started `with_server=True`.

    Answers are the server's JSON as dicts: `{"trial": info}` or `{"trials": [info, ...]}`, where
    `info` has `id`, `trainable_name`, `config`, `status` and `result`. Every method raises
    TuneError for what the server refuses, and OSError if there is no server.

    Args:
        tune_address: the server's host.
        port_forward: its port, or the local one that is forwarded to it.
        token: what the server asks for, if it asks for one.
        unpickle: read the hex pickles of a server with `hex_pickles=True`. Unsafe: whoever answers
            can run code here.
    """

    def __init__(
        self,
        tune_address: str,
        port_forward: int,
        *,
        token: str | None = None,
        unpickle: bool = False,
    ):
        self._address = tune_address
        self._port = port_forward
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._unpickle = unpickle

    @property
    def server_address(self) -> str:
        return self._address

    @property
    def server_port(self) -> int:
        return self._port

    def get_all_trials(self) -> dict[str, Any]:
        return self._ask("GET", "/trials")

    def get_trial(self, trial_id: str) -> dict[str, Any]:
        return self._ask("GET", _path(trial_id))

    def add_trial(self, name: str, specification: dict[str, Any]) -> dict[str, Any]:
        """Adds the trials of an experiment, as `run_experiments({name: specification})` would make
        them; the specification must be JSON. Returns the new trials.
        """
        return self._ask("POST", "/trials", {"name": name, "spec": specification})

    def stop_trial(self, trial_id: str) -> dict[str, Any]:
        """Stops a trial, a running one with its next result. Returns it as it is now; so do the
        next two.
        """
        return self._ask("PUT", _path(trial_id))

    def pause_trial(self, trial_id: str) -> dict[str, Any]:
        """Saves a trial after its next result and keeps it from going on until `resume_trial`."""
        return self._ask("PUT", _path(trial_id), {"action": "pause"})

    def resume_trial(self, trial_id: str) -> dict[str, Any]:
        return self._ask("PUT", _path(trial_id), {"action": "resume"})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = HTTPConnection(self._address, self._port, timeout=TIMEOUT_S)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise TuneError(f"{method} {path}: {response.status} {_reason(data)}")
        answer: dict[str, Any] = json.loads(data)
        if self._unpickle:
            for info in answer.get("trials", [answer.get("trial")]):
                info.update((key, _from_hex(info[key])) for key in ("config", "result"))
        return answer


def _path(trial_id: str) -> str:
    return f"/trials/{quote(trial_id, safe='')}"


def _reason(data: bytes) -> str:
    """The server's own words, or those of something in between."""
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")


def _from_hex(text: str) -> Any:
    import cloudpickle

    return cloudpickle.loads(bytes.fromhex(text))
