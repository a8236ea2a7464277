"""What a peer is asked to train, and the results that it writes: both sides of its process.

Peers run in environments of their own, so this imports nothing but the standard library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class Task:
    """One training. `config` has RLlib's names; `folder` is where result.json goes.

    It ends after `timesteps` env steps, or when the mean of the last 100 episodes is `stop_reward`.
    """

    algorithm: str
    env: str
    config: dict[str, Any]
    timesteps: int
    stop_reward: float
    seed: int
    threads: int
    folder: str

    def argument(self) -> str:
        """The task as the one argument of a peer's program."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls) -> Task:
        """The task in this process's first argument."""
        return cls(**json.loads(sys.argv[1]))


class Results:
    """Lines of result.json, with the keys that rltune's results carry."""

    def __init__(self, file: TextIO, stop_reward: float) -> None:
        self._file = file
        self._stop_reward = stop_reward
        self.solved = False

    def write(self, steps: int, reward: float | None) -> None:
        """A result after `steps` env steps; `reward` is None before the first episode has ended."""
        result = {"timesteps_total": steps, "episode_reward_mean": reward}
        self._file.write(json.dumps(result) + "\n")
        self._file.flush()
        self.solved = reward is not None and reward >= self._stop_reward


@contextmanager
def results(task: Task) -> Iterator[Results]:
    """The results of `task`, open."""
    with (Path(task.folder) / "result.json").open("w") as file:
        yield Results(file, task.stop_reward)
