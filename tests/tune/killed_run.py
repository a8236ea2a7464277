"""The run that test_kill.py kills: `killed_run.py <executor> <bytes>`.

It kills itself when it has written so many bytes of its journal, in the middle of a line if that is
where they end; 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from rltune import tune
from rltune.tune import experiment_state
from rltune.tune.append_file import AppendFile
from rltune.tune.trainable import Trainable

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


def main(executor: str, limit: int) -> None:
    from rltune.tune import journal

    if limit:
        DyingFile.left = limit
        journal.AppendFile = DyingFile  # type: ignore[misc]
    begun = experiment_state.newest(os.path.join(os.environ["TUNE_RESULT_DIR"], NAME)) is not None
    tune.run(
        Walker,
        name=NAME,
        stop={"training_iteration": 12},
        config={"start": tune.grid_search([1, 2, 3]), "step": tune.grid_search([5, 7])},
        num_samples=2,
        checkpoint_freq=3,
        keep_checkpoints_num=2,
        checkpoint_at_end=True,
        global_checkpoint_period=0.2,
        resume=begun,
        verbose=0,
        trial_executor=executor,
    )


if __name__ == "__main__":
    if sys.argv[1] == "ray":
        import ray

        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    main(sys.argv[1], int(sys.argv[2]))
