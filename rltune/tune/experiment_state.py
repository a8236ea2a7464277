"""The state of an experiment on disk: a snapshot, and a journal of what happened after it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rltune.checkpoint import write_atomically
from rltune.trainable import date_text
from rltune.tune import journal as journals
from rltune.tune import json_encoding
from rltune.tune.error import TuneError
from rltune.tune.journal import Journal
from rltune.tune.run_lock import RunLock

PREFIX = "experiment_state-"
JOURNAL = "journal-{}.jsonl"
# Of runner_data: the bytes of the journal that the state includes.
JOURNAL_SIZE = "journal_size"


class ExperimentState:
    """`experiment_state-<start of the session>.json` in the experiment's directory, and
    `journal-<start of the session>.jsonl` beside it.

    Whoever writes holds the lock of the directory until `close`.

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
        self._indented: dict[str, str] = {}  # the records of the last write, most of which stay
        self.path = self._free_path()
        self._lock = RunLock(self._directory)
        self.journal = Journal(journal_path(self.path), self.lock)

    def lock(self) -> None:
        """Takes the directory for this run. Raises TuneError while another run lives in it."""
        self._lock.acquire()

    def close(self) -> None:
        self.journal.close()
        self._lock.release()

    def is_due(self) -> bool:
        pause = max(self._period, self._cost / self.SHARE)
        return time.monotonic() - self._last_end >= pause

    def write(self, records: Iterable[str], runner_data: dict[str, Any]) -> None:
        """Writes records, which are JSON, and what the runner itself wants to keep.

        Raises TuneError while another run lives in the directory, OSError.
        """
        begin = time.monotonic()
        self.lock()
        runner_data = {JOURNAL_SIZE: self.journal.size, **runner_data}
        stats = {"start_time": self._start, "timestamp": time.time()}
        known = self._indented
        self._indented = {record: known.get(record) or _indented(record) for record in records}
        checkpoints = ",\n".join(self._indented.values())
        text = (
            f'{{\n  "checkpoints": [\n{checkpoints}\n  ],\n'
            f'  "runner_data": {json_encoding.dumps(runner_data)},\n'
            f'  "stats": {json.dumps(stats)}\n}}\n'
        )
        try:
            write_atomically(self.path, text.encode())
        finally:
            self._last_end = time.monotonic()
            self._cost = self._last_end - begin

    def _free_path(self) -> Path:
        """Named by the second of the start; a second one within it gets the next."""
        moment = datetime.fromtimestamp(self._start)
        while True:
            path = self._directory / f"{PREFIX}{date_text(moment)}.json"
            if not path.exists() and not journal_path(path).exists():
                return path
            moment += timedelta(seconds=1)


def _indented(record: str) -> str:
    """JSON as an item of the list in the file."""
    text = json.dumps(json.loads(record), indent=2)
    return f"    {text}".replace("\n", "\n    ")


def newest(directory: str) -> Path | None:
    """The state file of the newest run in `directory`, or None. A run that was ended early may
    have its journal alone.
    """
    states = list(Path(directory).glob(f"{PREFIX}*.json"))
    journals_alone = Path(directory).glob(JOURNAL.format("*"))
    return max([*states, *map(_state_path, journals_alone)], default=None)


def journal_path(state: Path) -> Path:
    """The journal that belongs to a state file."""
    return state.with_name(JOURNAL.format(state.stem.removeprefix(PREFIX)))


def _state_path(journal: Path) -> Path:
    head, tail = JOURNAL.split("{}")
    return journal.with_name(f"{PREFIX}{journal.name.removeprefix(head).removesuffix(tail)}.json")


def load(path: Path, loads: Callable[[bytes], Any] = json_encoding.loads) -> dict[str, Any]:
    """The state in `path`, brought up to date with its journal, whose lines are under `journal`;
    `before` has the status by trial id that the file itself tells.

    Raises TuneError if it cannot be read. The default of `loads` unpickles what JSON cannot hold;
    `json.loads` leaves it as it is written.
    """
    try:
        state: dict[str, Any] = {"checkpoints": [], "runner_data": {}, "stats": {}}
        if path.exists():
            state = loads(path.read_bytes())
            state["stats"]
        start = state["runner_data"].get(JOURNAL_SIZE, 0)
        state["journal"] = journals.read(journal_path(path), start, loads)
        state["before"] = {record["trial_id"]: record["status"] for record in state["checkpoints"]}
        seen = state["runner_data"].get("seen", {})
        for record in state["checkpoints"]:
            record.update(seen.get(record["trial_id"], {}))
        journals.apply(state["journal"], state["checkpoints"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TuneError(f"{path} cannot be read: {error!r}") from error
    return state
