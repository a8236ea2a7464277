"""A driver that is killed at any moment: the resumed run ends as the undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rltune.tune import experiment_state
from rltune.tune.run_lock import PID

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "tests.tune.killed_run"
LIMIT_S = 120
KILLED = -9


def start(directory: Path, executor: str = "local", limit: int = 0) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", SCRIPT, executor, str(limit)],
        cwd=ROOT,
        env={**os.environ, "TUNE_RESULT_DIR": str(directory)},
        stderr=subprocess.PIPE,
    )


def finish(directory: Path) -> None:
    process = start(directory)
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors.decode()


def outcome(directory: Path) -> list[Any]:
    """(tag, config, what is deterministic of the last result) of every trial, in order."""
    path = experiment_state.newest(str(directory / "exp"))
    assert path is not None
    records = experiment_state.load(path)["checkpoints"]
    assert len({record["trial_id"] for record in records}) == len(records)
    keys = ("place", "training_iteration", "done", "trial_id")
    return [
        (
            record["experiment_tag"],
            record["config"],
            record["status"],
            {key: record["last_result"][key] for key in keys[:3]},
            record["last_result"]["trial_id"] == record["trial_id"],
        )
        for record in records
    ]


def logged(directory: Path) -> list[set[int]]:
    """The iterations that each trial's result.json has."""
    return [
        {json.loads(line)["training_iteration"] for line in path.open()}
        for path in (directory / "exp").glob("*/result.json")
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    directory = tmp_path_factory.mktemp("undisturbed")
    finish(directory)
    trials = outcome(directory)
    assert len(trials) == 12 and {trial[2] for trial in trials} == {"TERMINATED"}
    return trials


def kill_in_a_write(directory: Path, executor: str, moment: random.Random) -> bool:
    """Whether it was killed; a run that was over before ends by itself."""
    process = start(directory, executor, limit=moment.randrange(1, 10_000))
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode in (0, KILLED), errors.decode()
    return process.returncode == KILLED


def kill_at_a_time(directory: Path, executor: str, moment: random.Random) -> bool:
    """Some time after the run has begun, which is when it takes its lock."""
    lock = directory / "exp" / PID
    lock.unlink(missing_ok=True)
    process = start(directory, executor)
    while process.poll() is None and not lock.exists():
        time.sleep(0.005)
    time.sleep(moment.uniform(0.0, 0.25 if executor == "local" else 3.0))
    process.kill()
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode in (0, KILLED), errors.decode()
    return process.returncode == KILLED


def run_with_kills(directory: Path, plan: list[str], seed: int) -> int:
    """Kills as `plan` says, one after another, then lets the run end; returns how many came off."""
    moment = random.Random(seed)
    ways = {"write": kill_in_a_write, "time": kill_at_a_time}
    kills = 0
    for each in plan:
        way, _, executor = each.partition("-")
        kills += ways[way](directory, executor or "local", moment)
    finish(directory)
    return kills


def test_five_kills(tmp_path: Path, undisturbed: list[Any]) -> None:
    assert run_with_kills(tmp_path, ["write", "time", "write", "time", "write"], seed=1) >= 4
    assert outcome(tmp_path) == undisturbed
    assert logged(tmp_path) == [set(range(1, 13))] * 12


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_twenty_kills(tmp_path: Path, undisturbed: list[Any], seed: int) -> None:
    """Five kills in each of four runs, two of them in runs with Ray."""
    plan = ["write", "time", "write", "time", "time"]
    if seed % 2:
        plan[2:] = ["time-ray", "write-ray", "time"]
    assert run_with_kills(tmp_path, plan, seed=100 + seed) >= 3
    assert outcome(tmp_path) == undisturbed
    assert logged(tmp_path) == [set(range(1, 13))] * 12
