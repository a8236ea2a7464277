"""The client API (T8): who is let in, and that what comes in can do no harm."""

from __future__ import annotations

import http.client
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.server.board import Board
from rltune.tune.trial import Trial
from rltune.tune.web_server import ServerSettings, TuneClient, TuneServer
from tests.tune.served_run import Answer, request
from tests.tune.trainables import Counter

TOKEN = "a secret"
LIMIT = 10_000


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TuneServer]:
    tune.register_trainable("Counter", Counter)
    local_dir = str(tmp_path_factory.mktemp("run"))
    with TuneServer(Board(), 0, local_dir, ServerSettings(max_body_bytes=LIMIT)) as server:
        server.board.show_status(Trial("Counter", trial_id="t"))
        yield server


@pytest.fixture
def server(shared_server: TuneServer) -> TuneServer:
    """A server with one trial on its board, and nobody to serve what is asked."""
    shared_server.board._requests.clear()
    return shared_server


def ask(server: TuneServer, method: str = "GET", path: str = "/trials", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(f"http://127.0.0.1:{server.port}{path}", method, headers=named)


def post(server: TuneServer, body: Any, content_type: str = "application/json") -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{server.port}/trials"
    return request(url, "POST", data, {"Content-Type": content_type})


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/trials", "/trials/t", "/events", "/openapi.json", "/nowhere"])
def test_a_host_of_another_name_is_refused(server: TuneServer, method: str, path: str) -> None:
    """DNS rebinding: a web page whose own name was made to point here still sends that name."""
    assert ask(server, method, path, Host=f"evil.example:{server.port}").status == 403
    assert ask(server, method, path, Origin="http://evil.example").status == 403
    assert not server.board._requests


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:5555", 200),  # a forwarded port
        ("127.0.0.1:1", 200),
        ("[::1]:4321", 200),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example@localhost", 403),
        ("localhost@evil.example", 403),
        ("[::1].evil.example", 403),
        ("localhost:80:80", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_known_hosts(server: TuneServer, host: str, status: int) -> None:
    assert ask(server, Host=host).status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:4321", 200),
        ("https://LocalHost:4321", 200),
        ("http://localhost:8888", 403),  # another server of the same machine
        ("http://localhost", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_other_origins_are_refused(server: TuneServer, origin: str, status: int) -> None:
    assert ask(server, Host="localhost:4321", Origin=origin).status == status


def test_a_request_without_host_is_refused(server: TuneServer) -> None:
    connection = http.client.HTTPConnection("localhost", server.port, timeout=20)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    connection.putrequest("GET", "/trials", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_no_start_where_others_can_connect_without_a_token(host: str) -> None:
    with pytest.raises(tune.TuneError, match="without a token"):
        ServerSettings(host=host)
    with pytest.raises(tune.TuneError, match="without a token"):
        ServerSettings(host=host, token="")
    assert ServerSettings(host=host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_loopback_needs_no_token(host: str) -> None:
    assert ServerSettings(host=host).is_loopback()


def test_known_hosts_where_others_can_connect() -> None:
    settings = ServerSettings(host="0.0.0.0", token=TOKEN, host_names=("Trainer.example",))
    assert settings.knows_host("trainer.example") and settings.knows_host("192.0.2.1")
    assert not settings.knows_host("evil.example")


def test_the_token(tmp_path: Path) -> None:
    with TuneServer(Board(), 0, str(tmp_path), ServerSettings("0.0.0.0", TOKEN)) as server:
        assert ask(server, Authorization=f"Bearer {TOKEN}").status == 200
        for wrong in ("", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer a secre", "Bearer \xe4"):
            for path in ("/trials", "/openapi.json", "/nowhere"):
                answer = ask(server, path=path, Authorization=wrong)
                assert answer.status == 401 and "Bearer" in answer.json["error"]
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert TuneClient("localhost", server.port, token=TOKEN).get_all_trials() == {"trials": []}
        with pytest.raises(tune.TuneError, match="401"):
            TuneClient("localhost", server.port).get_all_trials()
        document = ask(server, path="/openapi.json", Authorization=f"bearer {TOKEN}").json
        assert document["security"] == [{"token": []}]


def test_only_this_machine_can_connect(server: TuneServer) -> None:
    assert server._socket.getsockname()[0] == "127.0.0.1"


def test_a_body_that_is_too_long_is_refused(server: TuneServer) -> None:
    assert post(server, b" " * (LIMIT + 1)).status == 413
    connection = http.client.HTTPConnection("localhost", server.port, timeout=20)
    connection.request("PUT", "/trials", iter([b" " * LIMIT] * 2), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    response = connection.getresponse()
    assert response.status == 413 and "10000 bytes" in json.load(response)["error"]
    assert not server.board._requests


def spec(**parts: Any) -> dict[str, Any]:
    return {"name": "x", "spec": {"run": "Counter", **parts}}


BAD = {
    "nothing": (b"", "no JSON"),
    "no JSON": (b"{", "no JSON"),
    "no UTF-8": (b"\xff", "UTF-8"),
    "a list": ([], "object"),
    "a pickle": (pickle.dumps({"name": "x"}), "UTF-8"),
    "NaN": (b'{"name": "x", "spec": {"run": "Counter", "config": {"lr": NaN}}}', "NaN"),
    "infinite": (b'{"name": "x", "spec": {"run": "Counter", "config": {"lr": 1e999}}}', "config.lr"),
    "long integer": (b'{"name": ' + b"1" * 5000 + b"}", "no JSON"),
    "surrogate": (spec(config={"a": "\ud800"}), "spec.config.a"),
    "deep": (b"[" * 5000, "no JSON"),
    "rather deep": (b"[" * 60 + b"]" * 60, "too deeply"),
    "no spec": ({"name": "x"}, "'spec'"),
    "no run": ({"name": "x", "spec": {}}, "'run'"),
    "spec is a text": ({"name": "x", "spec": "{"}, "spec is no JSON"),
    "unknown key": (spec(num_sample=2), "Did you mean 'num_samples'"),
    "unknown key beside": ({**spec(), "specs": {}}, "'specs'"),
    "unknown trainable": (spec(run="Countr"), "Did you mean Counter"),
    "type": (spec(checkpoint_freq="1"), "spec.checkpoint_freq"),
    "no integer": (spec(num_samples=2.0), "spec.num_samples"),
    "no integer either": (spec(num_samples=True), "spec.num_samples"),
    "too many": (spec(num_samples=10**9), "spec.num_samples"),
    "too large a grid": (
        spec(config={name: {"grid_search": list(range(100))} for name in "abc"}),
        "1000000 trials",
    ),
    "grid that is no list": (spec(config={"a": {"grid_search": 1}}), "grid_search"),
    "stop": (spec(stop={"count": "many"}), "count"),
    "resources": (spec(resources_per_trial={"cpus": 1}), "cpus"),
    "resources of a type": (spec(resources_per_trial={"cpu": "all"}), "'all'"),
    "less than none": (spec(resources_per_trial={"gpu": -1}), "-1 is no multiple"),
    "too fine": (spec(resources_per_trial={"cpu": 1e-5}), "1e-05 is no multiple"),
    "one and a half": (spec(resources_per_trial={"gpu": 1.5}), "whole number"),
    "reserved": (spec(resources_per_trial={"custom_resources": {"CPU": 1}}), "'CPU'"),
    "name": ({**spec(), "name": "../x"}, "name: '../x'"),
    "hidden name": ({**spec(), "name": ".ssh"}, "name"),
    "name of two lines": ({**spec(), "name": "x\n"}, "name"),
    "empty name": ({**spec(), "name": ""}, "name"),
    "elsewhere": (spec(local_dir="/etc"), "spec.local_dir"),
    "nearly inside": (spec(local_dir="../x"), "spec.local_dir"),
    "eval": (spec(config={"a": [{"eval": "1"}]}), "spec.config.a.0: eval"),
    "command": (spec(sync_to_driver="echo {source} {target}"), "'sync_to_driver'"),
    "upload": (spec(upload_dir="s3://x"), "'upload_dir'"),
    "restore": (spec(restore="/checkpoint"), "'restore'"),
    "loggers": (spec(loggers=[]), "'loggers'"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "named"), BAD.values(), ids=BAD)
def test_t8_2_a_bad_post_is_refused(server: TuneServer, body: Any, named: str) -> None:
    answer = post(server, body)
    assert answer.status == 400, answer.text
    assert named in answer.json["error"]
    assert not server.board._requests


@pytest.mark.parametrize(
    "body", ["name=x", "name", "=", "spec={}&name=x", "&".join("abcdefghijklm")]
)
def test_t8_2_a_bad_form_is_refused(server: TuneServer, body: str) -> None:
    answer = post(server, body.encode(), "application/x-www-form-urlencoded; charset=utf-8")
    assert answer.status == 400 and answer.json["error"]


@pytest.mark.parametrize(
    "body", ['{"action": "restart"}', "{}", "stop", '{"action": "stop", "x": 1}']
)
def test_a_bad_action_is_refused(server: TuneServer, body: str) -> None:
    for path in ("/trials", "/trials/t"):
        url = f"http://localhost:{server.port}{path}"
        assert request(url, "PUT", body.encode(), {"Content-Type": "text/plain"}).status == 400
    assert not server.board._requests


def test_a_trainable_that_cannot_read_its_config_is_the_clients_problem(server: TuneServer) -> None:
    class Demanding(Counter):
        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> Any:
            return config["needed"]

    tune.register_trainable("Demanding", Demanding)
    answer = post(server, spec(run="Demanding"))
    assert answer.status == 400 and "KeyError: 'needed'" in answer.json["error"]


def test_a_directory_inside_that_of_the_run_is_taken(tmp_path: Path) -> None:
    with TuneServer(Board(), 0, str(tmp_path)) as server:
        for local_dir in (tmp_path, tmp_path / "deeper"):
            assert post(server, spec(local_dir=str(local_dir))).status == 201


class Canary:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_that_a_client_sends_is_unpickled(tmp_path: Path) -> None:
    """Not even in the forms in which the runner's own files hold pickles."""
    tune.register_trainable("Counter", Counter)
    canary = tmp_path / "canary"
    data = pickle.dumps(Canary(canary))
    fallback = {"_type": "CLOUDPICKLE_FALLBACK", "value": data.hex()}
    settings = ServerSettings(hex_pickles=True)
    with TuneServer(Board(), 0, str(tmp_path), settings) as server:
        for body in (data, data.hex(), fallback, spec(config=data.hex()), spec(config=fallback)):
            post(server, body)
            post(server, body, "application/octet-stream")
        ask(server)
    assert not canary.exists()
    pickle.loads(data)
    assert canary.exists()  # the canary can sing


def test_the_address_of_the_settings_is_used() -> None:
    settings = ServerSettings("127.0.0.2", token=TOKEN)
    with TuneServer(Board(), 0, ".", settings) as server:
        client = TuneClient("127.0.0.2", server.port, token=TOKEN)
        assert client.get_all_trials() == {"trials": []}
        with pytest.raises(ConnectionRefusedError):
            TuneClient("127.0.0.1", server.port, token=TOKEN).get_all_trials()


def test_nothing_of_the_server_is_loaded_before_there_is_one() -> None:
    code = (
        "import sys, rltune.tune, rltune.tune.web_server\n"
        "print([m for m in ('starlette', 'uvicorn', 'jsonschema', 'anyio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
