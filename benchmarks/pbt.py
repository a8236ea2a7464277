"""python -m benchmarks.pbt: the speed of population based training beside the installed Ray's own.

Eight members that do nothing, on a Ray of their own with 2 CPUs, with the three default loggers; after
every fifth result a member is compared with the others, may copy one, and makes room for the next.
Sides alternate; every repeat is a process of its own.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks import records
from benchmarks.runner import ROOT, SIDES, alternate, last_number, shown

SCRIPT = ROOT / "benchmarks" / "pbt_side.py"
TABLE = "pbt"
HEADER = ["reuse_actors", "rltune", "ray.tune", "times better", "iterations", "Ray", "repeats"]


def compare(reuse: bool, iterations: dict[str, int], repeats: int) -> dict[str, Any]:
    """A record of the results per second of both sides."""

    def rate(side: str) -> float:
        return last_number(side, SCRIPT, {"reuse": reuse, "iterations": iterations[side]})

    rates = alternate(f"reuse_actors={reuse}", rate, repeats)
    return {"reuse": reuse, "iterations": iterations, **rates}


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record with reuse_actors and the newest without, as table rows."""
    newest = {record["reuse"]: record for record in lines}
    return [
        ["yes" if reuse else "no", *shown(record, record["iterations"])]
        for reuse, record in sorted(newest.items(), reverse=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pbt", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=200, help="of each member")
    parser.add_argument("--peer-iterations", type=int, default=20, help="fewer for ray.tune")
    arguments = parser.parse_args()
    iterations = dict(zip(SIDES, (arguments.iterations, arguments.peer_iterations), strict=True))
    for reuse in (True, False):
        record = compare(reuse, iterations, arguments.repeats)
        print(json.dumps(record), flush=True)
        records.append(TABLE, record)
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
