"""Uploads and downloads by `aws s3 sync`, the default for s3://, to a server on this machine
(T7.1, T4.7).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.syncer import get_cloud_syncer
from tests.tune.trainables import Counter

UPLOAD_DIR = "s3://bucket/some folder"

run = partial(tune.run, trial_executor="local", verbose=0, upload_dir=UPLOAD_DIR)


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """An S3 server with the bucket `bucket`, and `aws` set up to use it."""
    moto = pytest.importorskip("moto.server", reason="the S3 server needs moto[server]")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if not shutil.which("aws", path=path):
        pytest.skip("`aws` is not installed: pip install awscli")
    s3 = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        aws("mb", "s3://bucket")
        yield
    s3.stop()


@pytest.fixture(autouse=True)
def empty_bucket(server: None) -> Iterator[None]:
    yield
    aws("rm", "s3://bucket", "--recursive")


def aws(*arguments: str) -> str:
    command = ["aws", "s3", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def remote_files(name: str) -> dict[str, int]:
    """Names and sizes of what is under `<upload_dir>/<name>`."""
    lines = aws("ls", f"{UPLOAD_DIR}/{name}/", "--recursive").splitlines()
    prefix = f"some folder/{name}/"
    return {line[31:].removeprefix(prefix): int(line[20:30]) for line in lines}


def last_counts(trials: Any) -> list[int]:
    return [trial.last_result["count"] for trial in trials]


def test_t7_1_the_whole_experiment_is_uploaded(results_dir: Path) -> None:
    [trial] = run(Counter, name="x", stop={"count": 3}, checkpoint_freq=1)
    uploaded = remote_files("x")
    local = {
        str(path.relative_to(results_dir / "x")): path.stat().st_size
        for path in (results_dir / "x").rglob("*")
        if path.is_file() and not path.name.startswith("log_sync") and path.suffix != ".lock"
    }
    assert {name: uploaded.get(name) for name in local} == local
    assert any(name.endswith("checkpoint_3/checkpoint") for name in local)
    state = next(name for name in uploaded if name.startswith("experiment_state"))
    text = aws("cp", f"{UPLOAD_DIR}/x/{state}", "-")
    [record] = json.loads(text)["checkpoints"]
    record = json.loads(record) if isinstance(record, str) else record
    assert record["status"] == "TERMINATED"


def test_t4_7_a_run_that_is_only_remote_is_resumed(results_dir: Path) -> None:
    class StopsEarly(Counter):
        def _train(self) -> dict[str, Any]:
            if self.count == 3 and not marker.exists():
                marker.touch()
                raise KeyboardInterrupt
            return super()._train()

    marker = results_dir.parent / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        run(StopsEarly, name="x", stop={"count": 5}, num_samples=2, checkpoint_freq=1)
    shutil.rmtree(results_dir / "x")
    trials = run(StopsEarly, name="x", stop={"count": 5}, resume="REMOTE")
    assert last_counts(trials) == [5, 5]
    first = trials[0]
    assert first.logdir is not None
    counts = [json.loads(line)["count"] for line in Path(first.logdir, "result.json").open()]
    assert counts == [1, 2, 3, 4, 5]
    assert first.last_result["iterations_since_restore"] == 2


def test_t4_7_nothing_to_resume_there() -> None:
    with pytest.raises(ValueError, match="nothing to resume"):
        run(Counter, name="never", stop={"count": 1}, resume="REMOTE")


def test_t7_1_a_bucket_that_is_not_there_costs_an_upload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cloud = get_cloud_syncer(str(tmp_path), "s3://no-such-bucket/x")
    assert cloud.sync_up() and not cloud.wait()
    [log] = tmp_path.glob("log_sync*.log")
    assert "NoSuchBucket" in log.read_text() and str(log) in caplog.text
