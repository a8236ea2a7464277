"""The table of PBT's speed."""

from __future__ import annotations

from typing import Any

from benchmarks import pbt


def test_rows_have_the_newest_of_each_kind() -> None:
    def record(reuse: bool, ours: list[float], ratio: float) -> dict[str, Any]:
        return {
            "reuse": reuse,
            "iterations": {"rltune": 200, "ray": 20},
            "ours": ours,
            "theirs": [20.0],
            "ratio": ratio,
            "versions": {"ray": "9"},
        }

    lines = [record(True, [1.0], 1), record(False, [90.0], 45), record(True, [100.0, 300.0], 10)]
    assert pbt.rows(lines) == [
        ["yes", "200", "20", "10", "200 / 20", "9", "2"],
        ["no", "90", "20", "45", "200 / 20", "9", "1"],
    ]
