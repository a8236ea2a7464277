"""python -m benchmarks.replay: prioritised replay beside the trees of Tianshou and RLlib.

A buffer of a million transitions; a round draws batches of 256 and gives them new priorities. Sides alternate; every
repeat is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from benchmarks import peers, records
from benchmarks.runner import ROOT, last_number

SCRIPT = ROOT / "benchmarks" / "replay_side.py"
TABLE = "replay"
HEADER = ["batches a call", "side", "us a batch", "rltune / it", "repeats"]
OURS = "rltune"
SIDES = {
    OURS: "rltune: buffer",
    "tianshou": "Tianshou {}: buffer, tree compiled by numba",
    "ray": "RLlib {}: its Python trees alone",
}
ROUNDS = {OURS: 500, "tianshou": 500, "ray": 10}
"""Rounds of one batch. A call for several batches is repeated as many times fewer."""


def seconds_of_a_batch(side: str, task: dict[str, int]) -> float:
    """What drawing a batch and updating it takes. Raises BenchmarkError if it fails."""
    rounds = max(ROUNDS[side] // task["batches"], 2)
    return last_number(side, SCRIPT, {**task, "rounds": rounds}) / task["batches"]


def compare(task: dict[str, int], repeats: int) -> dict[str, Any]:
    """A record of all sides; the one that begins goes round."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        first = repeat % len(SIDES)
        for side in [*list(SIDES)[first:], *list(SIDES)[:first]]:
            seconds[side].append(seconds_of_a_batch(side, task))
        last = {side: f"{values[-1] * 1e6:.0f} us" for side, values in seconds.items()}
        print(
            f"{task['batches']} x {task['batch_size']} {repeat + 1}/{repeats}: {last}",
            file=sys.stderr,
        )
    versions = {side: peers.version(side) for side in SIDES if side != OURS}
    return {**task, "seconds": seconds, "peers": versions}


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The sides of the newest record of each number of batches, as table rows."""
    newest = {record["batches"]: record for record in lines}
    return [row for _, record in sorted(newest.items()) for row in _rows_of(record)]


def _rows_of(record: dict[str, Any]) -> list[list[str]]:
    medians = {side: statistics.median(values) for side, values in record["seconds"].items()}
    return [
        [
            str(record["batches"]),
            SIDES[side].format(record["peers"].get(side)),
            records.show(seconds * 1e6),
            records.show(medians[OURS] / seconds),
            str(len(record["seconds"][side])),
        ]
        for side, seconds in medians.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32], help="in one call")
    parser.add_argument("--batch-size", type=int, default=256)
    arguments = parser.parse_args()
    for batches in arguments.batches:
        task = {"rows": arguments.rows, "batches": batches, "batch_size": arguments.batch_size}
        record = compare(task, arguments.repeats)
        print(json.dumps(record), flush=True)
        records.append(TABLE, record)
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
