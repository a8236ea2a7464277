"""What the commands `list-trials`, `list-experiments` and `add-note` do, for Python as well.

They only read what runs have written, and unpickle none of it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rltune import result as keys
from rltune.tune import experiment_state
from rltune.tune.error import TuneError
from rltune.tune.json_encoding import readable
from rltune.tune.listing import RESULT_PREFIX, Listing, check_output, terminal_width
from rltune.tune.run_lock import is_left
from rltune.tune.trial import Trial

TRIAL_COLUMNS = ("trainable_name", "experiment_tag", "trial_id", "status", "last_update_time")
RESULT_COLUMNS = (keys.TRAINING_ITERATION, keys.MEAN_ACCURACY, keys.MEAN_LOSS)
EXPERIMENT_COLUMNS = (
    "name",
    "total_trials",
    "running_trials",
    "terminated_trials",
    "error_trials",
    "last_updated",
)
ENDED = (Trial.TERMINATED, Trial.ERROR)
TIME_FORMAT = "%Y-%m-%d %H:%M:%S (%A)"
EDITOR = "vim"

log = logging.getLogger(__name__)


def list_trials(
    experiment_path: str,
    sort: str | Sequence[str] | None = None,
    output: str | None = None,
    filter_op: str | None = None,
    info_keys: str | Sequence[str] | None = None,
    limit: int | None = None,
    desc: bool = False,
    *,
    result_keys: str | Sequence[str] | None = None,
) -> None:
    """Prints a table of the trials in the newest state of an experiment.

    Args:
        experiment_path: the experiment's directory.
        sort: chosen columns to sort by, as a sequence or separated by commas.
        output: file to save the rows to, with all chosen columns: .csv, .p, .pkl or .pickle.
        filter_op: `<column> <operator> <value>`, on a chosen column.
        info_keys: columns to choose instead of the default ones; `config:lr` is a nested field.
        limit: how many rows to keep, after the others.
        desc: sort downwards.
        result_keys: fields of the last result to choose.

    Raises TuneError without a readable state, KeyError for an unknown column to sort or filter by,
    ValueError for a filter or file name of another shape, ImportError without tabulate.
    """
    directory = Path(experiment_path).expanduser()
    state = experiment_state.newest(str(directory))
    if state is None:
        raise TuneError(f"No experiment state found! {directory} holds no experiment_state*.json.")
    records = [_trial_record(r, directory) for r in _load(state)["checkpoints"]]
    results = [RESULT_PREFIX + name for name in _names(result_keys)]
    if info_keys is None and result_keys is None:
        results = [RESULT_PREFIX + name for name in RESULT_COLUMNS]
    names = [*(TRIAL_COLUMNS if info_keys is None else _names(info_keys)), *results]
    _show(Listing.of(records, names), names, sort, output, filter_op, limit, desc)
    if is_left(directory) and any(record.get("status") not in ENDED for record in records):
        print("No run is alive here: one that was stopped or killed has left unfinished trials.")


def list_experiments(
    project_path: str,
    sort: str | Sequence[str] | None = None,
    output: str | None = None,
    filter_op: str | None = None,
    info_keys: str | Sequence[str] | None = None,
    limit: int | None = None,
    desc: bool = False,
) -> None:
    """Prints a table of the experiments that are directories in `project_path`.

    Arguments and errors are those of `list_trials`; NotADirectoryError without the directory.
    """
    paths = sorted(_directory(project_path).iterdir())
    found = {path: row for path in paths if (row := _experiment_row(path))}
    rows = list(found.values())
    if not rows:
        print("No experiments found!")
        return
    names = EXPERIMENT_COLUMNS if info_keys is None else _names(info_keys)
    _show(Listing.of(rows, names), names, sort, output, filter_op, limit, desc)
    left = [path.name for path, row in found.items() if row["running_trials"] and is_left(path)]
    if left:
        print(
            f"No run is alive in {', '.join(left)}: trials that run there were stopped or killed."
        )


def add_note(path: str, filename: str = "note.txt") -> None:
    """Opens `$EDITOR` on a file in the directory `path`.

    Raises NotADirectoryError, and TuneError if the editor cannot be run or fails.
    """
    note = _directory(path) / filename
    existed = note.exists()
    editor = os.environ.get("EDITOR") or EDITOR
    try:
        subprocess.run([*shlex.split(editor), str(note)], check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise TuneError(f"$EDITOR could not edit {note}: {error}") from error
    if not note.exists():
        print("No note was saved.")
    else:
        print(f"Note {'updated' if existed else 'created'} at: {note}")


def _show(
    listing: Listing,
    names: Sequence[str],
    sort: str | Sequence[str] | None,
    output: str | None,
    filter_op: str | None,
    limit: int | None,
    desc: bool,
) -> None:
    if not listing.columns:
        print(f"None of the columns {list(names)} exists.")
        return
    if output:
        check_output(output)
    if filter_op:
        listing = listing.filtered(filter_op)
    if sort:
        listing = listing.sorted(_names(sort), desc)
    if limit is not None:
        listing = listing.first(limit)
    print(listing.shown(terminal_width()))
    if output:
        listing.save(output)
        print(f"Output saved at: {output}")


def _directory(path: str) -> Path:
    directory = Path(path).expanduser()
    if not directory.is_dir():
        raise NotADirectoryError(f"{path} is not a directory.")
    return directory


def _load(state: Path) -> dict[str, Any]:
    loaded = experiment_state.load(state, json.loads)
    if not all(isinstance(record, dict) for record in loaded["checkpoints"]):
        raise TuneError(f"{state} cannot be read: a trial in it is no JSON object.")
    return loaded


def _trial_record(record: dict[str, Any], directory: Path) -> dict[str, Any]:
    """A record with its time as text and its directory as seen from the experiment's."""
    return {
        **record,
        "last_update_time": _time_text(record.get("last_update_time")),
        "logdir": _inside(record.get("logdir"), [str(directory), record.get("local_dir")]),
    }


def _experiment_row(directory: Path) -> dict[str, Any] | None:
    """What is known of an experiment; None for a directory that is none."""
    path = experiment_state.newest(str(directory))
    if path is None:
        return None
    try:
        state = _load(path)
    except TuneError as error:
        log.warning("%s is left out: %s", directory, error)
        return None
    records = state["checkpoints"]
    counts = Counter(record.get("status") for record in records)
    times = [readable(record.get("last_update_time")) for record in records]
    known = [time for time in times if isinstance(time, int | float)]
    values = (
        directory.name,
        len(records),
        counts[Trial.RUNNING],
        counts[Trial.TERMINATED],
        counts[Trial.ERROR],
        _time_text(max([state["stats"].get("timestamp", 0), *known])),
    )
    return dict(zip(EXPERIMENT_COLUMNS, values, strict=True))


def _time_text(seconds: Any) -> str | None:
    """Seconds since 1970 as local time; None for a time that never was."""
    seconds = readable(seconds)
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    return datetime.fromtimestamp(seconds).strftime(TIME_FORMAT)


def _inside(path: str | None, parents: Sequence[str | None]) -> str | None:
    """A path as seen from the first of the directories that holds it."""
    for parent in parents:
        if path and parent and Path(path).is_relative_to(parent):
            return str(Path(path).relative_to(parent))
    return path


def _names(names: str | Sequence[str] | None) -> list[str]:
    parts = names.split(",") if isinstance(names, str) else names or []
    return [part.strip() for part in parts if part.strip()]
