"""python -m benchmarks.runner: the speed of the runner beside the installed Ray's own Tune.

Both sides run a class that does nothing, on a Ray of their own with 2 CPUs, with their three default
loggers (JSON, CSV, TensorBoard). Sides alternate; every repeat is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import peers, records
from benchmarks.process import last_line

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "runner_side.py"
TABLE = "runner"
HEADER = ["measure", "rltune", "ray.tune", "times better", "of", "Ray", "repeats"]
SIDES = ("rltune", "ray")
MEASURES = {
    "trials": "trials/s, each with one result, without reuse_actors",
    "results": "results/s of one trial",
}


def rate(side: str, measure: str, count: int) -> float:
    """How many trials or results a side does in a second. Raises BenchmarkError if it fails."""
    return count / last_number(side, SCRIPT, {"measure": measure, "count": count})


def last_number(side: str, script: Path, task: dict[str, Any]) -> float:
    """What `script` prints last, run for one side in a process and a folder of its own. Raises
    BenchmarkError if it fails.
    """
    interpreter = sys.executable if side == "rltune" else peers.python(side)
    with tempfile.TemporaryDirectory(prefix="rltune-bench-") as folder:
        task = {"side": side, "folder": folder, **task}
        return float(last_line(interpreter, script, task, os.environ))


def alternate(what: str, run: Callable[[str], float], repeats: int) -> dict[str, Any]:
    """The rates that `run` measures of both sides in turn, and the ratio of their medians; which
    side begins alternates too.
    """
    values: dict[str, list[float]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in SIDES if repeat % 2 == 0 else reversed(SIDES):
            values[side].append(run(side))
        last = {side: values[side][-1] for side in SIDES}
        print(f"{what} {repeat + 1}/{repeats}: {last}", file=sys.stderr)
    ours, theirs = (statistics.median(values[side]) for side in SIDES)
    return {"ours": values["rltune"], "theirs": values["ray"], "ratio": ours / theirs}


def compare(measure: str, counts: dict[str, int], repeats: int) -> dict[str, Any]:
    """A record of both sides."""
    rates = alternate(measure, lambda side: rate(side, measure, counts[side]), repeats)
    return {"measure": measure, "counts": counts, **rates}


def shown(record: dict[str, Any], counts: dict[str, int]) -> list[str]:
    """The columns from `rltune` to `repeats` of a record's row; `counts` are how many of each."""
    return [
        records.show(statistics.median(record["ours"])),
        records.show(statistics.median(record["theirs"])),
        records.show(record["ratio"]),
        " / ".join(f"{counts[side]:,}" for side in SIDES),
        record["versions"]["ray"],
        str(len(record["ours"])),
    ]


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each measure, as table rows."""
    newest = {record["measure"]: record for record in lines}
    return [
        [MEASURES[measure], *shown(record, record["counts"])]
        for measure, record in sorted(newest.items(), reverse=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runner", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--peer-trials", type=int, help="fewer for ray.tune; default: as many")
    parser.add_argument("--results", type=int, default=1000)
    arguments = parser.parse_args()
    peer_trials = arguments.peer_trials or arguments.trials
    wanted = {
        "trials": {"rltune": arguments.trials, "ray": peer_trials},
        "results": dict.fromkeys(SIDES, arguments.results),
    }
    for measure, counts in wanted.items():
        record = compare(measure, counts, arguments.repeats)
        print(json.dumps(record), flush=True)
        records.append(TABLE, record)
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
