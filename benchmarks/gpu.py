"""python -m benchmarks.gpu: updates on a GPU, steps replayed from a captured CUDA graph beside steps run one by one.

PPO and DQN on images as Atari's (84 x 84 x 4, random), from the same state, on the same card, in turn.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from benchmarks import records
from rltune.frameworks import Updater
from rltune.registry import get_trainable_cls

TABLE = "gpu"
HEADER = ["algorithm", "minibatch", "steps", "eager, ms a step", "graph, ms a step", "times better", "GPU"]  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "PPO": {
        "train_batch_size": 1024,
        "num_envs_per_worker": 8,
        "sgd_minibatch_size": 256,
        "num_sgd_iter": 4,
        "vf_share_layers": True,
    },
    "DQN": {
        "rollout_fragment_length": 64,
        "train_batch_size": 32,
        "training_intensity": 8,
        "learning_starts": 64,
        "timesteps_per_iteration": 64,
        "buffer_size": 1000,
    },
}


class Frames(gymnasium.Env[np.ndarray, Any]):
    """Random frames in Atari's shape, and six actions that change nothing."""

    observation_space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = spaces.Discrete(6)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed)
        self._left = 100
        return self._frame(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, Any]:
        self._left -= 1
        return self._frame(), self.np_random.random(), self._left == 0, False, {}

    def _frame(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (84, 84, 4), np.uint8)


def first_update(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The algorithm's updater, and what the first update is called with."""
    config = {"env": Frames, "framework": "torch", "seed": 1, **CASES[name]}
    algorithm = get_trainable_cls(name)(config)
    calls: list[tuple[Any, ...]] = []
    update = algorithm.learner.update

    def keep(*arguments: Any) -> Any:
        calls.append(arguments)
        return update(*arguments)

    algorithm.learner.update = keep
    algorithm.train()
    return algorithm.learner._updater, calls[0]


def compare(name: str, device: str, capture: Any, repeats: int) -> dict[str, Any]:
    """A record of the milliseconds per step of both; the first call of each, which sets up, is not timed."""
    from rltune.frameworks._torch import GraphUpdater, TorchUpdater

    former, arguments = first_update(name)
    settings = dataclasses.replace(former._settings, device=device)
    sides: dict[str, Updater] = {
        "eager": TorchUpdater(settings),
        "graph": GraphUpdater(settings, capture),
    }
    times: dict[str, list[float]] = {side: [] for side in sides}
    _, index, _ = arguments
    for updater in sides.values():
        updater.set_state(former.get_state())
        updater.update(*arguments)
    for _ in range(repeats):
        for side, updater in sides.items():
            began = time.perf_counter()
            updater.update(*arguments)  # returns numbers, so the GPU has finished
            times[side].append(1e3 * (time.perf_counter() - began) / len(index))
    return {"algorithm": name, "minibatch": index.shape[1], "steps": len(index), **times}


def rows(lines: list[dict[str, Any]]) -> list[list[str]]:
    """The newest record of each algorithm and GPU, as table rows."""
    newest = {(record["algorithm"], record["gpu"]): record for record in lines}
    table = []
    for (name, gpu), record in sorted(newest.items()):
        eager, graph = (statistics.median(record[side]) for side in ("eager", "graph"))
        counts = str(record["minibatch"]), str(record["steps"])
        times = records.show(eager), records.show(graph), records.show(eager / graph)
        table.append([name, *counts, *times, gpu])
    return table


def main() -> None:
    import torch

    from rltune.frameworks._torch_graph import cuda_graph

    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("There is no GPU that torch sees: nothing was measured.")
    for name in CASES:
        record = compare(name, "cuda", cuda_graph, arguments.repeats)
        records.append(TABLE, {"gpu": torch.cuda.get_device_name(), **record})
    records.write_table(TABLE, HEADER, rows(records.read(TABLE)))


if __name__ == "__main__":
    main()
