"""One side of `benchmarks.pbt`: a fresh process that times one PBT run of rltune.tune or ray.tune.

Takes one JSON argument: `side` (rltune, ray), `reuse` (whether with reuse_actors), `iterations` of
each trial, `folder`. Prints the run's results per second as the last line. Ray and a first trial are
started before the clock is. It runs in the peer's environment too, so it imports nothing of rltune
outside that side.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.runner_side import local_ray

TRIALS, INTERVAL = 8, 5


def ours(population: int, iterations: int, reuse: bool, folder: Path) -> None:
    """rltune.tune with its default loggers."""
    from rltune import tune
    from rltune.tune.schedulers import PopulationBasedTraining

    class Member(tune.Trainable):
        def _train(self) -> dict[str, Any]:
            return {"score": self.config["lr"]}

        def _save(self, checkpoint_dir: str) -> dict[str, Any]:
            return {"lr": self.config["lr"]}

        def _restore(self, checkpoint: dict[str, Any]) -> None:
            """The counters are all there is."""

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

    lr = tune.uniform(0.0, 1.0)
    tune.run(
        Member,
        num_samples=population,
        config={"lr": lr},
        stop={"training_iteration": iterations},
        scheduler=PopulationBasedTraining(
            time_attr="training_iteration",
            metric="score",
            perturbation_interval=INTERVAL,
            hyperparam_mutations={"lr": lr},
        ),
        reuse_actors=reuse,
        local_dir=str(folder),
        verbose=0,
    )


def theirs(population: int, iterations: int, reuse: bool, folder: Path) -> None:
    """ray.tune with its default loggers."""
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    class Member(tune.Trainable):
        def step(self) -> dict[str, Any]:
            return {"score": self.config["lr"]}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {"lr": self.config["lr"]}

        def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
            """The counters are all there is."""

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

    lr = tune.uniform(0.0, 1.0)
    tune.run(
        Member,
        num_samples=population,
        config={"lr": lr},
        stop={"training_iteration": iterations},
        scheduler=PopulationBasedTraining(
            time_attr="training_iteration",
            metric="score",
            mode="max",
            perturbation_interval=INTERVAL,
            hyperparam_mutations={"lr": lr},
        ),
        reuse_actors=reuse,
        storage_path=str(folder),
        verbose=0,
    )


def main() -> None:
    task = json.loads(sys.argv[1])
    run = {"rltune": ours, "ray": theirs}[task["side"]]
    folder = Path(task["folder"])
    with local_ray():
        run(1, 1, task["reuse"], folder / "first")
        start = time.perf_counter()
        run(TRIALS, task["iterations"], task["reuse"], folder / "timed")
        seconds = time.perf_counter() - start
    print(results(folder / "timed") / seconds)


def results(folder: Path) -> int:
    """How many results were logged. A copy takes over its donor's count of iterations, so that is
    not known before.
    """
    return sum(len(path.read_bytes().splitlines()) for path in folder.rglob("result.json"))


if __name__ == "__main__":
    main()
