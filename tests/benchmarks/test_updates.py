"""The comparison of updates: its clock, its sides and its table."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from benchmarks import updates, updates_side


def test_the_clock_adds_up_calls_and_what_they_raise() -> None:
    clock = updates_side.Clock()
    clock(time.sleep)(0.01)
    with pytest.raises(ZeroDivisionError):
        clock(divmod)(1, 0)
    once = clock.seconds
    assert once >= 0.01
    assert clock(max)(1, 2) == 2 and clock.seconds > once


def test_a_side_is_a_program() -> None:
    task = {"side": "jax", "minibatches": [1024], "updates": 1}
    done = subprocess.run(
        [sys.executable, str(updates.SCRIPT), json.dumps(task)],
        env={"PYTHONPATH": str(updates.ROOT), "PATH": "", "RLTUNE_JAX_CACHE": "off"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout.splitlines()[-1])
    assert list(steps) == ["1024"] and 0 < steps["1024"] < 60


def test_the_table_has_medians_and_ratios_of_the_newest_records() -> None:
    us = {"jax": [9.0, 10.0, 50.0], "tf": [12.0] * 3, "torch": [70.0] * 3, "sb3": [100.0] * 3}
    older = {"minibatch": 64, "us": {side: [1.0] for side in us}}
    lines = [older, {"minibatch": 1024, "us": us}, {"minibatch": 64, "us": us}]
    cells = ["10", "12", "70", "100", "0.1", "0.12", "0.7", "1.2", "3"]
    assert updates.rows(lines) == [["64", *cells], ["1,024", *cells]]
    assert len(updates.HEADER) == len(cells) + 1
