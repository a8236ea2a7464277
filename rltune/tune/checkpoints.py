"""Checkpoints of a trial: what one is, which are complete on disk, and which are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rltune.checkpoint import MANIFEST
from rltune.result import TRAINING_ITERATION, get_metric
from rltune.trainable import METADATA_SUFFIX


@dataclass
class Checkpoint:
    """What a trial goes on from: a path (DISK) or an object of the executor (MEMORY)."""

    MEMORY = "memory"
    DISK = "disk"

    storage: str
    value: Any = None
    last_result: dict[str, Any] | None = None


def newest_complete(logdir: str | None) -> str | None:
    """The path that `restore` takes of the newest complete checkpoint under `logdir`, or None.

    A checkpoint is complete when the file that is written last is there.
    """
    if logdir is None:
        return None
    numbered = [
        (int(directory.name.removeprefix("checkpoint_")), directory)
        for directory in Path(logdir).glob("checkpoint_*")
        if directory.is_dir() and directory.name.removeprefix("checkpoint_").isdigit()
    ]
    for _, directory in sorted(numbered, reverse=True):
        path = _restorable(directory)
        if path is not None:
            return str(path)
    return None


def _restorable(directory: Path) -> Path | None:
    if (directory / MANIFEST).exists():
        return directory
    beside = Path(f"{directory}{METADATA_SUFFIX}")
    for marker in [beside, *sorted(directory.rglob(f"*{METADATA_SUFFIX}"))]:
        if marker.exists():
            return Path(str(marker).removesuffix(METADATA_SUFFIX))
    return None


@dataclass
class CheckpointKeeper:
    """Keeps the `number` best checkpoints by an attribute of the result; all if `number` is None.

    A checkpoint is worth writing if its score beats every earlier one, so the newest is the best
    and, by the default attribute, the last `number` are kept. `min-` before the attribute turns
    the comparison round. `kept` are paths from the oldest, which is the worst.
    """

    number: int | None = None
    attribute: str = TRAINING_ITERATION
    best: float | None = None
    kept: list[str] = field(default_factory=list)

    def score(self, result: dict[str, Any]) -> float:
        """Higher is better. Raises KeyError if the result has no such attribute, ValueError if it
        is no number.
        """
        sign, name = 1.0, self.attribute
        if name.startswith("min-"):
            sign, name = -1.0, name.removeprefix("min-")
        value = get_metric(result, name)
        if value is None or math.isnan(value):
            raise ValueError(f"{name} is {value}")
        return sign * float(value)

    def wants(self, result: dict[str, Any]) -> bool:
        """Whether a checkpoint of this result is to be written. Raises as `score` does."""
        if self.number is None:
            return True
        score = self.score(result)
        return self.best is None or score > self.best

    def add(self, path: str, result: dict[str, Any] | None) -> list[str]:
        """Notes a checkpoint that was written; returns the paths that are to be removed."""
        if path in self.kept:
            self.kept.remove(path)
        self.kept.append(path)
        if self.number is None:
            return []
        if result is not None:
            self.best = self.score(result)
        dropped, self.kept = self.kept[: -self.number], self.kept[-self.number :]
        return dropped

    def rewind(self) -> None:
        """The trial begins again: its new checkpoints are judged by themselves."""
        self.best = None
