"""The client API (T8): live events, and what answers look like."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.server.board import EVENTS_KEPT, Board, RunOver
from rltune.tune.trial import Trial
from rltune.tune.web_server import ServerSettings, TuneClient, TuneServer
from tests.tune.served_run import ServedRun, Slow, request, served_run, until
from tests.tune.trainables import Counter

Event = tuple[int, str, Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TuneServer]:
    """A server whose board nobody serves."""
    with TuneServer(Board(), 0, str(tmp_path)) as server:
        yield server


def events(response: http.client.HTTPResponse) -> Iterator[Event]:
    """(id, kind, data) of each event; ends with the stream."""
    fields: dict[str, str] = {}
    for line in response:
        name, colon, value = line.decode().rstrip("\n").partition(": ")
        if colon and name:
            fields[name] = value
        elif not name and "data" in fields:
            yield int(fields.pop("id", 0)), fields.pop("event"), json.loads(fields.pop("data"))


def connect(port: int, after: int | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("localhost", port, timeout=20)
    connection.request(
        "GET", "/events", headers={} if after is None else {"Last-Event-ID": str(after)}
    )
    return connection.getresponse()


def show(board: Board, number: int = 1) -> None:
    for _ in range(number):
        board.show_status(Trial("Counter"))


@pytest.fixture(autouse=True)
def registered() -> None:
    tune.register_trainable("Counter", Counter)


def test_events_tell_every_result_and_change_of_state() -> None:
    with served_run(Slow, stop={"count": 3}) as run:
        run.client.pause_trial(run.ids()[0])
        until(lambda: run.status(run.ids()[0]) == "PAUSED")
        with closing(connect(run.client.server_port, after=0)) as stream:
            run.client.resume_trial(run.ids()[0])
            told = list(events(stream))
    *told, (_, kind, data) = told
    assert (kind, data) == ("end", {})
    assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
    assert [info["result"]["count"] for _, kind, info in told if kind == "result"] == [1, 2, 3]
    states = [info["status"] for _, kind, info in told if kind == "status"]
    assert (states[0], states[-1]) == ("PENDING", "TERMINATED")
    assert states[states.index("PAUSED") + 1] == "PENDING"


def test_events_begin_now_or_after_the_last_that_was_seen(server: TuneServer) -> None:
    show(server.board, 3)
    with closing(connect(server.port)) as now, closing(connect(server.port, after=1)) as later:
        show(server.board)
        server.board.close()
        assert [number for number, _, _ in events(now)] == [4, 0]
        assert [number for number, _, _ in events(later)] == [2, 3, 4, 0]


def test_a_client_that_is_too_late_gets_what_is_left(server: TuneServer) -> None:
    show(server.board, EVENTS_KEPT + 5)
    server.board.close()
    numbers = [number for number, _, _ in events(connect(server.port, after=1))]
    assert numbers == [*range(6, EVENTS_KEPT + 6), 0]
    assert [number for number, _, _ in events(connect(server.port, after=10**18))] == [0]


def test_a_client_that_goes_away_is_forgotten(server: TuneServer) -> None:
    stream = connect(server.port)
    until(lambda: server.board._listeners)
    stream.close()
    until(lambda: show(server.board) or not server.board._listeners)


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30])
def test_an_event_id_that_is_none_is_refused(server: TuneServer, value: str) -> None:
    answer = request(f"http://localhost:{server.port}/events", headers={"Last-Event-ID": value})
    assert answer.status == 400 and value in answer.json["error"]


def test_no_trials_are_an_empty_list(server: TuneServer) -> None:
    run = ServedRun(server.port)
    assert request(f"{run.url}/trials").json == {"trials": []}
    assert request(f"{run.url}/trials", "PUT").json == {"trials": []}


def test_answers_are_strict_json(server: TuneServer) -> None:
    trial = Trial("Counter", {"f": len, "tuple": (1, 2), "text": "\ud800 \N{SNOWMAN}"})
    trial.last_result = {"nan": float("nan"), "inf": float("inf"), "done": False}
    server.board.show_result(trial)
    text = request(f"http://localhost:{server.port}/trials").text
    [info] = json.loads(text, parse_constant=lambda name: pytest.fail(name))["trials"]
    assert info["result"] == {"nan": None, "inf": None, "done": False}
    assert info["config"] == {"f": str(len), "tuple": [1, 2], "text": "\ud800 \N{SNOWMAN}"}


def test_hex_pickles_are_sent_only_where_the_server_is_told_to() -> None:
    config = {"f": tune.function(len), "t": (1, 2)}
    settings = ServerSettings(hex_pickles=True)
    with served_run(Slow, config=config, with_server=settings) as run:
        [info] = run.infos()
        assert set(info["config"]) <= set("0123456789abcdef")
        client = TuneClient("localhost", run.client.server_port, unpickle=True)
        [info] = client.get_all_trials()["trials"]
        assert info["config"]["t"] == (1, 2) and info["config"]["f"]("ab") == 2
        info = client.get_trial(info["id"])["trial"]
        assert info["config"]["t"] == (1, 2) and isinstance(info["result"], dict)
        document = request(f"{run.url}/openapi.json").json
        properties = document["components"]["schemas"]["Trial"]["properties"]
        assert properties["config"]["type"] == properties["result"]["type"] == "string"


def test_after_the_run_requests_are_refused(server: TuneServer) -> None:
    trial = Trial("Counter")
    server.board.show_status(trial)
    assert server.board.close_unless_asked()
    for body in (None, b'{"action": "pause"}'):
        answer = request(f"http://localhost:{server.port}/trials/{trial.trial_id}", "PUT", body)
        assert answer.status == 409 and "has ended" in answer.json["error"]
    with pytest.raises(RunOver):
        server.board.add([trial])


def test_a_request_that_was_accepted_keeps_the_run_going() -> None:
    board = Board()
    board.ask("stop", [])
    assert not board.close_unless_asked()
    begin = time.monotonic()
    board.wait(10)
    assert time.monotonic() - begin < 5


def test_a_waiting_runner_is_woken_by_a_request() -> None:
    board = Board()
    threading.Timer(0.05, board.ask, ("stop", [])).start()
    begin = time.monotonic()
    board.wait(10)
    assert time.monotonic() - begin < 5
