"""The comparison of ASHA and HyperBand: what is played, and what the table says."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from benchmarks import halving, halving_side
from benchmarks.halving_side import Curves

SEEDED = {"seed": 1, "brackets": [0] * 100}


def test_curves_are_the_same_whatever_is_asked_first() -> None:
    one, other = Curves(3, 5, 0.5), Curves(3, 5, 0.5)
    shown = [one.result(number, 9) for number in range(20)]
    again = [other.result(number, 9) for number in reversed(range(20))][::-1]
    assert json.dumps(shown) == json.dumps(again)
    assert 0 < sum(math.isnan(result["score"]) for result in shown) < 20
    times = [one.result(0, iteration)["t"] for iteration in range(1, 9)]
    assert times == sorted(set(times)) and times != list(range(1, 9))


@pytest.mark.parametrize("case", halving.CASES)
def test_t10_4_t10_5_every_case_plays_to_its_end(case: str) -> None:
    """T10.5 too: every trial ends at a rung, or past one where strides are longer."""
    task = {**halving.CASES[case], **SEEDED}
    ends = halving_side.simulate("rltune", task)["ends"]
    assert len(ends) == task["n"]
    assert max(ends) >= 81 and min(ends) >= 1
    rungs = {1, 3, 9, 27, 81} if "HyperBand" not in case or "Ray" in case else None
    if task["stride"] == 1 and rungs:
        assert set(ends) <= rungs


def test_the_side_is_a_program() -> None:
    task = {**halving.CASES["ASHA"], **SEEDED}
    order = json.dumps({"side": "rltune", "tasks": [task]})
    done = subprocess.run(
        [sys.executable, str(halving.SCRIPT), order],
        env={"PYTHONPATH": str(halving.ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [halving_side.simulate("rltune", task)]


def test_rows_count_the_trials_that_ended_alike() -> None:
    record = {
        "case": "ASHA",
        "seeds": [1, 2],
        "ours": [[1, 3], [9, 81]],
        "theirs": [[1, 3], [81, 81]],
        "versions": {"ray": "2"},
    }
    assert halving.rows([record]) == [["ASHA", "4", "3", "94", "166", "2", "2"]]
