"""python -m benchmarks.pbt_quality [TASK...]: does population based training find more than random search?

Both train as many members for as many iterations, on one core and without Ray, and begin with the same
learning rates. Random search keeps them. What counts is the best score at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from benchmarks import records
from benchmarks.pbt_toy import LAST_ITERATION, MovingOptimum
from benchmarks.process import THREAD_VARIABLES
from rltune import tune
from rltune.tune.ranges import Range
from rltune.tune.schedulers import PopulationBasedTraining
from rltune.tune.trial_executor import TrialExecutor

CONFIGS = Path(__file__).parents[1] / "configs"
TABLE = "pbt_quality"
PBT, RANDOM, FAVOURED = METHODS = ("pbt", "random", "favoured")
HEADER = ["task", "members x iterations", "seed", "PBT", "random search", "favoured random search"]


@dataclass(frozen=True)
class Start:
    """How many members there are, and where their first learning rates are drawn from."""

    members: int
    lr: Range


@dataclass(frozen=True)
class Task:
    """What is trained. `favoured`: the start of a random search that has more than the others."""

    trainable: Any
    metric: str
    iterations: int
    start: Start
    favoured: Start
    pbt: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)

    def start_of(self, method: str) -> Start:
        return self.favoured if method == FAVOURED else self.start


def pendulum_config() -> dict[str, Any]:
    """That of configs/pendulum-ppo.yaml."""
    text = (CONFIGS / "pendulum-ppo.yaml").read_text(encoding="utf-8")
    (spec,) = yaml.safe_load(text).values()
    return {"env": spec["env"], **spec["config"]}


ANY_RATE = tune.loguniform(1e-4, 1.0)
LOW_RATES, ALL_RATES = tune.loguniform(1e-6, 1e-4), tune.loguniform(1e-6, 1e-2)
TASKS = {
    "moving-optimum": Task(
        MovingOptimum,
        "score",
        LAST_ITERATION,
        start=Start(8, ANY_RATE),
        favoured=Start(40, ANY_RATE),
        pbt={"perturbation_interval": 5, "hyperparam_mutations": {"lr": ANY_RATE}},
    ),
    "pendulum-ppo": Task(
        "PPO",
        "episode_reward_mean",
        iterations=60,
        start=Start(4, LOW_RATES),
        favoured=Start(4, ALL_RATES),
        pbt={
            "perturbation_interval": 3,
            "quantile_fraction": 0.5,  # few members, all of them bad: half of them try another rate
            "hyperparam_mutations": {"lr": ALL_RATES},
            "resample_probability": 0.5,
            "synch": True,
        },
        config=pendulum_config(),
    ),
}


def train(
    name: str, method: str, seed: int, executor: TrialExecutor | str = "local"
) -> dict[str, Any]:
    """One run; `score` is the best of its members' last ones."""
    task = TASKS[name]
    start, rng = task.start_of(method), random.Random(seed)
    rates = [start.lr.sample(rng) for _ in range(start.members)]
    with tempfile.TemporaryDirectory(prefix="rltune-bench-") as folder:
        trials = tune.run(
            task.trainable,
            stop={"training_iteration": task.iterations},
            config={
                **task.config,
                "lr": tune.grid_search(rates),
                "seed": tune.sample_from(lambda spec: seed * 1000 + rates.index(spec.config.lr)),
            },
            scheduler=make_scheduler(task, seed) if method == PBT else None,
            trial_executor=executor,
            loggers=(),
            local_dir=folder,
            verbose=0,
            return_trials=True,
        )
    scores = [trial.last_result[task.metric] for trial in trials]
    return {
        "task": name,
        "method": method,
        "seed": seed,
        "members": start.members,
        "iterations": task.iterations,
        "score": max(scores),
        "scores": scores,
        "first_lr": rates,
        "last_lr": [trial.config["lr"] for trial in trials],
    }


def make_scheduler(task: Task, seed: int) -> PopulationBasedTraining:
    return PopulationBasedTraining(
        time_attr="training_iteration", metric=task.metric, seed=seed, **task.pbt
    )


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """One row per task and seed: the newest record of each method."""
    newest = {(each["task"], each["seed"], each["method"]): each for each in lines}
    table = []
    for task, seed in sorted({key[:2] for key in newest}):
        runs = [newest.get((task, seed, method)) for method in METHODS]
        pbt = newest.get((task, seed, PBT))
        size = f"{pbt['members']} x {pbt['iterations']}" if pbt else "-"
        scores = [records.show(run["score"] if run else None) for run in runs]
        table.append([task, size, str(seed), *scores])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pbt_quality", description=__doc__)
    parser.add_argument(
        "tasks", nargs="*", choices=[[], *TASKS], help="default: all", metavar="TASK"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--jobs", type=int, default=1, help="processes at the same time")
    arguments = parser.parse_args()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    # Each run has a fresh process: what one leaves in its libraries is not the next one's.
    with ProcessPoolExecutor(
        arguments.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        futures = [
            pool.submit(train, *run)
            for run in product(arguments.tasks or TASKS, METHODS, arguments.seeds)
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
