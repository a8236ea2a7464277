"""One side of `benchmarks.runner`: a fresh process that times one run of rltune.tune or ray.tune.

Takes one JSON argument: `side` (rltune, ray), `measure` (trials, results), `count`, `folder`. Prints
the seconds of the run as the last line. Ray and a first trial are started before the clock is.
It runs in the peer's environment too, so it imports nothing of rltune outside that side.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

CPUS = 2


def ours(measure: str, count: int, folder: Path) -> None:
    """rltune.tune with its default loggers."""
    from rltune import tune

    class Counts(tune.Trainable):
        def _train(self) -> dict[str, Any]:
            return {"score": 1.0}

    trials, results = shape(measure, count)
    tune.run(
        Counts,
        num_samples=trials,
        stop={"training_iteration": results},
        local_dir=str(folder),
        verbose=0,
    )


def theirs(measure: str, count: int, folder: Path) -> None:
    """ray.tune with its default loggers, and without the reuse of actors."""
    from ray import tune

    class Counts(tune.Trainable):
        def step(self) -> dict[str, Any]:
            return {"score": 1.0}

    trials, results = shape(measure, count)
    tune.run(
        Counts,
        num_samples=trials,
        stop={"training_iteration": results},
        storage_path=str(folder),
        verbose=0,
        reuse_actors=False,
    )


def shape(measure: str, count: int) -> tuple[int, int]:
    """How many trials, and how many results of each."""
    return (count, 1) if measure == "trials" else (1, count)


def main() -> None:
    task = json.loads(sys.argv[1])
    run = {"rltune": ours, "ray": theirs}[task["side"]]
    folder = Path(task["folder"])
    with local_ray():
        run("trials", 1, folder / "first")
        start = time.perf_counter()
        run(task["measure"], task["count"], folder / "timed")
        seconds = time.perf_counter() - start
    print(seconds)


@contextmanager
def local_ray() -> Iterator[None]:
    """A Ray of this process, whatever else runs on the machine."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init("local", num_cpus=CPUS, include_dashboard=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


if __name__ == "__main__":
    main()
