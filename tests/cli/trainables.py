"""Trainables that the tests name as `tests.cli.trainables:Name`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from rltune.config import ConfigError
from rltune.resources import Resources
from rltune.trainable import Trainable


class Counter(Trainable):
    """Counts up by `step`; fails at `fail_at`, is interrupted at `interrupt_at`.

    Needs an actor where `actors` is given.
    """

    def _setup(self, config: dict[str, Any]) -> None:
        self.count = 0

    def _train(self) -> dict[str, Any]:
        self.count += self.config.get("step", 1)
        if self.count == self.config.get("fail_at"):
            raise RuntimeError(f"the counter reached {self.count}")
        if self.count == self.config.get("interrupt_at"):
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
        return {"count": self.count, "score": -self.count}

    def _save(self, checkpoint_dir: str) -> str:
        path = Path(checkpoint_dir, "count.json")
        path.write_text(json.dumps(self.count))
        return str(path)

    def _restore(self, checkpoint: str) -> None:
        self.count = json.loads(Path(checkpoint).read_text())

    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        paths = {name: Path(export_dir, f"exported_{name}") for name in export_formats}
        for path in paths.values():
            path.write_text(str(self.count))
        return {name: str(path) for name, path in paths.items()}

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Resources | None:
        actors = config.get("actors", 0)
        return Resources(cpu=1, gpu=0, extra_cpu=actors) if actors else None

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        if not isinstance(config.get("step", 1), int):
            raise ConfigError([f"'step' is {config['step']!r}; it must be a whole number"])


class Reused(Counter):
    """Reports how often it was given another trial's config."""

    resets = 0

    def _train(self) -> dict[str, Any]:
        return {**super()._train(), "resets": self.resets, "step": self.config["step"]}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.resets += 1
        self.config = new_config
        return True


def function(config: dict[str, Any], reporter: Any) -> None:
    for count in range(1, 4):
        reporter(count=count)
