"""What a killed run had in its journal and not in its trials' files is there after a resume."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune import experiment_state
from rltune.tune.logger import JsonLogger, Logger
from rltune.tune.lost_results import log_lost
from tests.tune.trainables import Counter

run = partial(tune.run, trial_executor="local", verbose=0)


def lines(trial: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(trial.logdir, "result.json").open()]


def forget(path: Path, left: int, torn: str = "") -> None:
    """Cuts a file after so many lines, and a part of one."""
    kept = path.read_text().splitlines(keepends=True)[:left]
    path.write_text("".join(kept) + torn)


def recover(directory: Path) -> None:
    path = experiment_state.newest(str(directory))
    assert path is not None
    state = experiment_state.load(path)
    log_lost(experiment_state.journal_path(path), state["checkpoints"])


@pytest.mark.parametrize("left", [0, 2, 5])
def test_lost_lines_are_written(results_dir: Path, left: int) -> None:
    [trial] = run(
        Counter, name="exp", stop={"count": 5}, config={"metrics": {"x": [float("nan")] * 5}}
    )
    before, rows = lines(trial), Path(trial.logdir, "progress.csv").read_text()
    forget(Path(trial.logdir, "result.json"), left, '{"count"' if left == 2 else "")
    forget(Path(trial.logdir, "progress.csv"), left + 1)
    recover(results_dir / "exp")
    assert lines(trial) == before
    written = list(csv.reader(Path(trial.logdir, "progress.csv").open()))
    known = list(csv.reader(rows.splitlines()))
    assert [sorted(row) for row in written] == [sorted(row) for row in known]
    recover(results_dir / "exp")
    assert lines(trial) == before  # nothing is lost any more


def test_the_last_result_of_a_function_is_written_once(results_dir: Path) -> None:
    def steps(config: dict[str, Any], reporter: Any) -> None:
        for step in range(3):
            reporter(step=step)

    [trial] = run(steps, name="exp")
    forget(Path(trial.logdir, "result.json"), 1)
    recover(results_dir / "exp")
    assert [line["step"] for line in lines(trial)] == [0, 1, 2]


def test_a_resumed_trial_has_them_before_its_new_ones(results_dir: Path) -> None:
    class Breaks(Counter):
        def _train(self) -> dict[str, Any]:
            if self.count == 4:
                raise KeyboardInterrupt
            return super()._train()

    tune.register_trainable("counts", Breaks)
    with pytest.raises(KeyboardInterrupt):
        run("counts", name="exp", stop={"count": 6}, checkpoint_freq=3)
    [directory] = (results_dir / "exp").glob("counts*/")
    forget(directory / "result.json", 1)
    tune.register_trainable("counts", Counter)
    [trial] = run("counts", name="exp", stop={"count": 6}, checkpoint_freq=3, resume=True)
    counts = [line["count"] for line in lines(trial)]
    assert counts[:4] == [1, 2, 3, 4] and counts[-2:] == [5, 6]


class Notes(Logger):
    seen: list[int] = []

    def on_result(self, result: dict[str, Any]) -> None:
        self.seen.append(result["count"])


@pytest.mark.parametrize(("loggers", "again"), [([Notes], 0), ([Notes, JsonLogger], 2)])
def test_which_loggers_get_them(
    results_dir: Path, monkeypatch: pytest.MonkeyPatch, loggers: list[Any], again: int
) -> None:
    monkeypatch.setattr(Notes, "seen", [])
    [trial] = run(Counter, name="exp", stop={"count": 3}, loggers=loggers)
    if again:
        forget(Path(trial.logdir, "result.json"), 1)
    recover(results_dir / "exp")
    assert Notes.seen[3:] == [2, 3][:again]
