"""Results that a killed run has noted in its journal, and its loggers had not written yet."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rltune import result as keys
from rltune.tune import journal as journals
from rltune.tune import json_encoding
from rltune.tune.log_writer import LogWriter
from rltune.tune.logger import DEFAULT_LOGGERS, JsonLogger
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.trial import Trial

# How much of the end of result.json is read at first, to find its last line.
TAIL = 65_536

log = logging.getLogger(__name__)


def log_lost(journal: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Gives the loggers of the trials in `records` what the run with this journal noted after the
    last line of their `result.json`. Loggers that were ahead of it get those results again.
    """
    trials = {record["trial_id"]: record for record in records}
    lost = {trial_id: lines for trial_id, lines in _lost(journal, trials).items() if lines}
    if not lost:
        return
    writer = LogWriter()
    for trial_id, lines in lost.items():
        trial = Trial.from_record(trials[trial_id])
        trial.init_logger(writer)
        assert trial.result_logger is not None
        for line in lines:
            event = json_encoding.loads(line)
            stops = event["decision"] == TrialScheduler.STOP
            trial.result_logger.log({**event[journals.RESULT], keys.DONE: stops})
        trial.close_logger()
    writer.close()
    number = sum(map(len, lost.values()))
    log.info("%d results of %d trials are logged now, which a kill had lost.", number, len(lost))


def _lost(journal: Path, trials: Mapping[str, Mapping[str, Any]]) -> dict[str, list[bytes]]:
    """The lines of results, by trial, after the one that is the last in its `result.json`. A result
    that is shown twice, as the last of a function is, counts once.
    """
    lost: dict[str, list[bytes]] = {}
    tails: dict[str, Any] = {}
    newest: dict[str, Any] = {}
    for line in _whole_lines(journal):
        event = json.loads(line)
        trial_id = event.get("trial_id")
        if event.get(journals.EVENT) != journals.RESULT or not _has_json(trials[trial_id]):
            continue
        if trial_id not in tails:
            tails[trial_id] = _last_of(Path(trials[trial_id]["logdir"], keys.EXPR_RESULT_FILE))
        which = _which(event[journals.RESULT])
        if which == tails[trial_id]:
            lost[trial_id] = []
        elif which != newest.get(trial_id):
            lost.setdefault(trial_id, []).append(line)
        newest[trial_id] = which
    return lost


def _whole_lines(path: Path) -> Iterable[bytes]:
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _has_json(record: Mapping[str, Any]) -> bool:
    """Whether the trial writes `result.json`, and its directory is here."""
    loggers = DEFAULT_LOGGERS if record["loggers"] is None else record["loggers"]
    writes = any(isinstance(cls, type) and issubclass(cls, JsonLogger) for cls in loggers)
    return writes and record["logdir"] is not None and Path(record["logdir"]).is_dir()


def _last_of(path: Path) -> Any:
    """Which result the last whole line of a file holds; None without one."""
    if not path.exists():
        return None
    size, length = path.stat().st_size, TAIL
    with open(path, "rb") as file:
        while True:
            file.seek(max(0, size - length))
            lines = file.read().split(b"\n")[:-1]
            if len(lines) > 1 or length >= size:
                return _which(json.loads(lines[-1])) if lines else None
            length *= 4


def _which(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """What no other result of a trial shares."""
    return tuple(
        result.get(key) for key in (keys.TRAINING_ITERATION, keys.TIME_TOTAL_S, "timestamp")
    )
