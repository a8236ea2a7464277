"""Trainables that tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rltune.tune import Trainable


class Counter(Trainable):
    """Counts its iterations; `config["metrics"]` are lists of values to report one by one.

    `config["fail_at"]`: raises in this iteration, as long as the file `config["once"]`, if given,
    does not exist; it is then made.
    """

    def _setup(self, config: dict[str, Any]) -> None:
        self.count = 0
        self.resets = 0

    def _train(self) -> dict[str, Any]:
        self.count += 1
        if self.count == self.config.get("fail_at") and self._may_fail():
            raise RuntimeError("a fault on purpose")
        metrics = self.config.get("metrics", {})
        reported = {name: values[self.count - 1] for name, values in metrics.items()}
        return {"count": self.count, "resets": self.resets, **reported}

    def _may_fail(self) -> bool:
        once = self.config.get("once")
        if once is None:
            return True
        known = Path(once).exists()
        Path(once).touch()
        return not known

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"count": self.count}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.count = checkpoint["count"]


class Resettable(Counter):
    """Takes on another config in place, and counts how often."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if new_config.get("refuse"):
            return False
        self.resets += 1
        return True
