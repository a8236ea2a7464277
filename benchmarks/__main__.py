"""python -m benchmarks [CASES] [--peers ...]: measures cases against peers and renews the table."""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import case, compare, records, sides

TABLE = "comparisons"
HEADER = [
    *("case", "measure", "peer", "rltune", "the peer", "times better"),
    *("limit", "of the limit", "threads", "repeats"),
]


def main() -> None:
    arguments = parse()
    began = time.monotonic()
    for name in arguments.names:
        chosen = case.load(name)
        peers = sides.able(arguments.peers, chosen)
        for comparison in compare.compare(chosen, peers, arguments.threads, arguments.repeats):
            records.append(TABLE, record(name, comparison, arguments.threads))
        records.write_table(TABLE, HEADER, rows(records.read(TABLE)))
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line; SystemExit with a message if it names what there is not."""
    known = case.names()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"of {', '.join(known)}")
    parser.add_argument(
        "--peers", nargs="*", default=list(sides.PEERS), choices=sides.PEERS, help="libraries"
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind and side")
    parser.add_argument("--threads", type=int, default=1, help="cores and threads of each side")
    arguments = parser.parse_args(words)
    arguments.names = arguments.names or known
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return arguments


def record(name: str, comparison: compare.Comparison, threads: int) -> dict[str, Any]:
    """A line of results/comparisons.jsonl."""
    return {
        "case": name,
        "measure": comparison.measure,
        "peer": comparison.peer,
        "threads": threads,
        "ours": comparison.ours,
        "theirs": comparison.theirs,
        "bare": comparison.bare,
        "ratio": comparison.ratio(),
        "of_limit": comparison.of_limit(),
    }


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each case, measure, peer and thread count, as table rows."""
    newest = {(r["case"], r["threads"], r["measure"], r["peer"]): r for r in lines}
    measures, peers = list(compare.HIGHER_IS_BETTER), [*sides.PEERS, compare.NONE]

    def place(record: dict[str, Any]) -> tuple[Any, ...]:
        measure, peer = measures.index(record["measure"]), peers.index(record["peer"])
        return record["case"], record["threads"], measure, peer

    return [
        [
            record["case"],
            record["measure"],
            record["peer"],
            records.show(compare.median(record["ours"])),
            records.show(compare.median(record["theirs"])),
            records.show(record["ratio"]),
            records.show(compare.median(record.get("bare", []))),
            records.show(record.get("of_limit")),
            str(record["threads"]),
            str(len(record["ours"])),
        ]
        for record in sorted(newest.values(), key=place)
    ]


if __name__ == "__main__":
    main()
