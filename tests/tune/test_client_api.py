"""The client API (T8): seeing and steering a run over HTTP."""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.trial import Trial
from rltune.tune.web_server import TuneClient
from tests.tune.served_run import (
    PATIENCE_S,
    Slots,
    Slow,
    free_port,
    request,
    served_run,
    until,
)

FOREVER = {"count": 10**9}
INFO_KEYS = {"id", "trainable_name", "config", "status", "result"}


@pytest.fixture(autouse=True)
def registered() -> None:
    tune.register_trainable("slow", Slow)


def rows(trial: Trial) -> list[dict[str, Any]]:
    assert trial.logdir is not None
    return [json.loads(line) for line in Path(trial.logdir, "result.json").open()]


def test_t8_1_the_server_lives_as_long_as_the_run() -> None:
    port = free_port()
    with served_run(Slow, server_port=port) as run:
        assert request(f"{run.url}/trials").status == 200
    with pytest.raises(ConnectionRefusedError):
        TuneClient("localhost", port).get_all_trials()
    assert not [t for t in threading.enumerate() if t.name == "tune-server"]


def test_t8_1_a_port_that_is_taken_is_an_error_at_once(results_dir: Path) -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            tune.run(Slow, with_server=True, server_port=port, trial_executor="local", verbose=0)
    assert not results_dir.exists()


def test_t8_1_experiments_one_after_another_share_the_port() -> None:
    trials = tune.run_experiments(
        {name: {"run": "slow", "stop": {"count": 1}} for name in "ab"},
        with_server=True,
        server_port=free_port(),
        trial_executor="local",
        verbose=0,
    )
    assert [trial.status for trial in trials] == ["TERMINATED"] * 2


def test_t8_1_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(tune.TuneError, match=r"uvicorn: pip install 'rltune\[server\]'"):
        tune.run(Slow, with_server=True, trial_executor="local", verbose=0)


def test_t8_2_list_and_get() -> None:
    config = {"f": tune.function(len), "a": tune.grid_search([1, 2])}
    with served_run(Slow, config=config, stop=FOREVER) as run:
        until(lambda: run.count(run.ids()[0]) >= 2)
        answer = request(f"{run.url}/trials")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        first, second = answer.json["trials"]
        assert set(first) == set(second) == INFO_KEYS
        assert [first["status"], second["status"]] == ["RUNNING", "PENDING"]
        assert first["trainable_name"] == "Slow"
        assert first["config"]["a"] == 1 and "len" in first["config"]["f"]
        got = request(f"{run.url}/trials/{first['id']}").json["trial"]
        assert got["result"]["trial_id"] == got["id"] == first["id"]
        assert [info["id"] for info in run.infos()] == [first["id"], second["id"]]
        assert request(f"{run.url}/trials/").json.keys() == {"trials"}


def test_t8_2_head_and_what_is_not_there() -> None:
    with served_run(Slow, stop=FOREVER) as run:
        [trial_id] = run.ids()
        for path in ("/trials", f"/trials/{trial_id}", "/events", "/openapi.json"):
            answer = request(run.url + path, "HEAD")
            assert (answer.status, answer.text) == (200, "")
        assert request(f"{run.url}/trials/nobody", "HEAD").status == 404
        for method in ("GET", "PUT"):
            answer = request(f"{run.url}/trials/nobody", method)
            assert answer.status == 404 and "'nobody'" in answer.json["error"]
        assert request(f"{run.url}/nowhere").json == {"error": "Not Found"}
        answer = request(f"{run.url}/trials", "DELETE")
        assert answer.status == 405 and answer.json["error"]
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "POST"}


def test_t8_2_put_stops_one_trial_with_its_next_result() -> None:
    kwargs = {"num_samples": 3, "stop": FOREVER, "trial_executor": Slots(3)}
    with served_run(Slow, **kwargs) as run:
        victim, *others = run.ids()
        until(lambda: run.count(victim))
        answer = request(f"{run.url}/trials/{victim}", "PUT")
        assert answer.status == 200 and answer.json["trial"]["id"] == victim
        until(lambda: run.status(victim) == "TERMINATED")
        assert [run.status(trial_id) for trial_id in others] == ["RUNNING"] * 2
        before = run.count(victim)
        request(f"{run.url}/trials/{victim}", "PUT")  # to stop what has ended changes nothing
        until(lambda: run.count(others[0]) > before + 2)
        assert run.count(victim) == before
    results = rows(run.trials[0])
    assert [row["done"] for row in results] == [False] * (len(results) - 1) + [True]


def test_t8_2_put_stops_a_waiting_trial_before_it_starts() -> None:
    with served_run(Slow, num_samples=2, stop=FOREVER) as run:
        running, waiting = run.ids()
        until(lambda: run.status(running) == "RUNNING")  # both are on view before one starts
        run.client.stop_trial(waiting)
        until(lambda: run.status(waiting) == "TERMINATED")
        assert run.status(running) == "RUNNING"
    assert run.trials[1].logdir is None


def test_t8_2_put_on_all_stops_the_run() -> None:
    with served_run(Slow, num_samples=4, stop=FOREVER, trial_executor=Slots(2)) as run:
        answer = request(f"{run.url}/trials", "PUT")
        assert len(answer.json["trials"]) == 4
    assert [trial.status for trial in run.trials] == ["TERMINATED"] * 4


SPEC = {"run": "slow", "stop": {"count": 2}, "config": {"a": {"grid_search": [1, 2]}}}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps({"name": "x", "spec": SPEC}), {"Content-Type": "application/json"}),
        (json.dumps({"name": "x", "spec": SPEC}), FORM),  # what `curl -d` says of any body
        (f"name=x&spec={json.dumps(SPEC)}", FORM),
    ],
    ids=["json", "curl -d", "form"],
)
def test_t8_2_post_adds_trials(results_dir: Path, body: str, headers: dict[str, str]) -> None:
    with served_run(Slow, stop=FOREVER) as run:
        [first] = run.ids()
        answer = request(f"{run.url}/trials", "POST", body.encode(), headers)
        assert (answer.status, answer.headers["Location"]) == (201, "/trials/")
        added = answer.json["trials"]
        assert [info["config"] for info in added] == [{"a": 1}, {"a": 2}]
        assert [info["id"] for info in run.infos()] == [first, *(info["id"] for info in added)]
        run.client.stop_trial(first)
        until(run.is_over)
    assert [trial.last_result["count"] for trial in run.trials[1:]] == [2, 2]
    assert len(list((results_dir / "x").glob("slow_*/result.json"))) == 2
    assert [trial.status for trial in run.trials] == ["TERMINATED"] * 3


def test_t8_2_a_trial_that_cannot_start_does_not_end_the_run() -> None:
    # No directory can be called so.
    nameless = {"run": "slow", "config": {"a": {"grid_search": ["\0"]}}}
    with served_run(Slow, stop=FOREVER, raise_on_failed_trial=False) as run:
        [first] = run.ids()
        run.client.add_trial("x", nameless)
        run.client.stop_trial(first)
        until(run.is_over)
    assert [trial.status for trial in run.trials] == ["TERMINATED", "ERROR"]


def test_t8_3_the_client(results_dir: Path) -> None:
    port = free_port()
    with served_run(Slow, server_port=port, stop=FOREVER, trial_executor=Slots(2)) as run:
        client = run.client
        assert (client.server_address, client.server_port) == ("localhost", port)
        [info] = client.get_all_trials()["trials"]
        assert client.get_trial(info["id"])["trial"]["id"] == info["id"]
        [added] = client.add_trial("x", {"run": "slow", "stop": {"count": 3}})["trials"]
        until(lambda: run.status(added["id"]) == "TERMINATED")
        assert run.status(info["id"]) == "RUNNING"
        assert client.stop_trial(info["id"])["trial"]["id"] == info["id"]
        for method in (client.get_trial, client.stop_trial, client.pause_trial):
            with pytest.raises(tune.TuneError, match=r"404 There is no trial 'a b\?'"):
                method("a b?")
    assert list((results_dir / "x").glob("slow_0_*/result.json"))


def test_pause_saves_frees_the_slot_and_resume_goes_on_from_there() -> None:
    with served_run(Slow, num_samples=2, stop=FOREVER) as run:
        first, second = run.ids()
        until(lambda: run.count(first) >= 2)
        run.client.pause_trial(first)
        until(lambda: run.status(first) == "PAUSED")
        reached = run.count(first)
        until(lambda: run.count(second) >= 3)  # it got the slot, and keeps it
        assert run.status(first) == "PAUSED" and run.count(first) == reached
        run.client.resume_trial(first)
        run.client.stop_trial(second)
        until(lambda: run.count(first) > reached)
    counts = [row["count"] for row in rows(run.trials[0])]
    assert counts == list(range(1, len(counts) + 1))


def test_the_run_waits_for_a_paused_trial_that_is_the_last() -> None:
    with served_run(Slow, num_samples=2, stop={"count": 5}) as run:
        first, second = run.ids()
        run.client.pause_trial(second)
        until(lambda: run.status(second) == "PAUSED")
        until(lambda: run.status(first) == "TERMINATED")
        assert run.count(second) == 0
        run.client.resume_trial(second)
        until(run.is_over)
    assert [trial.last_result["count"] for trial in run.trials] == [5, 5]


def test_resume_takes_back_a_pause_that_was_not_carried_out_yet() -> None:
    with served_run(Slow, stop=FOREVER) as run:
        [trial_id] = run.ids()
        run.client.resume_trial(trial_id)  # nothing to resume
        run.client.pause_trial(trial_id)
        run.client.resume_trial(trial_id)
        reached = run.count(trial_id)
        until(lambda: run.count(trial_id) > reached + 2)


def test_a_paused_trial_can_be_stopped() -> None:
    with served_run(Slow, stop=FOREVER) as run:
        [trial_id] = run.ids()
        run.client.pause_trial(trial_id)
        until(lambda: run.status(trial_id) == "PAUSED")
        run.client.stop_trial(trial_id)
    assert [trial.status for trial in run.trials] == ["TERMINATED"]


def test_a_trial_that_cannot_be_saved_is_not_paused(caplog: pytest.LogCaptureFixture) -> None:
    def endless(config: dict[str, Any], reporter: Any) -> None:
        for count in range(10**9):
            reporter(count=count)

    with served_run(endless) as run:
        [trial_id] = run.ids()
        until(lambda: run.count(trial_id))  # one that has not begun is paused without being saved
        run.client.pause_trial(trial_id)
        until(lambda: "goes on, since it cannot be saved" in caplog.text)
        reached = run.count(trial_id)
        until(lambda: run.count(trial_id) > reached)
        assert run.status(trial_id) == "RUNNING"


def test_sixteen_clients_poll_pause_and_stop_at_random() -> None:
    """The trials that nobody stops reach their own end, and none has a result twice or misses one."""
    errors: list[BaseException] = []

    def client(seed: int, port: int, ids: list[str], victims: list[str]) -> None:
        rng, api = random.Random(seed), TuneClient("localhost", port)
        try:
            for _ in range(25):
                action = rng.random()
                if action < 0.4:
                    assert {info["id"] for info in api.get_all_trials()["trials"]} >= set(ids)
                elif action < 0.7:
                    assert api.get_trial(rng.choice(ids))["trial"].keys() == INFO_KEYS
                elif action < 0.9:
                    trial_id = rng.choice(ids)
                    api.pause_trial(trial_id)
                    api.resume_trial(trial_id)
                else:
                    api.stop_trial(rng.choice(victims))
        except BaseException as error:
            errors.append(error)

    kwargs: dict[str, Any] = {"num_samples": 12, "trial_executor": Slots(4)}
    with served_run(Slow, stop={"count": 20}, **kwargs) as run:
        ids = run.ids()
        run.client.add_trial("keeps_the_run_alive", {"run": "slow", "stop": FOREVER})
        work = partial(client, port=run.client.server_port, ids=ids, victims=ids[::2])
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not errors
        for trial_id in ids[::2]:
            run.client.stop_trial(trial_id)
        until(lambda: all(run.status(trial_id) == "TERMINATED" for trial_id in ids))
    assert [trial.status for trial in run.trials] == ["TERMINATED"] * 13
    for trial in run.trials[1:12:2]:
        assert trial.last_result["count"] == 20
    for trial in run.trials:
        counts = [row["count"] for row in rows(trial)] if trial.logdir else []
        assert counts == list(range(1, len(counts) + 1))


@pytest.mark.ray
def test_t8_3_on_ray(ray_cluster: None) -> None:
    kwargs: dict[str, Any] = {"num_samples": 3, "trial_executor": "ray"}
    with served_run(Slow, stop=FOREVER, raise_on_failed_trial=False, **kwargs) as run:
        stopped, paused, other = run.ids()
        until(lambda: all(run.count(trial_id) for trial_id in run.ids()))
        run.client.stop_trial(stopped)
        run.client.pause_trial(paused)
        until(lambda: run.status(stopped) == "TERMINATED")
        until(lambda: run.status(paused) == "PAUSED")
        reached = run.count(paused)
        assert run.status(other) == "RUNNING"
        unfit = {"run": "slow", "resources_per_trial": {"cpu": 1000}}
        run.client.add_trial("x", unfit)
        run.client.resume_trial(paused)
        until(lambda: run.count(paused) > reached)
        for trial_id in (paused, other):
            run.client.stop_trial(trial_id)
        until(run.is_over)
    assert [trial.status for trial in run.trials] == ["TERMINATED"] * 3 + ["ERROR"]
