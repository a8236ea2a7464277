"""The journal of a run (T4.6): lines, and what they change."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from rltune.tune import journal as journals
from rltune.tune.journal import Journal


def record(trial_id: str, **more: Any) -> str:
    return json.dumps({"trial_id": trial_id, "status": "PENDING", "local_dir": "here", **more})


def written(tmp_path: Path) -> list[dict[str, Any]]:
    """Two new trials, a result of the first with what it changes in both, and its end."""
    journal = Journal(tmp_path / "journal-1.jsonl")
    with journal.batch(lambda: {"search": 5}):
        journal.note("a", record("a"))
        journal.note("b", record("b"))
    with journal.batch():
        journal.note("a", record("a", seen=7, last_result={}, status="RUNNING"))
        journal.note("b", record("b", config={"x": 1}))
        journal.note_result("a", "result", "STOP", '{"training_iteration": 8, "done": false}')
    journal.note("a", record("a", status="TERMINATED"))
    journal.close()
    return journals.read(tmp_path / "journal-1.jsonl")


def test_t4_6_what_belongs_together_is_one_line(tmp_path: Path) -> None:
    first, second, third = written(tmp_path)
    assert [each["trial_id"] for each in first["records"]] == ["a", "b"] and first["search"] == 5
    assert second["decision"] == "STOP"
    assert [each["trial_id"] for each in second["records"]] == ["a", "b"]
    assert third == {"trial_id": "a", "status": "TERMINATED"}  # what cannot change is not repeated


def test_t4_6_records_are_brought_up_to_date_and_lines_stay(tmp_path: Path) -> None:
    lines = written(tmp_path)
    before = copy.deepcopy(lines)
    records: list[dict[str, Any]] = []
    journals.apply(lines, records)
    assert lines == before
    a, b = records
    assert a["status"] == "TERMINATED" and b["config"] == {"x": 1}
    assert a["last_result"] == {"training_iteration": 8, "done": True}  # as the trial has it
    assert a["seen"] == 7 and a["seen_decision"] == "STOP"


def test_t4_6_an_exception_leaves_no_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal-1.jsonl")
    try:
        with journal.batch():
            journal.note("a", record("a"))
            raise KeyError
    except KeyError:
        assert journal.size == 0
