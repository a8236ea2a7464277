"""python -m benchmarks.learning CONFIG...: how reliably, and how fast, the configs learn.

Every seed runs `python train.py -f configs/CONFIG.yaml` once, without a second try. For each the
table says at which env step the mean reward of 100 episodes first reached the goal in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from benchmarks import records
from benchmarks.case import NEVER
from benchmarks.compare import median
from benchmarks.process import run

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
TABLE = "learning"
HEADER = ["config", "goal", "within", "seeds", "solved", "median steps", "worst steps", "worst end"]


@dataclass(frozen=True)
class Goal:
    """The reward to reach, and the env steps to do it in."""

    reward: float
    budget: int


def goal(config: str) -> Goal:
    """The `stop` of configs/<config>.yaml, which holds one experiment."""
    text = (CONFIGS / f"{config}.yaml").read_text(encoding="utf-8")
    (spec,) = yaml.safe_load(text).values()
    return Goal(spec["stop"]["episode_reward_mean"], int(spec["stop"]["timesteps_total"]))


def learn(config: str, seed: int, threads: int, to_budget: bool) -> dict[str, Any]:
    """Trains once. `steps` is None if the goal was not reached; `end` is the last mean reward."""
    wanted = goal(config)
    # The wish to go on takes the file's place; a wish to stop would only repeat it.
    stop = ["--stop", json.dumps({"episode_reward_mean": NEVER})] if to_budget else []
    whole = run(
        lambda folder: [
            *(sys.executable, "train.py", "-f", str(CONFIGS / f"{config}.yaml")),
            *("--config", json.dumps({"seed": seed}), "--local-dir", str(folder), *stop),
        ],
        ROOT,
        threads,
    )
    reached = whole.reached(wanted.reward)
    last = whole.points[-1]
    return {
        "config": config,
        "seed": seed,
        "goal": wanted.reward,
        "budget": wanted.budget,
        "steps": reached.steps if reached else None,
        "seconds": reached.seconds if reached else None,
        "end": None if last.reward != last.reward else last.reward,
        "end_steps": last.steps,
        "framework": last.result.get("framework"),
    }


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """One row per config: the newest record of each of its seeds."""
    newest = {(record["config"], record["seed"]): record for record in lines}
    table = []
    for config in sorted({config for config, _ in newest}):
        runs = [record for (name, _), record in newest.items() if name == config]
        steps = [record["steps"] for record in runs]
        ends = [record["end"] for record in runs]
        solved = len(steps) - steps.count(None)
        table.append(
            [
                config,
                records.show(runs[-1]["goal"]),
                records.show(runs[-1]["budget"]),
                str(len(runs)),
                str(solved),
                records.show(median(steps)),
                records.show(None if None in steps else max(steps)),
                records.show(None if None in ends else min(ends)),
            ]
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="name in configs/, no .yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--jobs", type=int, default=1, help="processes at the same time")
    parser.add_argument("--to-budget", action="store_true", help="go on after the goal is reached")
    arguments = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        futures = [
            pool.submit(learn, config, seed, threads, arguments.to_budget)
            for config, seed in product(arguments.configs, arguments.seeds)
        ]
        for future in as_completed(futures):
            if future.exception() is None:
                print(json.dumps(future.result()), flush=True)
                records.append(TABLE, future.result())
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))
    for future in futures:
        future.result()  # a run that failed fails the command, after the others are recorded


if __name__ == "__main__":
    main()
