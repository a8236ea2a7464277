"""rltune and a peer on the same case, in turn, process by process.

A case is a YAML file in cases/: rltune trains from it as it stands, and the peer's settings are
read from the same file, so the two cannot drift apart.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks import peers
from benchmarks.process import BenchmarkError, Run, run

HERE = Path(__file__).parent
ROOT = HERE.parent
CASES = HERE / "cases"
NEVER = 1e9  # a reward that no case reaches: the run goes on to its last step

HIGHER_IS_BETTER = {
    "env_steps_per_s": True,
    "first_result_s": False,
    "reward_s": False,
    "reward_steps": False,
}
"""Measure -> whether more is better.

env_steps_per_s: extra steps of the long run over its extra seconds, so that start-up cancels.
first_result_s, reward_s: from process start until the first result, or the reward, is readable.
reward_steps: env steps until the reward; equal learning, or speed was bought with it.
"""


@dataclass(frozen=True)
class Case:
    """What both sides train. `short` and `long` are the env steps of the two speed runs."""

    path: Path
    algorithm: str
    env: str
    config: dict[str, Any]
    reward: float
    budget: int
    short: int
    long: int


@dataclass(frozen=True)
class Comparison:
    """One measure of one case: a value per repeat and side. None: the reward was not reached."""

    measure: str
    ours: list[float | None]
    theirs: list[float | None]

    def ratio(self) -> float | None:
        """How many times better rltune's median is; None if either side has no median."""
        ours, theirs = median(self.ours), median(self.theirs)
        if ours is None or theirs is None:
            return None
        return ours / theirs if HIGHER_IS_BETTER[self.measure] else theirs / ours


def median(values: list[float | None]) -> float | None:
    """The median, a None counting as worse than every number; None if it falls on one."""
    middle = statistics.median_high(math.inf if value is None else value for value in values)
    if middle == math.inf:
        return None
    return statistics.median(math.inf if value is None else value for value in values)


def load(name: str) -> Case:
    """The case of `cases/<name>.yaml`. Raises FileNotFoundError if there is none."""
    path = CASES / f"{name}.yaml"
    (spec,) = yaml.safe_load(path.read_text(encoding="utf-8")).values()
    stop = spec["stop"]
    budget = stop["timesteps_total"]
    return Case(
        path=path,
        algorithm=spec["run"],
        env=spec["env"],
        config=spec["config"],
        reward=stop["episode_reward_mean"],
        budget=budget,
        short=budget // 20,
        long=budget // 5,
    )


Trainer = Callable[[Case, int], Run]
"""Trains a case with a seed, to the case's budget or reward."""


def ours(threads: int) -> Trainer:
    """rltune: `python train.py -f case.yaml`."""

    def train(case: Case, seed: int) -> Run:
        stop = {"timesteps_total": case.budget, "episode_reward_mean": case.reward}
        return run(
            lambda folder: [
                *(sys.executable, "train.py", "-f", str(case.path), "--seed", str(seed)),
                *("--stop", json.dumps(stop), "--local-dir", str(folder)),
            ],
            ROOT,
            threads,
        )

    return train


def theirs(peer: str, threads: int) -> Trainer:
    """The peer: its script, in its environment."""
    interpreter = peers.python(peer)

    def train(case: Case, seed: int) -> Run:
        task = {
            "algorithm": case.algorithm,
            "env": case.env,
            "config": case.config,
            "timesteps": case.budget,
            "stop_reward": case.reward,
            "seed": seed,
            "threads": threads,
        }
        return run(
            lambda folder: [
                str(interpreter),
                str(peers.script(peer)),
                json.dumps({**task, "folder": str(folder)}),
            ],
            ROOT,
            threads,
        )

    return train


def compare(case: Case, sides: tuple[Trainer, Trainer], repeats: int) -> list[Comparison]:
    """All measures of a case. The sides alternate, and so does which of them begins."""
    rows: list[tuple[dict[str, float | None], ...]] = []
    for repeat in range(repeats):
        order = (0, 1) if repeat % 2 == 0 else (1, 0)
        values: dict[int, dict[str, float | None]] = {0: {}, 1: {}}
        for measure_run in (_speed, _learning):
            for side in order:
                values[side].update(measure_run(case, sides[side], repeat + 1))
        rows.append((values[0], values[1]))
        print(f"{case.path.stem} {repeat + 1}/{repeats}: {rows[-1]}", file=sys.stderr)
    return [
        Comparison(name, [row[0][name] for row in rows], [row[1][name] for row in rows])
        for name in HIGHER_IS_BETTER
    ]


def _speed(case: Case, train: Trainer, seed: int) -> dict[str, float | None]:
    short = train(replace(case, budget=case.short, reward=NEVER), seed)
    long = train(replace(case, budget=case.long, reward=NEVER), seed)
    steps = long.points[-1].steps - short.points[-1].steps
    seconds = long.seconds - short.seconds
    if steps <= 0 or seconds <= 0:
        raise BenchmarkError(
            f"{steps} more steps in {seconds:.3f} more seconds: nothing to measure"
        )
    return {"env_steps_per_s": steps / seconds, "first_result_s": short.points[0].seconds}


def _learning(case: Case, train: Trainer, seed: int) -> dict[str, float | None]:
    reached = train(case, seed).reached(case.reward)
    return {
        "reward_s": reached.seconds if reached else None,
        "reward_steps": reached.steps if reached else None,
    }


def names() -> list[str]:
    """The names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.yaml"))
