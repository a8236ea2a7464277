"""A driver that is killed at any moment: the resumed run ends as the undisturbed one does (T4.7, T10.1)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rltune.tune import experiment_state
from rltune.tune.run_lock import PID
from tests.tune.killed_run import NAME
from tests.tune.schedulers import examples, kills

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "tests.tune.killed_run"
LIMIT_S = 120
KILLED = -9
RAY = """
import ray, sys
context = ray.init("local", num_cpus=int(sys.argv[1]), include_dashboard=False)
print(context.address_info["address"], flush=True)
sys.stdin.read()
"""


class Driver:
    """Processes that run one experiment, one after another.

    Args:
        what: see killed_run.py.
        address: of a Ray; None: the local executor.
    """

    def __init__(self, directory: Path, what: str = "grid", address: str | None = None):
        self._directory, self._what, self._address = directory, what, address
        self.experiment = directory / NAME

    def start(self, limit: int = 0) -> subprocess.Popen[bytes]:
        executor = "ray" if self._address else "local"
        return subprocess.Popen(
            [sys.executable, "-m", SCRIPT, executor, self._address or "", str(limit), self._what],
            cwd=ROOT,
            env={**os.environ, "TUNE_RESULT_DIR": str(self._directory)},
            stderr=subprocess.PIPE,
        )

    def finish(self) -> None:
        process = self.start()
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, errors.decode()

    def kill_in_a_write(self, size: int) -> None:
        """When so many bytes of its journals are written, part of a line or not."""
        self._died(self.start(limit=max(1, size - kills.size(self.experiment))))

    def kill_at_a_time(self, size: int, delay_s: float) -> None:
        """Some time after that, and after it has begun, which is when it takes its lock."""
        lock = self.experiment / PID
        lock.unlink(missing_ok=True)
        process = self.start()
        while process.poll() is None and (not lock.exists() or kills.size(self.experiment) < size):
            time.sleep(0.001)
        time.sleep(delay_s)
        process.kill()
        self._died(process)

    @staticmethod
    def _died(process: subprocess.Popen[bytes]) -> None:
        _, errors = process.communicate(timeout=LIMIT_S)
        assert process.returncode == KILLED, errors.decode()


def run_with_kills(driver: Driver, size: int, number: int, seed: object) -> None:
    """Kills so many times, every second time within a write, then lets the run end. `size` is that of the journal of
    an undisturbed run, of which each kill has its part.
    """
    moment = random.Random(str(seed))
    for at in sorted(moment.uniform(0, 0.95) for _ in range(number)):
        if moment.random() < 0.5:
            driver.kill_in_a_write(int(at * size))
        else:
            driver.kill_at_a_time(int(at * size), moment.uniform(0, 0.01))
    driver.finish()


def outcome(driver: Driver) -> list[Any]:
    """(tag, config, what is deterministic of the last result) of every trial, in order."""
    path = experiment_state.newest(str(driver.experiment))
    assert path is not None
    records = experiment_state.load(path)["checkpoints"]
    assert len({record["trial_id"] for record in records}) == len(records)
    return [
        (
            record["experiment_tag"],
            record["config"],
            record["status"],
            {key: record["last_result"][key] for key in ("place", "training_iteration", "done")},
            record["last_result"]["trial_id"] == record["trial_id"],
        )
        for record in records
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], int]:
    """How it ends, and the size of its journal."""
    driver = Driver(tmp_path_factory.mktemp("undisturbed"))
    driver.finish()
    trials = outcome(driver)
    assert len(trials) == 12 and {trial[2] for trial in trials} == {"TERMINATED"}
    return trials, kills.size(driver.experiment)


@pytest.fixture(scope="module")
def ray_of(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Ray with so many CPUs, in processes that outlive a driver."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
        process = subprocess.Popen(
            [sys.executable, "-c", RAY, str(request.param)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(LIMIT_S)


def test_t4_7_five_kills(tmp_path: Path, undisturbed: tuple[list[Any], int]) -> None:
    trials, size = undisturbed
    driver = Driver(tmp_path)
    run_with_kills(driver, size, 5, seed=1)
    assert outcome(driver) == trials
    kills.check_checkpoints(driver.experiment)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_t4_7_twenty_kills(tmp_path: Path, undisturbed: tuple[list[Any], int], seed: int) -> None:
    trials, size = undisturbed
    driver = Driver(tmp_path)
    run_with_kills(driver, size, 20, seed)
    assert outcome(driver) == trials
    kills.check_checkpoints(driver.experiment)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("ray_of", [2], indirect=True)
def test_t4_7_twenty_kills_with_ray_on_two_cpus(
    tmp_path: Path, undisturbed: tuple[list[Any], int], ray_of: str
) -> None:
    trials, size = undisturbed
    driver = Driver(tmp_path, address=ray_of)
    run_with_kills(driver, size, 20, seed="ray")
    assert outcome(driver) == trials
    kills.check_checkpoints(driver.experiment)


def check_decisions(tmp_path: Path, name: str, address: str, number: int) -> None:
    whole, killed = (Driver(tmp_path / each, name, address) for each in ("whole", "killed"))
    whole.finish()
    run_with_kills(killed, kills.size(whole.experiment), number, name)
    told, story = kills.story(whole.experiment), kills.story(killed.experiment)
    for part in told:
        assert story[part] == told[part]
    kills.check_checkpoints(killed.experiment)


@pytest.mark.ray
@pytest.mark.parametrize("ray_of", [1], indirect=True)
def test_t10_1_two_kills_of_pbt_with_ray_on_one_cpu(tmp_path: Path, ray_of: str) -> None:
    check_decisions(tmp_path, "pbt", ray_of, 2)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("ray_of", [1], indirect=True)
@pytest.mark.parametrize("name", examples.SCHEDULERS)
def test_t10_1_five_kills_with_ray_on_one_cpu(tmp_path: Path, ray_of: str, name: str) -> None:
    if name.startswith("optuna"):
        pytest.importorskip("optuna")
    check_decisions(tmp_path, name, ray_of, 5)
