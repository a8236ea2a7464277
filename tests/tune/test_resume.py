"""The state of an experiment (T4.6), resuming it (T4.7) and interrupting it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune import experiment_state
from rltune.tune.experiment_state import ExperimentState
from rltune.tune.run_lock import RunLock
from rltune.tune.schedulers import FIFOScheduler
from tests.tune.trainables import Counter

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("interrupted_run.py")

run = partial(tune.run, trial_executor="local", verbose=0)


def state_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("experiment_state-*.json"))


def newest_state(directory: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(state_files(directory)[-1].read_text())
    return state


def column(trial: Any, name: str) -> list[Any]:
    return [json.loads(line)[name] for line in Path(trial.logdir, "result.json").open()]


class Breaking(FIFOScheduler):
    """Breaks the driver when the last of `trials` trials counts `at`."""

    def __init__(self, at: int, trials: int = 1):
        self._at, self._trials = at, trials

    def on_trial_result(self, runner: Any, trial: Any, result: dict[str, Any]) -> str:
        if result["count"] == self._at and len(runner.get_trials()) >= self._trials:
            raise MemoryError("the driver breaks")
        return self.CONTINUE


def failing_run(results_dir: Path, **kwargs: Any) -> Path:
    """A run that ends, as far as its state tells, in the middle: the driver raised in step 3."""
    with pytest.raises(MemoryError):
        run(Counter, name="exp", stop={"count": 5}, scheduler=Breaking(3), **kwargs)
    return results_dir / "exp"


def test_t4_6_the_state_file(results_dir: Path) -> None:
    [trial] = run(Counter, name="exp", stop={"count": 2}, checkpoint_freq=1)
    [path] = state_files(results_dir / "exp")
    state = json.loads(path.read_text())
    assert set(state) == {"checkpoints", "runner_data", "stats"}
    assert state["stats"]["start_time"] <= state["stats"]["timestamp"] <= time.time()
    [record] = state["checkpoints"]
    assert set(record) >= set(
        "trial_id trainable_name experiment_tag config status last_result last_update_time "
        "local_dir logdir resources stopping_criterion checkpoint_freq checkpoint_at_end "
        "keep_checkpoints_num max_failures num_failures error_file checkpoint".split()
    )
    assert record["status"] == "TERMINATED" and record["last_result"]["count"] == 2
    assert record["checkpoint"] == trial.checkpoint.value
    assert '\n    {\n      "trainable_name"' in path.read_text()  # indented by two


def test_t4_6_it_is_written_when_the_driver_breaks(results_dir: Path) -> None:
    directory = failing_run(results_dir, checkpoint_freq=1)
    [record] = newest_state(directory)["checkpoints"]
    assert record["status"] == "RUNNING" and "checkpoint_2" in record["checkpoint"]


def test_t4_6_the_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seldom, always = ExperimentState(str(tmp_path), 1000), ExperimentState(str(tmp_path), 0)
    assert seldom.is_due()  # in the first step
    seldom.write([], {})
    assert not seldom.is_due()
    seldom.close()
    monkeypatch.setattr(ExperimentState, "SHARE", float("inf"))
    always.write([], {})
    assert always.is_due()


def test_t4_6_two_runs_in_one_second_have_two_files(tmp_path: Path) -> None:
    first = ExperimentState(str(tmp_path), 0)
    first.write([], {})
    first.close()
    second = ExperimentState(str(tmp_path), 0)
    assert second.path.name > first.path.name


@pytest.mark.parametrize("resume", [True, "LOCAL", "local", "Prompt"])
def test_t4_7_unfinished_trials_go_on(
    results_dir: Path, resume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "y")
    directory = failing_run(results_dir, checkpoint_freq=1)
    [before] = newest_state(directory)["checkpoints"]
    [trial] = run(Counter, name="exp", stop={"count": 99}, num_samples=3, resume=resume)
    assert trial.trial_id == before["trial_id"] and trial.logdir == before["logdir"]
    # The result of iteration 3 never reached the log; the old stopping criterion holds.
    assert column(trial, "count") == [1, 2, 3, 4, 5]
    assert column(trial, "iterations_since_restore") == [1, 2, 1, 2, 3]
    header = Path(trial.logdir, "progress.csv").read_text()
    assert header.count("training_iteration") == 1


def test_t4_7_without_checkpoints_from_scratch(results_dir: Path) -> None:
    failing_run(results_dir)
    [trial] = run(Counter, name="exp", resume=True)
    assert column(trial, "count") == [1, 2, 1, 2, 3, 4, 5]


def test_t4_7_the_newest_complete_checkpoint_counts(results_dir: Path) -> None:
    directory = failing_run(results_dir, checkpoint_freq=1)
    logdir = Path(newest_state(directory)["checkpoints"][0]["logdir"])
    (logdir / "checkpoint_2" / "checkpoint.tune_metadata").unlink()  # as if killed while saving
    [trial] = run(Counter, name="exp", resume=True)
    assert column(trial, "count") == [1, 2, 2, 3, 4, 5]


def test_t4_7_finished_trials_are_not_run_again(results_dir: Path) -> None:
    first = run(Counter, name="exp", stop={"count": 2}, num_samples=2)
    again = run(Counter, name="exp", resume=True)
    assert [t.trial_id for t in again] == [t.trial_id for t in first]
    assert column(again[0], "count") == [1, 2]


def test_t4_7_failed_trials_still_fail_the_run() -> None:
    config = {"fail_at": 1}
    run(Counter, name="exp", config=config, max_failures=0, raise_on_failed_trial=False)
    with pytest.raises(tune.TuneError, match="did not complete"):
        run(Counter, name="exp", resume=True)


def test_t4_7_c3_nothing_to_resume() -> None:
    for resume in (True, "LOCAL"):
        with pytest.raises(ValueError, match="nothing to resume"):
            run(Counter, resume=resume)
    with pytest.raises(ValueError, match="upload_dir"):
        run(Counter, resume="REMOTE")
    with pytest.raises(ValueError, match="resume is"):
        run(Counter, resume="maybe")
    assert len(run(Counter, stop={"count": 1}, resume="prompt")) == 1


def test_t4_7_declining_begins_anew_beside_the_old_run(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "n")
    [old] = run(Counter, name="exp", stop={"count": 1})
    [new] = run(Counter, name="exp", stop={"count": 1}, resume="PROMPT")
    assert new.trial_id != old.trial_id and Path(old.logdir).exists()
    assert len(state_files(results_dir / "exp")) == 2


def test_t4_7_what_came_after_the_last_snapshot_is_in_the_journal(results_dir: Path) -> None:
    directory = failing_run(results_dir, checkpoint_freq=1)
    run(Counter, name="other", stop={"count": 2}, global_checkpoint_period=1e9)
    [state] = state_files(results_dir / "other")
    early = json.loads(state.read_text())
    early["checkpoints"] = []  # as it was before the trial was added
    early["runner_data"] = {}
    state.write_text(json.dumps(early))
    [trial] = run(Counter, name="other", resume=True)
    assert trial.status == "TERMINATED" and column(trial, "count") == [1, 2]

    [journal] = directory.glob("journal-*.jsonl")
    first, *_, result, last = [json.loads(line) for line in journal.read_text().splitlines()]
    assert first["event"] == "trials" and first["records"][0]["status"] == "PENDING"
    assert result["event"] == "result" and result["result"]["count"] == 2
    assert "stopping_criterion" not in last and "checkpoint_2" in last["checkpoint"]


def test_t4_7_a_torn_line_of_the_journal_is_left_out(results_dir: Path) -> None:
    directory = failing_run(results_dir, checkpoint_freq=1)
    [journal] = directory.glob("journal-*.jsonl")
    with journal.open("a") as file:
        file.write('{"trial_id": "x", "sta')
    [trial] = run(Counter, name="exp", resume=True)
    assert column(trial, "count") == [1, 2, 3, 4, 5]


def test_t4_7_remote(tmp_path: Path, results_dir: Path) -> None:
    copy = {"upload_dir": str(tmp_path / "cloud"), "sync_to_cloud": _copy}
    failing_run(results_dir, checkpoint_freq=1, **copy)
    _remove(results_dir / "exp")
    [trial] = run(Counter, name="exp", resume="REMOTE", **copy)
    assert column(trial, "count") == [1, 2, 3, 4, 5]
    [uploaded] = (tmp_path / "cloud" / "exp").glob("Counter_0_*/result.json")
    assert uploaded.read_text() == Path(trial.logdir, "result.json").read_text()
    [record] = newest_state(tmp_path / "cloud" / "exp")["checkpoints"]
    assert record["status"] == "TERMINATED"  # T7.1: the last state is uploaded too


def _copy(source: str, target: str) -> None:
    import shutil

    shutil.copytree(source, target, dirs_exist_ok=True)


def _remove(directory: Path) -> None:
    import shutil

    shutil.rmtree(directory)


def test_t4_7_an_unreadable_state_is_logged(
    results_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (results_dir / "exp").mkdir(parents=True)
    (results_dir / "exp" / "experiment_state-2026-01-01_00-00-00.json").write_text("{")
    assert len(run(Counter, name="exp", stop={"count": 1}, resume=True)) == 1
    assert "begins anew" in caplog.text


@pytest.mark.parametrize("usable", [True, False])
def test_the_state_is_read_under_the_lock(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch, usable: bool
) -> None:
    failing_run(results_dir, checkpoint_freq=1)
    load = experiment_state.load

    def held(path: Path) -> Any:
        with pytest.raises(tune.TuneError, match="live run"):
            RunLock(path.parent).acquire()
        if not usable:
            raise ValueError("on purpose")
        return load(path)

    monkeypatch.setattr(experiment_state, "load", held)
    if usable:
        run(Counter, name="exp", resume=True)
    else:
        with pytest.raises(ValueError, match="on purpose"):
            run(Counter, name="exp", resume=True)
    RunLock(results_dir / "exp").acquire()  # it is free again


def test_the_newest_state_is_found(tmp_path: Path) -> None:
    assert experiment_state.newest(str(tmp_path)) is None
    for day in ("09", "10"):
        (tmp_path / f"experiment_state-2026-01-{day}_00-00-00.json").touch()
    newest = experiment_state.newest(str(tmp_path))
    assert newest is not None and "01-10" in newest.name


# What signals do, in processes of their own.


def start(results_dir: Path, executor: str) -> subprocess.Popen[str]:
    """The run in its own process group, as a terminal starts it; returns when it has reported, or
    hangs.
    """
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), executor],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TUNE_RESULT_DIR": str(results_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    sign = "hangs" if "hanging" in executor else "checkpoint_1"
    while not list(results_dir.glob(f"exp/*/{sign}")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    return process


def go_on(results_dir: Path) -> Any:
    [trial] = run(Counter, name="exp", resume=True)
    counts = column(trial, "count")
    assert counts[-1] == 40 and trial.status == "TERMINATED"
    return counts


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_the_first_interrupt_saves_what_runs(results_dir: Path, executor: str) -> None:
    tune.register_trainable("Slow", Counter)
    process = start(results_dir, executor)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert not left_of(process, seconds=10)
    assert "To go on: python mine.py --resume" in output
    # Nothing is done twice, nothing is lost.
    assert go_on(results_dir) == list(range(1, 41))


def test_t4_7_a_killed_run_goes_on(results_dir: Path) -> None:
    tune.register_trainable("Slow", Counter)
    process = start(results_dir, "local")
    process.kill()
    process.communicate()
    assert go_on(results_dir)[0] == 1


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_the_second_interrupt_ends_at_once(results_dir: Path, executor: str) -> None:
    process = start(results_dir, f"{executor}-hanging")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while "Once more stops at once" not in (line := process.stdout.readline()):
        assert line, "it ended without a word"
    time.sleep(0.3)
    assert process.poll() is None, process.communicate()  # it waits for the iteration
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert not left_of(process, seconds=10)


def left_of(process: subprocess.Popen[str], seconds: float) -> list[str]:
    """What is still there of the session that `process` led, after some time to go.

    Ray's agents are left out: they take a while to notice that a killed driver is gone.
    """
    import psutil

    deadline = time.monotonic() + seconds
    while True:
        left = []
        for other in psutil.process_iter(["cmdline"]):
            try:
                words = " ".join(other.info["cmdline"] or []).strip()
                if os.getsid(other.pid) == process.pid and words and "Agent" not in words:
                    left.append(words)
            except (ProcessLookupError, PermissionError):
                continue
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)
