"""Checkpoints of a trial: what one is, which are complete on disk, and which are kept."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from rltune.checkpoint import MANIFEST, remove_checkpoint
from rltune.result import TRAINING_ITERATION, get_metric
from rltune.trainable import METADATA_SUFFIX

DONOR = "donor_"


@dataclass
class Checkpoint:
    """What a trial goes on from: a path (DISK) or an object of the executor (MEMORY).

    `inherits`: it is another trial's state, from which seed and random streams are not taken over.
    """

    MEMORY = "memory"
    DISK = "disk"

    storage: str
    value: Any = None
    last_result: dict[str, Any] | None = None
    inherits: bool = False

    def __str__(self) -> str:
        """For people: a state in memory has no name."""
        return str(self.value) if self.storage == self.DISK else "its state in memory"


def newest_complete(logdir: str | None, limit: float = math.inf) -> str | None:
    """The path that `restore` takes of the newest complete checkpoint under `logdir` whose iteration
    is at most `limit`, or None.

    A checkpoint is complete when the file that is written last is there.
    """
    if logdir is None:
        return None
    for number, directory in sorted(_numbered(logdir), reverse=True):
        path = _restorable(directory) if number <= limit else None
        if path is not None:
            return str(path)
    return None


def is_complete(path: str) -> bool:
    """Whether a path that `restore` takes is that of a complete checkpoint on this machine."""
    return Path(path, MANIFEST).exists() or Path(path + METADATA_SUFFIX).exists()


def iteration_of(path: str) -> int:
    """The iteration that the directory of a checkpoint is named by; 0 if it is named otherwise."""
    names = re.findall(r"(?:^|/)checkpoint_(\d+)(?:/|$)", path.replace(os.sep, "/"))
    return int(names[-1]) if names else 0


def donor_directory(logdir: str) -> str:
    """A new directory for a state that other trials may copy: no later checkpoint gets into it."""
    return tempfile.mkdtemp(prefix=DONOR, dir=logdir)


@lru_cache(maxsize=1024)  # it is asked about the same few paths in every step
def is_donor_state(path: str) -> bool:
    """Whether it lies in a `donor_directory`."""
    slashes = path.replace(os.sep, "/")
    return re.search(rf"/{DONOR}[^/]*/checkpoint_\d+(?:/|$)", slashes) is not None


def remove(path: str) -> None:
    """Removes the directory of a checkpoint; first of all the file that makes it one."""
    directory = Path(path) if Path(path).is_dir() else Path(path).parent
    for marker in (Path(f"{directory}{METADATA_SUFFIX}"), Path(f"{path}{METADATA_SUFFIX}")):
        marker.unlink(missing_ok=True)
    remove_checkpoint(directory)
    if is_donor_state(str(directory)):
        shutil.rmtree(directory.parent, ignore_errors=True)


def remove_others(logdir: str, named: Iterable[str], keeps_all: bool) -> None:
    """Removes the states of donors under `logdir` on which none of these paths lies, and the
    checkpoints too unless all are kept: a run that is killed may leave some.
    """
    in_use = {part for path in map(Path, named) for part in (path, *path.parents)}
    for directory in set(Path(logdir).glob(f"{DONOR}*")) - in_use:
        shutil.rmtree(directory, ignore_errors=True)
    if not keeps_all:
        for directory in {directory for _, directory in _numbered(logdir)} - in_use:
            remove(str(directory))


def _numbered(logdir: str) -> list[tuple[int, Path]]:
    """The checkpoints directly under `logdir`, with their iterations."""
    return [
        (int(directory.name.removeprefix("checkpoint_")), directory)
        for directory in Path(logdir).glob("checkpoint_*")
        if directory.is_dir() and directory.name.removeprefix("checkpoint_").isdigit()
    ]


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


class CheckpointsInUse:
    """Counts who needs a checkpoint on disk: a start that is under way, a scheduler that copies it.

    One that is to be removed meanwhile is removed, by `remove`, when the last of them lets it go.
    """

    def __init__(self) -> None:
        self.remove: Callable[[str], object] = remove
        self._holders: Counter[str] = Counter()
        self._doomed: set[str] = set()

    def hold(self, path: str) -> None:
        self._holders[path] += 1

    def release(self, path: str) -> None:
        """Lets go of what was held once."""
        self._holders[path] -= 1
        if self._holders[path] > 0:
            return
        del self._holders[path]
        if path in self._doomed:
            self._doomed.discard(path)
            self.remove(path)

    def defer(self, path: str) -> bool:
        """Whether a checkpoint that is to be removed is in use, and will be removed later."""
        if path in self._holders:
            self._doomed.add(path)
            return True
        return False
