"""python -m benchmarks.sampler: what sampling with the policy on leaves of the environments' own speed.

Both sides step the same vector environment, as rltune makes it, in this process and in turn. Raw: its
`step` alone, with random actions that were drawn before. Sampler: `RolloutWorker.sample` of PPO with two
networks of 64 x 64, fragments as in RL Zoo's hyperparameters: actions, values, log-probabilities,
advantages, episode metrics.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from agents.ppo import PPO
from benchmarks import records
from rltune.envs.make import resolve_env
from rltune.envs.vector import VectorEnv, make_vector_env
from rltune.models.networks import ActorCritic
from rltune.rollout.worker import Orders, RolloutWorker
from rltune.seeding import seed_sequence, stream

TABLE = "sampler"
HEADER = ["environments", "raw, steps/s", "sampler, steps/s", "sampler / raw", "repeats"]
FRAGMENT = 32
SLOW_STEP_S = 100e-6


class SlowEnv(gymnasium.Env[np.ndarray, np.int64]):
    """An environment that computes for 100 microseconds in each step (a busy loop), with CartPole's spaces."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        self._steps = 0
        return np.zeros(4, np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        end = time.perf_counter() + SLOW_STEP_S
        while time.perf_counter() < end:
            pass
        self._steps += 1
        return np.full(4, 0.001 * self._steps, np.float32), 1.0, False, self._steps == 200, {}


@dataclass(frozen=True)
class Case:
    """`num_envs` environments, and how many fragments of them are measured at a time."""

    name: str
    env: Any
    num_envs: int
    fragments: int


CASES = [
    Case("8 CartPole-v1", "CartPole-v1", 8, 40),
    Case("64 CartPole-v1", "CartPole-v1", 64, 40),
    Case("16 of 100 us each, one after the other", SlowEnv, 16, 2),
]


def raw(case: Case) -> VectorEnv:
    """The environments without anything around them, as a rollout worker makes them."""
    seeds = [seed_sequence(1, "env", i) for i in range(case.num_envs)]
    envs = make_vector_env(resolve_env(case.env, {}), case.num_envs, seeds)
    envs.reset()
    return envs


def sampler(case: Case) -> tuple[RolloutWorker, Orders]:
    """A worker, and the orders with which it samples."""
    settings = {"env": case.env, "num_envs_per_worker": case.num_envs, "seed": 1}
    config = PPO.config_class.from_dict(settings)
    worker = RolloutWorker(PPO, config)
    model = worker.policy.model
    assert isinstance(model, ActorCritic)
    return worker, Orders(model.init(stream(1, "init")), 1, config.coeffs())


def compare(case: Case, repeats: int) -> dict[str, Any]:
    """A record: steps per second of both, and the ratio of their medians."""
    envs, (worker, orders) = raw(case), sampler(case)
    steps = case.fragments * FRAGMENT
    actions = np.random.default_rng(1).integers(0, 2, (steps, case.num_envs))
    rates: dict[str, list[float]] = {"raw": [], "sampler": []}
    for _ in range(repeats + 1):
        began = time.perf_counter()
        for row in actions:
            envs.step(row)
        between = time.perf_counter()
        for _ in range(case.fragments):
            worker.sample(orders, FRAGMENT)
        ended = time.perf_counter()
        rates["raw"].append(steps * case.num_envs / (between - began))
        rates["sampler"].append(steps * case.num_envs / (ended - between))
    for values in rates.values():
        del values[0]  # warms up
    worker.stop()
    envs.close()
    ratio = statistics.median(rates["sampler"]) / statistics.median(rates["raw"])
    return {"case": case.name, **rates, "ratio": ratio}


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each case, as table rows."""
    newest = {record["case"]: record for record in lines}
    return [
        [
            case.name,
            records.show(statistics.median(record["raw"])),
            records.show(statistics.median(record["sampler"])),
            records.show(record["ratio"]),
            str(len(record["raw"])),
        ]
        for case in CASES
        if (record := newest.get(case.name)) is not None
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampler", description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    for case in CASES:
        record = compare(case, arguments.repeats)
        print(json.dumps(record), file=sys.stderr, flush=True)
        records.append(TABLE, record)
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
