"""python -m benchmarks.halving: which trials ASHA and HyperBand end, and when, beside ray.tune's.

Both sides see the same learning curves, made from a seed and played in virtual time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks import peers, records
from benchmarks.process import last_line

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "halving_side.py"
TABLE = "halving"
HEADER = [
    "case",
    "trials",
    "ended at the same time",
    "time, rltune",
    "time, ray.tune",
    "seeds",
    "Ray",
]
TIMEOUT_S = 600

RUNGS = {"max_t": 81, "grace_period": 1, "reduction_factor": 3}
ASHA = {"scheduler": "ASHA", "arguments": RUNGS, "n": 100}
HYPERBAND = {"scheduler": "HyperBand", "arguments": {"max_t": 81}, "n": 143}
PLAIN = {"slots": 8, "stride": 1, "diverging": 0.0}
CASES: dict[str, dict[str, Any]] = {
    "ASHA": {**ASHA, **PLAIN},
    "ASHA, 3 brackets": {**ASHA, **PLAIN, "arguments": {**RUNGS, "brackets": 3}},
    "ASHA, uneven strides": {**ASHA, **PLAIN, "stride": 5},
    "ASHA, a tenth diverges": {**ASHA, **PLAIN, "diverging": 0.1},
    "HyperBand": {**HYPERBAND, **PLAIN},
    "HyperBand, Ray's milestones": {**HYPERBAND, **PLAIN, "milestones": "ray"},
    "HyperBand, Ray's milestones, uneven strides": {
        **HYPERBAND,
        **PLAIN,
        "milestones": "ray",
        "stride": 5,
    },
}


def play(side: str, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the tasks come to on one side. Raises BenchmarkError if that fails."""
    interpreter = sys.executable if side == "rltune" else peers.python(side)
    line = last_line(
        interpreter, SCRIPT, {"side": side, "tasks": tasks}, os.environ, timeout=TIMEOUT_S
    )
    outcomes: list[dict[str, Any]] = json.loads(line)
    return outcomes


def compare(case: str, seeds: list[int]) -> dict[str, Any]:
    """A record: the ends of all trials on both sides, by seed. ray.tune draws ASHA's brackets."""
    tasks = [{**CASES[case], "seed": seed} for seed in seeds]
    theirs = play("ray", tasks)
    ours = play(
        "rltune",
        [
            {**task, "brackets": outcome["brackets"]}
            for task, outcome in zip(tasks, theirs, strict=True)
        ],
    )
    return {
        "case": case,
        "task": CASES[case],
        "seeds": seeds,
        "ours": [outcome["ends"] for outcome in ours],
        "theirs": [outcome["ends"] for outcome in theirs],
    }


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each case, as table rows."""
    newest = {record["case"]: record for record in lines}
    return [_row(newest[case]) for case in CASES if case in newest]


def _row(record: dict[str, Any]) -> list[str]:
    ours, theirs = (list(chain.from_iterable(record[side])) for side in ("ours", "theirs"))
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return [
        record["case"],
        f"{len(ours):,}",
        f"{same:,}",
        records.show(sum(ours)),
        records.show(sum(theirs)),
        str(len(record["seeds"])),
        record["versions"]["ray"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.halving", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    arguments = parser.parse_args()
    for case in CASES:
        records.append(TABLE, compare(case, arguments.seeds))
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
