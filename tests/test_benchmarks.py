"""The arithmetic of the benchmarks, and their reading of another process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import learning, records
from benchmarks.process import BenchmarkError, run

WRITER = """
import json, pathlib, sys, time
folder = pathlib.Path(sys.argv[1]) / "experiment" / "trial"
folder.mkdir(parents=True)
with (folder / "result.json").open("w") as file:
    for steps, reward in [(100, None), (200, 20.5), (300, 195.0)]:
        print(json.dumps({"timesteps_total": steps, "episode_reward_mean": reward}), file=file)
        file.flush()
        time.sleep(0.02)
"""


def test_a_run_is_read_point_by_point(tmp_path: Path) -> None:
    result = run(lambda folder: [sys.executable, "-c", WRITER, str(folder)], tmp_path, threads=1)
    assert [point.steps for point in result.points] == [100, 200, 300]
    seconds = [point.seconds for point in result.points]
    assert seconds == sorted(seconds) and 0 < seconds[0] and seconds[-1] <= result.seconds
    reached = result.reached(195)
    assert reached is not None and reached.steps == 300
    assert result.reached(196) is None


def test_a_run_that_fails_or_says_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="the reason"):
        run(lambda folder: [sys.executable, "-c", "raise SystemExit('the reason')"], tmp_path, 1)
    with pytest.raises(BenchmarkError, match="exit code 0"):
        run(lambda folder: [sys.executable, "-c", ""], tmp_path, 1)


def test_learning_rows_keep_the_newest_record_of_each_seed() -> None:
    def record(seed: int, steps: int | None, end: float) -> dict[str, object]:
        goal = {"goal": 195.0, "budget": 50_000}
        return {"config": "cartpole-ppo", "seed": seed, "steps": steps, "end": end, **goal}

    lines = [record(1, None, 20.0), record(1, 10_000, 196.0), record(2, 30_000, 195.5)]
    (row,) = learning.rows(lines)
    assert row == ["cartpole-ppo", "195", "50,000", "2", "2", "20,000", "30,000", "196"]
    (row,) = learning.rows([*lines, record(3, None, 150.0)])
    assert row[4:] == ["2", "30,000", "-", "150"]


def test_tables_go_between_their_markers() -> None:
    text = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n"
    assert records.between(text, "t", "new") == "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n"
    with pytest.raises(ValueError, match="<!-- u -->"):
        records.between(text, "u", "new")


def test_a_measured_process_keeps_what_python_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user's does; with this variable every run would compile the whole checkout."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    script = WRITER.replace("{", "{'writes': not sys.dont_write_bytecode, ", 1)
    done = run(lambda folder: [sys.executable, "-c", script, str(folder)], tmp_path, threads=1)
    assert done.points[0].result["writes"] is True
