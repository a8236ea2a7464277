"""The journal of a run: what changed in the records of its trials since the state was written.

One line per change, appended with a single write before the change takes effect, so that a killed
run loses none and each costs the same however many trials there are. The first line of a trial is
its whole record, later ones hold the fields that may change.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rltune.tune import json_encoding
from rltune.tune.append_file import AppendFile

CHANGING = frozenset(
    "trial_id status last_result last_update_time checkpoint checkpoint_best_score "
    "checkpoints_kept num_failures error_file logdir config experiment_tag".split()
)

log = logging.getLogger(__name__)


class Journal:
    """Appends to `path`, which is made with the first note."""

    def __init__(self, path: Path):
        self._path = path
        self._file: AppendFile | None = None
        self._known: set[str] = set()

    def note(self, trial_id: str, record: str) -> None:
        """Notes the record of a trial, given as JSON."""
        fields: dict[str, Any] = json.loads(record)
        if trial_id in self._known:
            fields = {name: value for name, value in fields.items() if name in CHANGING}
        self._known.add(trial_id)
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = AppendFile(self._path)
            self._file.append(json.dumps(fields, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            log.error("A change of trial %s could not be noted: %s", trial_id, error)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def replay(
    path: Path,
    records: list[dict[str, Any]],
    loads: Callable[[bytes], Any] = json_encoding.loads,
) -> None:
    """Brings `records` up to date with the journal in `path`, if there is one.

    A last line that is not whole is left out. `loads` reads a line.
    """
    if not path.exists():
        return
    by_id = {record["trial_id"]: record for record in records}
    for line in path.read_bytes().split(b"\n")[:-1]:
        fields = loads(line)
        if fields["trial_id"] not in by_id:
            records.append(fields)
            by_id[fields["trial_id"]] = fields
        by_id[fields["trial_id"]].update(fields)
