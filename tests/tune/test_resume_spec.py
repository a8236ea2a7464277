"""What a resumed run takes over, what it may change, and runs beside runs (T4.7, T4.8)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.suggest import BasicVariantGenerator
from tests.tune.test_resume import Breaking, column, state_files
from tests.tune.trainables import Counter

run = partial(tune.run, Counter, name="exp", trial_executor="local", verbose=0)


def break_off(**kwargs: Any) -> None:
    with pytest.raises(MemoryError):
        run(**kwargs)


def test_a_second_run_begins_beside_the_first(results_dir: Path) -> None:
    [old] = run(stop={"count": 2})
    files = {path: path.read_bytes() for path in (results_dir / "exp").rglob("*.json*")}
    [new] = run(stop={"count": 3})
    assert new.logdir != old.logdir and len(state_files(results_dir / "exp")) == 2
    assert len(list((results_dir / "exp").glob("journal-*"))) == 2
    assert all(path.read_bytes() == content for path, content in files.items())
    assert [trial.trial_id for trial in run(resume=True)] == [new.trial_id]


def test_a_live_run_refuses_another(results_dir: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from rltune.tune.run_lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(15)"
    )
    directory = results_dir / "exp"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(directory)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        with pytest.raises(tune.TuneError, match=rf"live run \(pid {process.pid}\) works in .*exp"):
            run(stop={"count": 1})
        assert not list(directory.glob("Counter*"))
        process.kill()
    assert len(run(stop={"count": 1})) == 1


def test_stop_may_be_raised_for_trials_that_have_ended(results_dir: Path) -> None:
    config = {"x": tune.grid_search([1, 2])}
    run(stop={"count": 2}, config=config, checkpoint_at_end=True)
    trials = run(
        stop={"count": 4}, config=config, checkpoint_at_end=True, resume=True,
        resume_override=("stop",),
    )  # fmt: skip
    assert [column(trial, "count") for trial in trials] == [[1, 2, 3, 4]] * 2
    assert [column(trial, "iterations_since_restore") for trial in trials] == [[1, 2, 1, 2]] * 2
    # A criterion that is fulfilled already, and a trial that ended by itself, change nothing.
    trials = run(stop={"count": 3}, resume=True, resume_override=["stop"])
    assert [column(trial, "count")[-1] for trial in trials] == [4, 4]


def test_num_samples_may_be_raised(results_dir: Path) -> None:
    config = {"x": tune.grid_search([1, 2])}
    before = run(stop={"count": 1}, config=config, num_samples=1)
    after = run(stop={"count": 1}, config=config, num_samples=3, resume=True)
    assert len(after) == 2
    after = run(
        stop={"count": 1}, config=config, num_samples=3, resume=True,
        resume_override=("num_samples",),
    )  # fmt: skip
    assert [t.trial_id for t in after[:2]] == [t.trial_id for t in before]
    assert [t.experiment_tag for t in after] == [f"{i}_x={i % 2 + 1}" for i in range(6)]
    assert {t.status for t in after} == {"TERMINATED"}


def test_other_changes_are_ignored_and_named(caplog: pytest.LogCaptureFixture) -> None:
    break_off(stop={"count": 5}, scheduler=Breaking(3), checkpoint_freq=1)
    [trial] = run(stop={"count": 9}, checkpoint_freq=1, max_failures=7, resume=True)
    assert trial.last_result["count"] == 5 and trial.max_failures == 3
    assert "here of stop, max_failures; resume_override takes stop and num_samples" in caplog.text
    caplog.clear()
    run(stop={"count": 5}, checkpoint_freq=1, resume=True)
    assert "have no effect" not in caplog.text
    with pytest.raises(tune.TuneError, match="not 'config'"):
        run(resume=True, resume_override=("config",))


class Remembering(Breaking):
    """Keeps what it was shown; ends trial `0` at 4."""

    def __init__(self, at: int):
        super().__init__(at)
        self.seen: list[Any] = []

    def on_trial_add(self, runner: Any, trial: Any) -> None:
        self.seen.append(("add", trial.trial_id))

    def on_trial_result(self, runner: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = super().on_trial_result(runner, trial, result)
        self.seen.append((trial.trial_id, result["count"]))
        return self.STOP if result["count"] == 4 else decision

    def get_state(self) -> Any:
        return self.seen

    def set_state(self, state: Any) -> None:
        self.seen = [tuple(each) for each in state]


@pytest.mark.parametrize("period", [0, 1e9])
@pytest.mark.parametrize("lost", [False, True])
def test_a_scheduler_is_shown_each_result_once(
    results_dir: Path, period: float, lost: bool
) -> None:
    kwargs = {"stop": {"count": 6}, "num_samples": 2, "checkpoint_freq": 2}
    break_off(scheduler=Remembering(at=4), global_checkpoint_period=period, **kwargs)
    if lost:  # the last snapshot was never written: the journal has all
        state_files(results_dir / "exp")[-1].unlink()
    scheduler = Remembering(at=1000)
    first, second = run(scheduler=scheduler, resume=True, **kwargs)
    ids = [first.trial_id, second.trial_id]
    assert scheduler.seen[:2] == [("add", each) for each in ids]
    assert scheduler.seen[2:] == [(each, count) for each in ids for count in range(1, 5)]
    assert column(first, "count") == [1, 2, 3, 3, 4]  # done twice, shown once


class OneByOne(BasicVariantGenerator):
    """Gives its trials one by one, and keeps what it heard."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []
        self.given = 0
        self.heard: list[str] = []

    def next_trials(self) -> list[Any]:
        self.waiting += super().next_trials()
        self.given += 1
        return [self.waiting.pop(0)] if self.waiting else []

    def is_finished(self) -> bool:
        return super().is_finished() and not self.waiting

    def on_trial_complete(self, trial_id: str, *args: Any, **kwargs: Any) -> None:
        self.heard.append(trial_id)

    def get_state(self) -> dict[str, Any]:
        return {"given": self.given, "heard": self.heard}

    def set_state(self, state: dict[str, Any]) -> None:
        self.given, self.heard = state["given"], state["heard"]
        self.waiting = super().next_trials()[self.given :]


def test_a_search_algorithm_makes_the_trials_that_are_missing(results_dir: Path) -> None:
    kwargs = {"stop": {"count": 3}, "config": {"x": tune.grid_search([1, 2, 3])}}
    break_off(search_alg=OneByOne(), scheduler=Breaking(2, trials=2), **kwargs)
    search = OneByOne()
    trials = run(search_alg=search, resume=True, **kwargs)
    assert [trial.config["x"] for trial in trials] == [1, 2, 3]
    assert search.heard == [trial.trial_id for trial in trials]


def test_run_experiments_resumes() -> None:
    spec = {"run": "Counter", "stop": {"count": 3}, "checkpoint_freq": 1}
    tune.register_trainable("Counter", Counter)
    experiments = {"a": spec, "b": spec}
    given = {"trial_executor": "local", "verbose": 0}
    with pytest.raises(MemoryError):
        tune.run_experiments(experiments, scheduler=Breaking(2), **given)
    trials = tune.run_experiments(experiments, resume=True, **given)  # `b` had not begun
    assert [column(trial, "count") for trial in trials] == [[1, 2, 3], [1, 2, 3]]
    again = tune.run_experiments(experiments, resume=True, **given)
    assert [trial.trial_id for trial in again] == [trial.trial_id for trial in trials]
    with pytest.raises(ValueError, match="nothing to resume"):
        tune.run_experiments({"c": spec}, resume=True, **given)


def test_a_full_disk_ends_the_run_and_it_goes_on(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rltune import trainable

    whole, writes = trainable.write_atomically, []

    def fill_up(path: Path, data: bytes) -> None:
        writes.append(path)
        if len(writes) > 3:
            raise OSError(28, os.strerror(28), str(path))
        whole(path, data)

    monkeypatch.setattr(trainable, "write_atomically", fill_up)
    kept = {"checkpoint_freq": 1, "keep_checkpoints_num": 1, "stop": {"count": 4}}
    with pytest.raises(tune.TuneError, match="disk is full.*resume=True"):
        run(**kept)
    monkeypatch.undo()
    monkeypatch.setenv("TUNE_RESULT_DIR", str(results_dir))
    state = json.loads(state_files(results_dir / "exp")[-1].read_text())
    [record] = state["checkpoints"]
    assert record["status"] == "RUNNING" and "checkpoint_1" in record["checkpoint"]
    [trial] = run(resume=True, **kept)
    assert column(trial, "count") == [1, 2, 2, 3, 4]
    assert [p.name for p in Path(trial.logdir).glob("checkpoint_*")] == ["checkpoint_4"]


def test_a_full_disk_under_the_journal(results_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rltune.tune.append_file import AppendFile

    whole = AppendFile.append

    def fill_up(self: AppendFile, record: bytes) -> None:
        if "journal" in str(self._path) and b'"count":3' in record.replace(b" ", b""):
            raise OSError(28, os.strerror(28), str(self._path))
        whole(self, record)

    monkeypatch.setattr(AppendFile, "append", fill_up)
    with pytest.raises(tune.TuneError, match="disk is full"):
        run(stop={"count": 4}, checkpoint_freq=1)
    monkeypatch.setattr(AppendFile, "append", whole)
    [trial] = run(resume=True)
    assert column(trial, "count") == [1, 2, 3, 4]


def test_fifo_keeps_no_state() -> None:
    assert FIFOScheduler().get_state() is None
