"""One side of `benchmarks.replay`: a fresh process that draws from a full buffer and sets priorities of what it drew.

Takes one JSON argument: `side` (rltune, tianshou, ray), `rows`, `batches`, `batch_size`, `rounds`. Prints the seconds
of one round as the last line, in CPU time: all sides compute in one thread, and what else the machine does counts less.
It runs in the peers' environments too, so it imports nothing of rltune outside that side.
"""

from __future__ import annotations

import importlib.util
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ALPHA, BETA, EPS = 0.6, 0.4, 1e-6
OBS_SIZE = 4
WARM_UP = 3

Sample = Callable[[], np.ndarray]
Update = Callable[[np.ndarray, np.ndarray], None]


def transitions(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Columns of CartPole's shapes."""
    return {
        "obs": rng.random((rows, OBS_SIZE), np.float32),
        "actions": rng.integers(2, size=rows),
        "rewards": np.ones(rows, np.float32),
        "terminateds": rng.random(rows) < 0.01,
        "truncateds": np.zeros(rows, bool),
        "new_obs": rng.random((rows, OBS_SIZE), np.float32),
    }


def ours(task: dict[str, Any], rng: np.random.Generator) -> tuple[Sample, Update]:
    """rltune's buffer."""
    from rltune.replay import PrioritizedReplayBuffer

    rows = task["rows"]
    buffer = PrioritizedReplayBuffer(rows, np.random.default_rng(1), ALPHA, EPS)
    columns = {name: column[:, None] for name, column in transitions(rng, rows).items()}
    buffer.add({**columns, "valid": np.ones((rows, 1), bool)})
    buffer.update_priorities(np.arange(rows), rng.random(rows))

    def sample() -> np.ndarray:
        return buffer.sample(task["batches"], task["batch_size"], 1, 0.99, BETA)[1]

    return sample, buffer.update_priorities


def tianshous(task: dict[str, Any], rng: np.random.Generator) -> tuple[Sample, Update]:
    """Tianshou's buffer: numpy columns, and a sum tree that numba compiles."""
    from tianshou.data import Batch, PrioritizedReplayBuffer

    rows = task["rows"]
    columns = transitions(rng, rows)
    buffer = PrioritizedReplayBuffer(rows, alpha=ALPHA, beta=BETA)
    names = {"obs": "obs", "act": "actions", "rew": "rewards", "obs_next": "new_obs"}
    ends = {"terminated": "terminateds", "truncated": "truncateds", "done": "terminateds"}
    buffer.set_batch(
        Batch({own: columns[name] for own, name in {**names, **ends}.items()}, info=Batch())
    )
    buffer._size = rows  # as its `from_data` does, which cannot make a prioritised buffer
    buffer.update_weight(np.arange(rows), rng.random(rows))

    def sample() -> np.ndarray:
        indices: np.ndarray = buffer.sample(task["batches"] * task["batch_size"])[1]
        return indices

    return sample, buffer.update_weight


def rllibs(task: dict[str, Any], rng: np.random.Generator) -> tuple[Sample, Update]:
    """RLlib's two trees, lists of Python numbers, used as its buffer does, but without the transitions."""
    trees, rows = rllib_trees(), task["rows"]
    capacity = 1 << (rows - 1).bit_length()
    sums, mins = trees.SumSegmentTree(capacity), trees.MinSegmentTree(capacity)
    priorities = rng.random(rows) + EPS
    sums.set_state(filled(priorities, capacity, np.add, 0.0))
    mins.set_state(filled(priorities, capacity, np.minimum, np.inf))

    def sample() -> np.ndarray:
        count = task["batches"] * task["batch_size"]
        drawn = [sums.find_prefixsum_idx(random.random() * sums.sum(0, rows)) for _ in range(count)]
        largest = (mins.min() / sums.sum() * rows) ** -BETA
        for index in drawn:
            (sums[index] / sums.sum() * rows) ** -BETA / largest
        return np.array(drawn)

    def update(indices: np.ndarray, errors: np.ndarray) -> None:
        for index, error in zip(indices.tolist(), errors.tolist(), strict=True):
            sums[index] = mins[index] = (error + EPS) ** ALPHA

    return sample, update


def filled(leaves: np.ndarray, capacity: int, join: np.ufunc, empty: float) -> list[float]:
    """The nodes of a tree over `leaves`, as RLlib's keep them; leaf by leaf it would take it a minute."""
    nodes = np.full(2 * capacity, empty)
    nodes[capacity : capacity + len(leaves)] = leaves
    width = capacity
    while width > 1:
        width //= 2
        join(
            nodes[2 * width : 4 * width : 2],
            nodes[2 * width + 1 : 4 * width : 2],
            out=nodes[width : 2 * width],
        )
    return nodes.tolist()


def rllib_trees() -> Any:
    """The module with RLlib's trees, without the rest of RLlib."""
    ray = importlib.util.find_spec("ray")
    if ray is None or ray.origin is None:
        raise ImportError("Ray is not installed here")
    path = Path(ray.origin).parent / "rllib" / "execution" / "segment_tree.py"
    spec = importlib.util.spec_from_file_location("segment_tree", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no trees in {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    task = json.loads(sys.argv[1])
    rng = np.random.default_rng(0)
    sample, update = {"rltune": ours, "tianshou": tianshous, "ray": rllibs}[task["side"]](task, rng)
    rounds = []
    for _ in range(WARM_UP + task["rounds"]):
        errors = rng.random(task["batches"] * task["batch_size"])
        start = time.process_time()
        update(sample(), errors)
        rounds.append(time.process_time() - start)
    print(statistics.mean(rounds[WARM_UP:]))


if __name__ == "__main__":
    main()
