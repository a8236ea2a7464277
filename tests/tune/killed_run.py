"""The run that test_kill.py kills: `killed_run.py <executor> <address> <bytes> <what>`.

It kills itself when it has written so many bytes of its journal, in the middle of a line if that is where they end; 0:
never. `what` is `grid` or one of the examples of schedulers.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from rltune import tune
from rltune.tune import experiment_state, journal
from rltune.tune.append_file import AppendFile
from rltune.tune.trainable import Trainable
from tests.tune.schedulers import examples

NAME = "exp"


class Walker(Trainable):
    """A deterministic walk: where it is follows from its config and its iteration alone."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.place = config["start"]

    def _train(self) -> dict[str, Any]:
        time.sleep(0.005)
        self.place = (self.place * 31 + self.config["step"]) % 10007
        return {"place": self.place}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"place": self.place}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.place = checkpoint["place"]


class Climber(Trainable):
    """Its height follows from where it was, its config and its iteration."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.height = 0.0

    def _train(self) -> dict[str, Any]:
        self.height += self.config["x"] * (1 + self.iteration % 3)
        return {"score": self.height}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"height": self.height}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.height = checkpoint["height"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.height = 0.0
        return True


class DyingFile(AppendFile):
    """Ends the process within the line that passes the limit."""

    left = float("inf")

    def append(self, record: bytes) -> None:
        if self._path.name.startswith("journal-"):
            if len(record) > DyingFile.left:
                self._file.write(record[: int(DyingFile.left)])
                os.kill(os.getpid(), signal.SIGKILL)
            DyingFile.left -= len(record)
        super().append(record)


def grid() -> dict[str, Any]:
    """Twelve trials that run to their end."""
    return {
        "run_or_experiment": Walker,
        "stop": {"training_iteration": 12},
        "config": {"start": tune.grid_search([1, 2, 3]), "step": tune.grid_search([5, 7])},
        "num_samples": 2,
        "checkpoint_freq": 3,
        "keep_checkpoints_num": 2,
        "checkpoint_at_end": True,
    }


def example(name: str) -> dict[str, Any]:
    """Trials that a scheduler decides on."""
    n, searches = examples.number_of_trials(name), name.startswith("optuna")
    make = examples.SCHEDULERS[name]
    xs = [examples.x_of(index) for index in range(n)]
    return {
        "run_or_experiment": Climber,
        "stop": {"training_iteration": examples.END},
        "config": {} if searches else {"x": tune.grid_search(xs)},
        "num_samples": n if searches else 1,
        "checkpoint_freq": 4,
        "keep_checkpoints_num": 1,
        "scheduler": make() if make else None,
        "search_alg": examples.optuna() if searches else None,
        "reuse_actors": True,
    }


def main(executor: str, address: str, limit: int, what: str) -> None:
    if executor == "ray":
        import ray

        ray.init(address, log_to_driver=False)
    if limit:
        DyingFile.left = limit
        journal.AppendFile = DyingFile  # type: ignore[misc]
    begun = experiment_state.newest(os.path.join(os.environ["TUNE_RESULT_DIR"], NAME)) is not None
    spec = grid() if what == "grid" else example(what)
    tune.run(
        spec.pop("run_or_experiment"),
        name=NAME,
        global_checkpoint_period=0.2,
        resume=begun,
        verbose=0,
        trial_executor=executor,
        **spec,
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
