"""python -m benchmarks.actors: what two rollout actors bring, and what their Ray costs.

Speed: PPO, with batches of RLlib's size, on an environment of 1 ms a step, in this process, with two
actors, and with two that sample ahead; these alternate, and of two iterations in a row the second
counts. The limit is what one process can step alone.
Start: `train.py` with two actors until its first result, beside a bare Ray with two empty actors and
the imports of both; the processes alternate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agents.ppo import PPO
from benchmarks import records
from benchmarks.process import BenchmarkError, environment, run
from benchmarks.slow_env import SlowEnv

ROOT = Path(__file__).parents[1]
SPEED, START = "actors", "actors_start"
ACTORS = 2
STEP_S = 0.001
BATCH = 4000
RAW_STEPS = 300
SIDES: dict[str, dict[str, Any]] = {
    "one": {},
    "two": {"num_workers": ACTORS},
    "ahead": {"num_workers": ACTORS, "sample_async": True},
}
HEADER = [
    "a step",
    "no actors, steps/s",
    "2 actors, steps/s",
    "times",
    "of the limit",
    "calls, % of the time",
    "sampling ahead, steps/s",
    "times",
    "repeats",
]
START_HEADER = ["first result, s", "bare Ray, s", "ratio", "repeats"]

BARE = """
import os, sys
os.environ.setdefault("RAY_worker_niceness", "0")
import gymnasium, jax, numpy, ray

class Empty:
    def ready(self):
        import gymnasium, numpy

ray.init("local", include_dashboard=False, logging_level="ERROR")
actors = [ray.remote(num_cpus=1)(Empty).remote() for _ in range({actors})]
ray.get([actor.ready.remote() for actor in actors])
print("ready", flush=True)
"""


def raw_rate(busy: bool) -> float:
    """Steps per second of one environment alone."""
    env = SlowEnv({"seconds": STEP_S, "busy": busy})
    env.reset(seed=0)
    began = time.perf_counter()
    for _ in range(RAW_STEPS):
        env.step(0)
    return RAW_STEPS / (time.perf_counter() - began)


def measure_speed(busy: bool, repeats: int) -> dict[str, Any]:
    """Env steps per second of each side, over whole iterations, and how much of their time two
    actors spent on calls: `perf/calls_s` of `time_this_iter_s`.
    """
    env = {"env": SlowEnv, "env_config": {"seconds": STEP_S, "busy": busy}}
    common = {**env, "seed": 1, "num_cpus_per_worker": 0.5, "train_batch_size": BATCH}
    # The first starts Ray, before there are threads of jax.
    order = reversed(SIDES.items())
    algorithms = {side: PPO({**common, **config}) for side, config in order}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    raw: list[float] = []
    calls: list[float] = []
    for repeat in range(repeats):
        raw.append(raw_rate(busy))
        for side in SIDES if repeat % 2 == 0 else reversed(SIDES):
            algorithm = algorithms[side]
            # Not counted: the first compiles, others come after a pause, and what one uses may have been
            # sampled before that.
            algorithm.train()
            result = algorithm.train()
            algorithm.get_state()  # waits for what is sampled ahead
            rates[side].append(result["timesteps_this_iter"] / result["time_this_iter_s"])
            if side == "two":
                calls.append(100 * result["perf"]["calls_s"] / result["time_this_iter_s"])
        last = {side: round(rates[side][-1]) for side in SIDES}
        print(f"busy {busy} {repeat + 1}/{repeats}: {last}, raw {raw[-1]:.0f}", file=sys.stderr)
    for algorithm in algorithms.values():
        algorithm.stop()
    return {"busy": busy, "rates": rates, "raw": raw, "calls_percent": calls}


def measure_start(repeats: int) -> dict[str, Any]:
    """Seconds from process start to the first result, and until a bare Ray's actors answer."""
    values: dict[str, list[float]] = {"ours": [], "bare": []}
    sides = {"ours": first_result, "bare": bare_ray}
    sides["ours"]()  # fills the cache of compiled programs
    for repeat in range(repeats):
        for side in sides if repeat % 2 == 0 else reversed(sides):
            values[side].append(sides[side]())
        last = {side: round(values[side][-1], 2) for side in sides}
        print(f"start {repeat + 1}/{repeats}: {last}", file=sys.stderr)
    return values


def first_result() -> float:
    stop, config = '{"training_iteration": 1}', json.dumps({"num_workers": ACTORS})
    ended = run(
        lambda folder: [
            *(sys.executable, "train.py", "--run", "PPO", "--env", "CartPole-v1"),
            *("--config", config, "--stop", stop, "--local-dir", str(folder)),
        ],
        ROOT,
        ACTORS,
        cores=ACTORS,
    )
    return ended.points[0].seconds


def bare_ray() -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", BARE.replace("{actors}", str(ACTORS))],
        env=environment(ACTORS),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        if not any(line == "ready\n" for line in lines):
            raise BenchmarkError("the bare Ray did not start")
        return time.perf_counter() - began


def speed_rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each kind of step, as table rows."""
    newest = {record["busy"]: record for record in lines}
    rows = []
    for busy, record in sorted(newest.items()):
        rates = {side: statistics.median(values) for side, values in record["rates"].items()}
        limit = ACTORS * statistics.median(record["raw"])
        rows.append(
            [
                "computes for 1 ms" if busy else "waits for 1 ms",
                records.show(rates["one"]),
                records.show(rates["two"]),
                records.show(rates["two"] / rates["one"]),
                records.show(rates["two"] / limit),
                records.show(statistics.median(record["calls_percent"])),
                records.show(rates["ahead"]),
                records.show(rates["ahead"] / rates["one"]),
                str(len(record["raw"])),
            ]
        )
    return rows


def start_row(record: dict[str, Any]) -> list[str]:
    """Of means: Ray asks for its own node once a second, so a start takes a second more or does not, and a median is
    one or the other."""
    ours, bare = statistics.mean(record["ours"]), statistics.mean(record["bare"])
    numbers = [records.show(value) for value in (ours, bare, ours / bare)]
    return [*numbers, str(len(record["ours"]))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.actors", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=[SPEED, START], help="one of the two tables")
    arguments = parser.parse_args()
    if arguments.only != SPEED:
        records.append(START, measure_start(arguments.repeats))
        records.write_table(START, START_HEADER, [start_row(records.read(START)[-1])])
    if arguments.only != START:
        for busy in (False, True):
            records.append(SPEED, measure_speed(busy, arguments.repeats))
        records.write_table(SPEED, HEADER, speed_rows(records.read(SPEED)))


if __name__ == "__main__":
    main()
