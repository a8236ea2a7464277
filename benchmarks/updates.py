"""python -m benchmarks.updates: one minibatch step of PPO's update under each framework, and in Stable-Baselines3.

Two 64x64 tanh networks, CartPole, batches of 2,048 rows for 10 epochs, one thread on one core. An update counts
whole, from the sampled batch to the statistics, and is divided by its steps. Every repeat is a process a side.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import peers, records
from benchmarks.process import environment, last_line

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "updates_side.py"
TABLE = "updates"
PEER = "sb3"
SIDES = ("jax", "tf", "torch", PEER)
MINIBATCHES = (64, 256, 1024)
HEADER = [
    "minibatch",
    *(f"{side}, us" for side in SIDES),
    *(f"{side} / {PEER}" for side in SIDES[:-1]),
    "tf / jax",
    "repeats",
]
TIMEOUT_S = 900


def measure(side: str, updates: int) -> dict[str, float]:
    """Seconds of a step by minibatch size. Raises BenchmarkError if the side fails."""
    interpreter = peers.python(side) if side in ("tf", PEER) else sys.executable
    task = {"side": side, "minibatches": MINIBATCHES, "updates": updates}
    line = last_line(interpreter, SCRIPT, task, environment(threads=1), cores=1, timeout=TIMEOUT_S)
    steps: dict[str, float] = json.loads(line)
    return steps


def compare(updates: int, repeats: int) -> list[dict[str, Any]]:
    """A record for each minibatch size: the sides' microseconds in every repeat. Sides take turns."""
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in SIDES if repeat % 2 == 0 else reversed(SIDES):
            taken[side].append(measure(side, updates))
        last = {side: values[-1] for side, values in taken.items()}
        print(f"updates {repeat + 1}/{repeats}: {last}", file=sys.stderr)
    return [
        {
            "minibatch": size,
            "us": {side: [1e6 * steps[str(size)] for steps in taken[side]] for side in SIDES},
        }
        for size in MINIBATCHES
    ]


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each minibatch size, as table rows: medians, and their ratios."""
    newest = {record["minibatch"]: record for record in lines}
    return [_row(newest[size]) for size in sorted(newest)]


def _row(record: dict[str, Any]) -> list[str]:
    us = {side: statistics.median(record["us"][side]) for side in SIDES}
    ratios = [us[side] / us[PEER] for side in SIDES[:-1]]
    return [
        f"{record['minibatch']:,}",
        *(records.show(us[side]) for side in SIDES),
        *(records.show(ratio) for ratio in (*ratios, us["tf"] / us["jax"])),
        str(len(record["us"][PEER])),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.updates", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=7, help="timed in each process and size")
    arguments = parser.parse_args()
    for record in compare(arguments.updates, arguments.repeats):
        print(json.dumps(record), flush=True)
        records.append(TABLE, record)
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
