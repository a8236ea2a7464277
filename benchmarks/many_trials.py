"""python -m benchmarks.many_trials: the cost of a trial while an experiment grows.

One experiment of many one-result trials on 2 CPUs with the default loggers. Compared are the seconds
that the first and the last of them take, and what each adds to the driver's memory.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import tempfile
import time
from typing import Any

import ray

from benchmarks import records
from benchmarks.runner_side import CPUS
from rltune import tune
from rltune.tune.schedulers import FIFOScheduler

TABLE = "many_trials"
HEADER = [
    "trials",
    "of",
    "first, s",
    "last, s",
    "last / first",
    "memory at start, MB",
    "at end, MB",
]


class Counts(tune.Trainable):
    """Does nothing, once."""

    def _train(self) -> dict[str, Any]:
        return {"score": 1.0}


class Watch(FIFOScheduler):
    """Notes when each trial has ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_complete(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> None:
        self.times.append(time.perf_counter())


def measure(trials: int, part: int) -> dict[str, Any]:
    """Runs the experiment; `part` trials at either end are compared. The very first ones, which
    load modules and start processes, are left out.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init("local", num_cpus=CPUS, include_dashboard=False, logging_level=logging.ERROR)
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="rltune-bench-") as folder:
        tune.run(Counts, stop={"training_iteration": 1}, local_dir=f"{folder}/first", verbose=0)
        before = peak_mb()
        tune.run(
            Counts,
            num_samples=trials,
            stop={"training_iteration": 1},
            local_dir=folder,
            scheduler=watch,
            verbose=0,
        )
    ray.shutdown()
    times = watch.times
    first = times[2 * part - 1] - times[part - 1]
    last = times[-1] - times[-1 - part]
    return {
        "trials": trials,
        "part": part,
        "first_s": first,
        "last_s": last,
        "ratio": last / first,
        "memory_mb": [before, peak_mb()],
    }


def peak_mb() -> float:
    """The most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(record: dict[str, Any]) -> list[str]:
    values = (record["first_s"], record["last_s"], record["ratio"], *record["memory_mb"])
    return [str(record["part"]), f"{record['trials']:,}", *(records.show(v) for v in values)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_trials", description=__doc__)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--part", type=int, default=500)
    arguments = parser.parse_args()
    record = measure(arguments.trials, arguments.part)
    print(record)
    records.append(TABLE, record)
    records.write_table(TABLE, HEADER, [row(records.read(TABLE)[-1])])


if __name__ == "__main__":
    main()
