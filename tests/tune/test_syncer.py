"""Copying to a cloud and between nodes: T7.1, T7.2, T7.3."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rltune.trainable import node_ip
from rltune.tune import syncer
from rltune.tune.error import TuneError
from rltune.tune.logger import UnifiedLogger
from rltune.tune.sample import function
from rltune.tune.syncer import get_cloud_syncer, get_log_syncer

COPY = "cp -r {source}/. {target}"


class Calls(list[tuple[str, str]]):
    """A sync function that records what it is called with."""

    def __call__(self, source: str, target: str) -> None:
        self.append((source, target))


@pytest.fixture
def local(tmp_path: Path) -> Path:
    directory = tmp_path / "local dir; with $odd 'name"
    directory.mkdir()
    (directory / "result.json").write_text("{}")
    return directory


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    directory = tmp_path / "remote dir"
    directory.mkdir()
    return directory


def test_t7_2_template_uploads_and_downloads(local: Path, remote: Path) -> None:
    cloud = get_cloud_syncer(str(local), str(remote), sync_to_cloud=COPY)
    assert cloud.sync_up() and cloud.wait()
    assert (remote / "result.json").read_text() == "{}"
    (remote / "new").write_text("x")
    assert cloud.sync_down()
    assert (local / "new").read_text() == "x"
    assert len(list(local.glob("log_sync*.log"))) == 1


def test_t7_2_seed_template(local: Path, remote: Path) -> None:
    template = "cp -r {local_dir}/. {remote_dir} && echo ${HOME}"
    cloud = get_cloud_syncer(str(local), str(remote), sync_function=template)
    assert cloud.sync_up_if_needed() and cloud.wait()
    assert (remote / "result.json").exists()
    [log] = local.glob("log_sync*.log")
    assert log.read_text().startswith("/")


@pytest.mark.parametrize("keyword", ["sync_function", "sync_to_cloud"])
@pytest.mark.parametrize("wrap", [lambda f: f, function])
def test_t7_2_functions(local: Path, keyword: str, wrap: Any) -> None:
    calls = Calls()
    cloud = get_cloud_syncer(str(local), "any://where", **{keyword: wrap(calls)})
    cloud.sync_up()
    assert cloud.wait()
    assert calls == [(str(local), "any://where")]


def test_t7_2_sync_to_cloud_downloads_with_the_remote_as_source(local: Path) -> None:
    calls = Calls()
    assert get_cloud_syncer(str(local), "any://where", sync_to_cloud=calls).sync_down()
    assert calls == [("any://where", str(local))]


def test_t7_2_sync_function_only_uploads(local: Path) -> None:
    cloud = get_cloud_syncer(str(local), "any://where", sync_function=Calls())
    with pytest.raises(ValueError, match="sync_to_cloud"):
        cloud.sync_down()


@pytest.mark.parametrize(
    ("keyword", "template", "missing"),
    [
        ("sync_to_cloud", "cp {source}", "{target}"),
        ("sync_to_cloud", "cp {target}", "{source}"),
        ("sync_function", "cp {source} {target}", "{local_dir}"),
        ("sync_function", "cp {local_dir} x", "{remote_dir}"),
    ],
)
def test_t7_2_a_template_needs_both_fields(keyword: str, template: str, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        get_cloud_syncer("/x", "/y", **{keyword: template})


def test_t7_2_not_both_commands() -> None:
    with pytest.raises(ValueError, match="not both"):
        get_cloud_syncer("/x", "/y", sync_function=Calls(), sync_to_cloud=COPY)
    with pytest.raises(ValueError, match="a text or a function, not 3"):
        get_cloud_syncer("/x", "/y", sync_to_cloud=3)  # type: ignore[arg-type]


def test_t7_1_commands_without_an_upload_dir() -> None:
    for command in ({"sync_function": Calls()}, {"sync_to_cloud": COPY}):
        with pytest.raises(AssertionError, match="upload_dir"):
            get_cloud_syncer("/x", None, **command)


def test_without_an_upload_dir_nothing_happens() -> None:
    cloud = get_cloud_syncer("/x")
    assert not cloud.sync_up() and not cloud.sync_up_if_needed() and cloud.wait()
    cloud.close()
    with pytest.raises(ValueError, match="no upload_dir"):
        cloud.sync_down()


def test_t7_1_default_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(TuneError, match="`aws`"):
        get_cloud_syncer("/x", "s3://bucket")
    with pytest.raises(TuneError, match="`gsutil`"):
        get_cloud_syncer("/x", "gs://bucket")
    with pytest.raises(TuneError, match="s3://, gs://"):
        get_cloud_syncer("/x", "ftp://x")


def test_t7_1_default_command_runs_the_tool(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "aws"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    cloud = get_cloud_syncer(str(local), "s3://bucket/exp")
    assert cloud.sync_up() and cloud.wait()
    [log] = local.glob("log_sync*.log")
    assert log.read_text() == f"s3 sync {local} s3://bucket/exp\n"


def test_t7_1_at_most_every_300_seconds(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    calls = Calls()
    cloud = get_cloud_syncer(str(local), "/y", sync_to_cloud=calls)
    started = []
    for seconds in (0, 10, 289, 1, 299):
        now[0] += seconds
        started.append(cloud.sync_up_if_needed())
        cloud.wait()
    assert started == [True, False, False, True, False]
    assert cloud.sync_up() and cloud.wait()
    assert len(calls) == 3


def test_t7_2_one_transfer_at_a_time(
    local: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, calls = threading.Event(), Calls()

    def slow(source: str, target: str) -> None:
        go_on.wait(10)
        calls(source, target)

    monkeypatch.setattr(syncer, "SYNC_PERIOD_S", 0.0)
    cloud = get_cloud_syncer(str(local), "/y", sync_to_cloud=slow)
    assert cloud.sync_up_if_needed()
    assert not cloud.sync_up_if_needed()
    assert "still runs" in caplog.text
    go_on.set()
    assert cloud.sync_up() and cloud.wait()
    assert len(calls) == 2


def test_t7_2_failures_are_logged_not_fatal(local: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(source: str, target: str) -> None:
        raise RuntimeError("no network")

    cloud = get_cloud_syncer(str(local), "/y", sync_to_cloud=broken)
    assert cloud.sync_up() and not cloud.wait()
    assert "no network" in caplog.text
    cloud = get_cloud_syncer(
        str(local), "/y", sync_to_cloud="echo {source} {target} denied && false"
    )
    assert not cloud.sync_down()
    assert "status 1" in caplog.text
    [log] = local.glob("log_sync*.log")
    assert "denied" in log.read_text()


def test_t7_3_pulls_only_from_other_nodes(local: Path) -> None:
    calls = Calls()
    node = get_log_syncer(str(local), calls)
    for ip in (None, node_ip()):
        node.set_worker_ip(ip)
        assert not node.sync_down() and not node.sync_down_if_needed()
    node.set_worker_ip("10.9.8.7")
    assert node.sync_down_if_needed() and node.wait()
    assert not node.sync_down_if_needed()
    [(source, target)] = calls
    assert source.endswith(f"@10.9.8.7:{local}/") and target == str(local)


def test_t7_3_pushes_to_a_new_node(local: Path) -> None:
    calls = Calls()
    node = get_log_syncer(str(local), calls)
    assert node.sync_to_new_location(node_ip()) and not calls
    assert node.sync_to_new_location("10.9.8.7")
    [(source, target)] = calls
    assert source == f"{local}/" and target.endswith(f"@10.9.8.7:{local}/")


def test_t7_3_default_needs_rsync_and_a_key(
    local: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TUNE_CLUSTER_SSH_KEY", str(local / "none.pem"))
    syncer._default_node_command.cache_clear()
    for _ in range(2):
        node = get_log_syncer(str(local))
        node.set_worker_ip("10.9.8.7")
        assert not node.sync_down()
    assert caplog.text.count("stay there") == 1
    monkeypatch.setenv("TUNE_CLUSTER_SSH_KEY", str(local / "result.json"))
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    syncer._default_node_command.cache_clear()
    assert "none.pem" not in (syncer._default_node_command() or "none.pem")
    syncer._default_node_command.cache_clear()


def test_t7_3_false_means_no_sync(local: Path) -> None:
    node = get_log_syncer(str(local), False)
    node.set_worker_ip("10.9.8.7")
    assert not node.sync_down() and node.wait()
    with pytest.raises(ValueError, match="{target}"):
        get_log_syncer(str(local), "cp {source}")


def test_t7_3_a_trial_is_pulled_at_its_first_result_and_at_its_end(local: Path) -> None:
    calls = Calls()
    logger = UnifiedLogger({}, str(local), [], sync_function=calls)
    for _ in range(3):
        logger.on_result({"node_ip": "192.0.2.1"})
    logger.close()
    assert len(calls) == 2 and len(set(calls)) == 1
    source, target = calls[0]
    assert source.endswith(f"@192.0.2.1:{local}/") and target == str(local)


def test_t7_3_the_last_pull_waits_for_the_one_before(local: Path) -> None:
    calls = Calls()

    def slow(source: str, target: str) -> None:
        time.sleep(0.2)
        calls(source, target)

    logger = UnifiedLogger({}, str(local), [], sync_function=slow)
    logger.on_result({"node_ip": "192.0.2.1"})
    logger.close()
    assert len(calls) == 2


@pytest.mark.parametrize("command", ["sleep 60; : {source} {target}", "function"])
def test_a_sync_that_hangs_holds_up_no_end(
    command: str, local: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    never = threading.Event()
    hangs: Any = command if command != "function" else lambda source, target: never.wait(60)
    monkeypatch.setattr(syncer, "TRIAL_PATIENCE_S", 0.2)
    monkeypatch.setattr(syncer, "RUN_PATIENCE_S", 0.2)
    begin = time.monotonic()
    logger = UnifiedLogger({}, str(local), [], sync_function=hangs)
    logger.on_result({"node_ip": "192.0.2.1"})
    logger.close()
    cloud = get_cloud_syncer(str(local), "/y", sync_to_cloud=hangs)
    assert cloud.sync_up() and not cloud.sync_up() and not cloud.wait()
    assert time.monotonic() - begin < 30
    assert "the run goes on without it" in caplog.text
    never.set()
