"""The journal of a run: what happened to its trials, one line each.

A line is appended with a single write before what it tells takes effect, so that a killed run loses
nothing that others have seen, and each costs the same however many trials there are. Lines are

- the record of a trial, whole the first time, later the fields that may change;
- `{"event": "result", "trial_id", "how", "decision", "result", "records"}`: what the scheduler and
  the search algorithm were shown, what was decided, and which records that has changed;
- `{"event": "trials", "records": [...], "search": state}`: new trials, all of them or none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rltune.result import DONE, TRAINING_ITERATION
from rltune.tune import json_encoding
from rltune.tune.append_file import AppendFile
from rltune.tune.schedulers.trial_scheduler import TrialScheduler

CHANGING = frozenset(
    "trial_id status last_result last_update_time checkpoint checkpoint_best_score "
    "checkpoints_kept num_failures error_file logdir config experiment_tag "
    "seen seen_decision held inherits perturbed donor".split()
)
EVENT, RESULT, TRIALS, RECORDS = "event", "result", "trials", "records"

log = logging.getLogger(__name__)


class Journal:
    """Appends to `path`, which is made with the first line, after `prepare` was called.

    Every method raises OSError where the line cannot be written.
    """

    def __init__(self, path: Path, prepare: Callable[[], None] = lambda: None):
        self._path = path
        self._prepare = prepare
        self._file: AppendFile | None = None
        self._known: set[str] = set()
        self._batch: list[dict[str, Any]] | None = None
        self._result = ""  # the line of a result within a batch

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._file.size if self._file is not None else 0

    def note(self, trial_id: str, record: str) -> None:
        """Notes the record of a trial, given as JSON."""
        fields: dict[str, Any] = json.loads(record)
        if trial_id in self._known:
            fields = {name: value for name, value in fields.items() if name in CHANGING}
        self._known.add(trial_id)
        if self._batch is not None:
            self._batch.append(fields)
        else:
            self._append(fields)

    def know(self, trial_id: str) -> None:
        """The whole record of this trial is elsewhere."""
        self._known.add(trial_id)

    def note_result(self, trial_id: str, how: str, decision: str, result: str) -> None:
        """Notes what was shown and decided; `result` is JSON."""
        head = {EVENT: RESULT, "trial_id": trial_id, "how": how, "decision": decision}
        line = f'{json.dumps(head)[:-1]}, "{RESULT}": {result}}}'
        if self._batch is not None:
            self._result = line
        else:
            self._write(line)

    @contextmanager
    def batch(self, extras: Callable[[], dict[str, Any]] = dict) -> Iterator[None]:
        """The notes within are one line: that of a result, or new trials with what `extras` then
        gives. None is written if an exception passes.
        """
        self._batch, self._result = [], ""
        try:
            yield
            records, result = self._batch, self._result
            more = extras() if records and not result else {}
        finally:
            self._batch = None
        if not result and records:
            self._append({EVENT: TRIALS, RECORDS: records, **more})
        elif result and records:
            self._write(f'{result[:-1]}, "{RECORDS}": {_compact(records)}}}')
        elif result:
            self._write(result)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, fields: dict[str, Any]) -> None:
        self._write(_compact(fields))

    def _write(self, line: str) -> None:
        if self._file is None:
            self._prepare()
            self._file = AppendFile(self._path)
        self._file.append(line.encode() + b"\n")


def read(
    path: Path, start: int = 0, loads: Callable[[bytes], Any] = json_encoding.loads
) -> list[dict[str, Any]]:
    """The lines after the first `start` bytes; none if there is no journal.

    What is left of a line that was being written when its run ended is dropped with a warning.
    """
    if not path.exists():
        return []
    *lines, torn = path.read_bytes()[start:].split(b"\n")
    if torn:
        log.warning("%s ends within a line, which is dropped.", path)
    return [loads(line) for line in lines]


def apply(lines: list[dict[str, Any]], records: list[dict[str, Any]]) -> None:
    """Brings `records` up to date with these lines, which stay as they are."""
    by_id = {record["trial_id"]: record for record in records}
    for line in lines:
        for fields in changes(line):
            if fields["trial_id"] not in by_id:
                by_id[fields["trial_id"]] = {}
                records.append(by_id[fields["trial_id"]])
            by_id[fields["trial_id"]].update(fields)


def changes(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of trials that a line of the journal sets."""
    if line.get(EVENT) == TRIALS:
        return list(line[RECORDS])
    if line.get(EVENT) != RESULT:
        return [line]
    result = line[RESULT]
    shown = {
        "trial_id": line["trial_id"],
        "last_result": {**result, DONE: line["decision"] == TrialScheduler.STOP},
        "seen": result.get(TRAINING_ITERATION, 0),
        "seen_decision": line["decision"],
    }
    return [shown, *(_besides(shown, fields) for fields in line.get(RECORDS, ()))]


def _besides(shown: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The trial's own record was made before it took note of the result."""
    if fields["trial_id"] != shown["trial_id"]:
        return fields
    return {name: value for name, value in fields.items() if name != "last_result"}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
