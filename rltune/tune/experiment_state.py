"""The state of an experiment on disk: a snapshot, and a journal of what happened after it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rltune.checkpoint import write_atomically
from rltune.trainable import date_text
from rltune.tune import json_encoding
from rltune.tune.error import TuneError
from rltune.tune.journal import Journal, replay

PREFIX = "experiment_state-"
JOURNAL = "journal-{}.jsonl"

log = logging.getLogger(__name__)


class ExperimentState:
    """`experiment_state-<start of the session>.json` in the experiment's directory, and
    `journal-<start of the session>.jsonl` beside it.

    Args:
        directory: the experiment's; made with the first write.
        period: seconds between writes; 0 writes every time.
    """

    # A large state is written less often, so that writing takes at most this part of the time.
    SHARE = 0.05

    def __init__(self, directory: str, period: float):
        self._directory = Path(directory)
        self._period = period
        self._start = time.time()
        self._last_end = -float("inf")
        self._cost = 0.0
        self.path = self._free_path()
        self.journal = Journal(journal_path(self.path))

    def is_due(self) -> bool:
        pause = max(self._period, self._cost / self.SHARE)
        return time.monotonic() - self._last_end >= pause

    def write(self, records: Iterable[str], runner_data: dict[str, Any]) -> None:
        """Writes records, which are JSON, and what the runner itself wants to keep."""
        begin = time.monotonic()
        self._directory.mkdir(parents=True, exist_ok=True)
        stats = {"start_time": self._start, "timestamp": time.time()}
        indented = ",\n".join(f"    {record}".replace("\n", "\n    ") for record in records)
        text = (
            f'{{\n  "checkpoints": [\n{indented}\n  ],\n'
            f'  "runner_data": {json_encoding.dumps(runner_data)},\n'
            f'  "stats": {json.dumps(stats)}\n}}\n'
        )
        try:
            write_atomically(self.path, text.encode())
        except OSError as error:
            log.error("The state of the experiment could not be written: %s", error)
        self._last_end = time.monotonic()
        self._cost = self._last_end - begin

    def _free_path(self) -> Path:
        """Named by the second of the start; a second one within it gets the next."""
        moment = datetime.fromtimestamp(self._start)
        while True:
            path = self._directory / f"{PREFIX}{date_text(moment)}.json"
            if not path.exists():
                return path
            moment += timedelta(seconds=1)


def newest(directory: str) -> Path | None:
    """The newest state file in `directory`, or None."""
    return max(Path(directory).glob(f"{PREFIX}*.json"), default=None)


def journal_path(state: Path) -> Path:
    """The journal that belongs to a state file."""
    return state.with_name(JOURNAL.format(state.stem.removeprefix(PREFIX)))


def load(path: Path, loads: Callable[[bytes], Any] = json_encoding.loads) -> dict[str, Any]:
    """The state in `path`, brought up to date with its journal. Raises TuneError if it cannot be
    read.

    The default of `loads` unpickles what JSON cannot hold; `json.loads` leaves it as it is written.
    """
    try:
        state: dict[str, Any] = loads(path.read_bytes())
        state["checkpoints"], state["runner_data"], state["stats"]
        replay(journal_path(path), state["checkpoints"], loads)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TuneError(f"{path} cannot be read: {error!r}") from error
    return state
