"""The commands as functions: how rows are chosen, filtered, sorted, shown and saved (T9)."""

from __future__ import annotations

import csv
import inspect
import json
import pickle
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rltune.tune import json_encoding
from rltune.tune.commands import add_note, list_experiments, list_trials
from rltune.tune.error import TuneError
from rltune.tune.listing import Listing, terminal_width
from rltune.tune.run_lock import RunLock

pytest.importorskip("tabulate")

NAN = float("nan")
NOON = datetime(2019, 4, 12, 12, 0, 0)


def record(number: int, **fields: Any) -> dict[str, Any]:
    """What a state holds of a trial, as far as these tests need it."""
    return {
        "trainable_name": "Curve",
        "experiment_tag": f"{number}_lr={number}",
        "trial_id": f"1234e00{number}",
        "status": "TERMINATED",
        "last_update_time": NOON.timestamp() + number,
        "local_dir": "/elsewhere/exp",
        "logdir": f"/elsewhere/exp/trial_{number}",
        "config": {"lr": number, "model": {"act": "relu"}},
        "last_result": {"training_iteration": 10 - number, "mean_loss": number / 4},
        **fields,
    }


def write_state(directory: Path, *records: dict[str, Any], when: str = "2019") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    stats = {"start_time": NOON.timestamp(), "timestamp": NOON.timestamp() + 60}
    state = {"checkpoints": list(records), "runner_data": {}, "stats": stats}
    (directory / f"experiment_state-{when}.json").write_text(json_encoding.dumps(state))
    return directory


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def experiment(tmp_path: Path) -> str:
    return str(write_state(tmp_path / "exp", *map(record, range(4))))


def saved(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ids(tmp_path: Path, experiment: str, **arguments: Any) -> list[str]:
    """Numbers of the trials that are listed, in order."""
    output = tmp_path / "ids.csv"
    list_trials(experiment, output=str(output), **arguments)
    return [row["trial_id"][-1] for row in saved(output)]


def test_t9_the_functions_take_what_tune_took() -> None:
    shared = ["sort", "output", "filter_op", "info_keys", "limit", "desc"]
    assert list(inspect.signature(list_trials).parameters) == [
        "experiment_path",
        *shared,
        "result_keys",
    ]
    assert list(inspect.signature(list_experiments).parameters) == ["project_path", *shared]
    assert str(inspect.signature(add_note)).startswith("(path: 'str', filename: 'str' = 'note.txt'")


def test_t9_1_default_columns(experiment: str, tmp_path: Path) -> None:
    """A column that no trial has, here the accuracy, is dropped silently."""
    list_trials(experiment, output=str(tmp_path / "all.csv"))
    assert saved(tmp_path / "all.csv")[1] == {
        "trainable_name": "Curve",
        "experiment_tag": "1_lr=1",
        "trial_id": "1234e001",
        "status": "TERMINATED",
        "last_update_time": "2019-04-12 12:00:01 (Friday)",
        "last_result:training_iteration": "9",
        "last_result:mean_loss": "0.25",
    }


def test_t9_1_chosen_columns(experiment: str, tmp_path: Path) -> None:
    """Nested fields, result names without their prefix, the directory without the experiment's."""
    output = tmp_path / "some.csv"
    columns = "config:lr, config:model:act,mean_loss,logdir,none,config,status,status"
    list_trials(experiment, info_keys=columns, output=str(output))
    assert saved(output)[2] == {
        "config:lr": "2",
        "config:model:act": "relu",
        "last_result:mean_loss": "0.5",
        "logdir": "trial_2",
        "status": "TERMINATED",
    }


def test_t9_1_result_columns_come_after_the_others(experiment: str, tmp_path: Path) -> None:
    output = tmp_path / "some.csv"
    list_trials(experiment, info_keys=["trial_id"], result_keys="mean_loss", output=str(output))
    assert list(saved(output)[0]) == ["trial_id", "last_result:mean_loss"]
    list_trials(experiment, result_keys=["mean_loss"], output=str(output))
    assert list(saved(output)[0])[-2:] == ["last_update_time", "last_result:mean_loss"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("mean_loss < 0.5", "01"),
        ("mean_loss <= 0.5", "012"),
        ("last_result:mean_loss == 0.50", "2"),
        ("mean_loss != 0.5", "013"),
        ("mean_loss >= 5e-1", "23"),
        ("mean_loss > 0.5", "3"),
        ("trial_id == 1234e002", "2"),
        ("experiment_tag > 1_lr=1", "23"),
        ("last_update_time >= 2019-04-12", "0123"),
    ],
)
def test_t9_1_filter(experiment: str, tmp_path: Path, condition: str, expected: str) -> None:
    assert "".join(ids(tmp_path, experiment, filter_op=condition)) == expected


def test_t9_1_an_absent_value_differs_from_every_other(tmp_path: Path) -> None:
    records = [record(0), record(1, last_result={}), record(2, last_result={"mean_loss": NAN})]
    experiment = str(write_state(tmp_path / "exp", *records))
    assert ids(tmp_path, experiment, filter_op="mean_loss >= 0") == ["0"]
    assert ids(tmp_path, experiment, filter_op="mean_loss != 0") == ["1", "2"]


def test_t9_1_truth_values_can_be_filtered(tmp_path: Path) -> None:
    records = [record(number, last_result={"done": number > 0}) for number in range(2)]
    experiment = str(write_state(tmp_path / "exp", *records))
    columns = ["trial_id", "done"]
    assert ids(tmp_path, experiment, info_keys=columns, filter_op="done == True") == ["1"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("mean_loss < ", "<column> <operator> <value>"),
        ("mean_loss = 1", "<column> <operator> <value>"),
        ("trial_id == a b", "<column> <operator> <value>"),
        ("mean_loss < low", "'low' is none"),
        ("config:layers == 8", "neither numbers nor texts"),
    ],
)
def test_t9_1_filters_that_mean_nothing(tmp_path: Path, condition: str, message: str) -> None:
    experiment = str(write_state(tmp_path / "exp", record(0, config={"layers": [8]})))
    columns = ["trial_id", "mean_loss", "config:layers"]
    with pytest.raises(ValueError, match=message):
        list_trials(experiment, info_keys=columns, filter_op=condition)


@pytest.mark.parametrize("arguments", [{"sort": "mean_los"}, {"filter_op": "mean_los < 1"}])
def test_t9_1_only_chosen_columns_sort_and_filter(experiment: str, arguments: Any) -> None:
    with pytest.raises(KeyError) as caught:
        list_trials(experiment, info_keys="status,mean_loss", **arguments)
    assert str(caught.value) == (
        "'mean_los' is none of the chosen columns ['status', 'last_result:mean_loss']; "
        "nearest: 'last_result:mean_loss'"
    )


def test_t9_1_sort_ascends_or_descends_and_missing_values_are_last(tmp_path: Path) -> None:
    losses = [0.5, NAN, 0.25, float("inf")]
    records = [record(i, last_result={"mean_loss": loss}) for i, loss in enumerate(losses)]
    experiment = str(write_state(tmp_path / "exp", *records, record(4, last_result={})))
    assert ids(tmp_path, experiment, sort="mean_loss") == ["2", "0", "3", "1", "4"]
    assert ids(tmp_path, experiment, sort="mean_loss", desc=True) == ["3", "0", "2", "1", "4"]


def test_t9_1_sort_by_several_columns(tmp_path: Path) -> None:
    records = [record(i, status=status) for i, status in enumerate(["RUNNING", "ERROR", "RUNNING"])]
    experiment = str(write_state(tmp_path / "exp", *records))
    assert ids(tmp_path, experiment, sort="status,training_iteration") == ["1", "2", "0"]
    assert ids(tmp_path, experiment, sort=["status", "trial_id"]) == ["1", "0", "2"]


def test_t9_1_filter_then_sort_then_limit(experiment: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"filter_op": "mean_loss > 0", "sort": "training_iteration"}
    assert ids(tmp_path, experiment, limit=2, **arguments) == ["3", "2"]


def test_t9_1_the_newest_state_is_read_and_its_journal(tmp_path: Path) -> None:
    directory = write_state(tmp_path / "exp", record(0), record(1))
    write_state(directory, record(2), when="2020")
    later = {"trial_id": "1234e002", "last_result": {"mean_loss": 9.0}}
    journal = directory / "journal-2020.jsonl"
    journal.write_text(f"{json.dumps(later)}\n{json.dumps(record(3))}\n" + '{"trial_id": "12')
    assert ids(tmp_path, str(directory), sort="mean_loss") == ["3", "2"]


def test_t9_1_no_state(tmp_path: Path) -> None:
    with pytest.raises(TuneError, match="No experiment state found!"):
        list_trials(str(tmp_path))
    for text in ("{", '{"checkpoints": ["{}"], "runner_data": {}, "stats": {}}'):
        (tmp_path / "experiment_state-1.json").write_text(text)
        with pytest.raises(TuneError, match="cannot be read"):
            list_trials(str(tmp_path))


def test_t9_1_nothing_of_a_state_is_unpickled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("unpickled",)

    directory = write_state(tmp_path / "exp", record(0, config={"bomb": Bomb(), "x": float("inf")}))
    list_trials(str(directory), info_keys="trial_id,config:bomb,config:x")
    assert "| 1234e000   | <pickled>     |        inf |" in capsys.readouterr().out


def listing(**columns: list[Any]) -> Listing:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return Listing(list(columns), rows)


def test_t9_2_the_table_is_psql_with_texts_as_they_are() -> None:
    assert listing(trial_id=["1234e002", "00012"], loss=[0.5, 10]).shown(80).splitlines() == [
        "+------------+--------+",
        "| trial_id   |   loss |",
        "|------------+--------|",
        "| 1234e002   |    0.5 |",
        "| 00012      |   10   |",
        "+------------+--------+",
    ]


def test_t9_2_columns_that_do_not_fit_are_dropped() -> None:
    wide = listing(a=["x"], b=["y"], c=[None], d=["z"])
    *table, empty = wide.shown(19).splitlines()
    assert table[0] == "+-----+-----+-----+"
    assert empty == "Empty columns: ['c']"
    hint = "Please increase your terminal size to view remaining columns."
    assert wide.shown(18).splitlines()[1:] == [
        "| a   | b   |",
        "|-----+-----|",
        "| x   | y   |",
        "+-----+-----+",
        "Dropped columns: ['d']",
        hint,
        "Empty columns: ['c']",
    ]
    assert wide.shown(12).splitlines()[-2:] == ["Dropped columns: ['b', 'c', 'd']", hint]
    assert wide.shown(6).splitlines() == ["", "Dropped columns: ['a', 'b', 'c', 'd']", hint]


def test_t9_2_no_rows_leave_the_header() -> None:
    assert listing(a=["x"]).filtered("a == y").shown(80).splitlines()[1] == "| a   |"


def test_t9_2_missing_tabulate_is_named(experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tabulate", None)
    with pytest.raises(ImportError, match="pip install tabulate"):
        list_trials(experiment)


def test_t9_2_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert terminal_width() == 60
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr("os.get_terminal_size", _no_terminal)
    assert terminal_width() == 100


def _no_terminal(descriptor: int) -> Any:
    raise OSError("no terminal")


@pytest.mark.parametrize("suffix", [".p", ".pkl", ".pickle"])
def test_t9_3_a_pickled_frame(experiment: str, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pandas")
    output = tmp_path / f"note{suffix}"
    list_trials(experiment, info_keys="trial_id,mean_loss", limit=2, output=str(output))
    frame = pickle.loads(output.read_bytes())
    assert list(frame.columns) == ["trial_id", "last_result:mean_loss"]
    assert list(frame["last_result:mean_loss"]) == [0.0, 0.25]


def test_t9_3_the_file_has_the_columns_that_are_not_shown(
    experiment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output = tmp_path / "note.csv"
    list_trials(experiment, output=str(output))
    shown = capsys.readouterr().out
    assert "trial_id" not in shown.splitlines()[1]
    assert shown.endswith(f"Output saved at: {output}\n")
    assert len(saved(output)[0]) == 7


def test_t9_3_unsupported_files_are_refused_before_anything(
    experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="Unsupported filetype"):
        list_trials(experiment, output=str(tmp_path / "note.txt"))
    assert capsys.readouterr().out == ""


def make_project(path: Path) -> Path:
    running = [record(i, status="RUNNING") for i in range(3)]
    write_state(path / "pbt", *running, record(3, status="PENDING"), record(4, status="ERROR"))
    write_state(path / "test", record(0, status="RUNNING", last_update_time=None))
    write_state(path / "hyperband", record(0, last_update_time=NOON.timestamp() + 3600))
    (path / "no_experiment").mkdir()
    (path / "file").touch()
    return path


def test_t9_4_counts_by_status(tmp_path: Path) -> None:
    output = tmp_path / "note.csv"
    list_experiments(str(make_project(tmp_path / "project")), output=str(output))
    assert output.read_text().splitlines() == [
        "name,total_trials,running_trials,terminated_trials,error_trials,last_updated",
        "hyperband,1,0,1,0,2019-04-12 13:00:00 (Friday)",
        "pbt,5,3,0,1,2019-04-12 12:01:00 (Friday)",
        "test,1,1,0,0,2019-04-12 12:01:00 (Friday)",
    ]


def test_t9_4_filter_sort_limit_and_columns(tmp_path: Path) -> None:
    project, output = str(make_project(tmp_path / "project")), tmp_path / "note.csv"
    list_experiments(
        project,
        sort="running_trials,name",
        desc=True,
        filter_op="total_trials <= 1",
        info_keys="name,total_trials,running_trials",
        limit=1,
        output=str(output),
    )
    assert output.read_text().splitlines()[1:] == ["test,1,1"]


def test_t9_4_a_broken_state_costs_its_row_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project(tmp_path / "project")
    (project / "pbt" / "experiment_state-2020.json").write_text("{")
    list_experiments(str(project), info_keys="name")
    shown = capsys.readouterr().out
    assert "hyperband" in shown and "pbt" not in shown
    assert "pbt" in caplog.text


def test_t9_4_nothing_to_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_experiments(str(tmp_path))
    assert capsys.readouterr().out == "No experiments found!\n"
    list_experiments(str(make_project(tmp_path)), info_keys="nome")
    assert capsys.readouterr().out == "None of the columns ['nome'] exists.\n"
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        list_experiments(str(tmp_path / "none"))


def test_t9_what_a_killed_run_has_left_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run lives as long as it holds its lock, whatever the state says of its trials."""
    project = make_project(tmp_path / "project")
    locks = {name: RunLock(project / name) for name in ("hyperband", "pbt", "test")}
    for lock in locks.values():
        lock.acquire()
    list_experiments(str(project))
    list_trials(str(project / "pbt"))
    assert "No run is alive" not in capsys.readouterr().out
    for name in ("hyperband", "test"):
        locks[name].release()
    list_experiments(str(project))
    assert "No run is alive in test:" in capsys.readouterr().out
    for name, told in (("pbt", False), ("test", True), ("hyperband", False)):
        list_trials(str(project / name))
        assert ("No run is alive" in capsys.readouterr().out) is told
    locks["test"].acquire()  # to look at it has not kept it


def test_t9_5_a_note_is_created_then_updated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "touch -c")
    add_note(str(tmp_path))
    assert capsys.readouterr().out == "No note was saved.\n"
    monkeypatch.setenv("EDITOR", "touch")
    for how in ("created", "updated"):
        add_note(str(tmp_path), filename="why.md")
        assert capsys.readouterr().out == f"Note {how} at: {tmp_path / 'why.md'}\n"


def test_t9_5_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        add_note(str(tmp_path / "none"))
    for editor in ("false", "no-such-editor"):
        monkeypatch.setenv("EDITOR", editor)
        with pytest.raises(TuneError, match=editor):
            add_note(str(tmp_path))
