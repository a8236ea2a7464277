"""python -m benchmarks [NAMES]: measures the cases against a peer and renews the table."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import compare, records

TABLE = "comparisons"
HEADER = ["case", "measure", "rltune", "peer", "times better", "peer is", "threads", "repeats"]


def main() -> None:
    known = compare.names()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"cases: {', '.join(known)}")
    parser.add_argument("--peer", default="sb3", help="library to compare with")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind and side")
    parser.add_argument("--threads", type=int, default=1, help="cores and threads of each side")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(known)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    sides = (
        compare.ours(arguments.threads),
        compare.theirs(arguments.peer, arguments.threads),
    )
    for name in arguments.names or known:
        for comparison in compare.compare(compare.load(name), sides, arguments.repeats):
            records.append(TABLE, _record(name, comparison, arguments))
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


def _record(
    name: str, comparison: compare.Comparison, arguments: argparse.Namespace
) -> dict[str, Any]:
    return {
        "case": name,
        "measure": comparison.measure,
        "peer": arguments.peer,
        "threads": arguments.threads,
        "ours": comparison.ours,
        "theirs": comparison.theirs,
        "ratio": comparison.ratio(),
    }


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each case, measure, peer and thread count, as table rows."""
    newest = {(r["case"], r["peer"], r["threads"], r["measure"]): r for r in lines}
    return [
        [
            record["case"],
            record["measure"],
            records.show(compare.median(record["ours"])),
            records.show(compare.median(record["theirs"])),
            records.show(record["ratio"]),
            record["peer"],
            str(record["threads"]),
            str(len(record["ours"])),
        ]
        for _, record in sorted(newest.items(), key=lambda item: item[0][:3])
    ]


if __name__ == "__main__":
    main()
