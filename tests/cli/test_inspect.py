"""`list-trials`, `list-experiments`, `add-note` on experiments that `tune.run` left (T9)."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.cli.main import main
from rltune.tune.trial import Trial

pytest.importorskip("tabulate")

ROOT = Path(__file__).resolve().parents[2]
IDS = ["87b54a1d", "23b89036", "518dbe95", "7b99a28a", "ae4e02fb"]
HINT = "Please increase your terminal size to view remaining columns."

# The guide's samples; how wide a cell is, and the order of its unsorted table, is not compared.
ALL_TRIALS = """
+------------------+-----------------------+------------+
| trainable_name   | experiment_tag        | trial_id   |
|------------------+-----------------------+------------|
| MyTrainableClass | 0_height=40,width=37  | 87b54a1d   |
| MyTrainableClass | 1_height=21,width=70  | 23b89036   |
| MyTrainableClass | 2_height=99,width=90  | 518dbe95   |
| MyTrainableClass | 3_height=54,width=21  | 7b99a28a   |
| MyTrainableClass | 4_height=90,width=69  | ae4e02fb   |
+------------------+-----------------------+------------+
"""
ONE_TRIAL = """
+------------------+-----------------------+------------+
| trainable_name   | experiment_tag        | trial_id   |
|------------------+-----------------------+------------|
| MyTrainableClass | 3_height=54,width=21  | 7b99a28a   |
+------------------+-----------------------+------------+
"""
ALL_EXPERIMENTS = """
+----------------------+----------------+------------------+---------------------+
| name                 |   total_trials |   running_trials |   terminated_trials |
|----------------------+----------------+------------------+---------------------|
| pbt_test             |             10 |                0 |                   0 |
| test                 |              1 |                0 |                   0 |
| hyperband_test       |              1 |                0 |                   1 |
+----------------------+----------------+------------------+---------------------+
Dropped columns: ['error_trials', 'last_updated']
Please increase your terminal size to view remaining columns.
"""
SMALL_EXPERIMENTS = """
+----------------------+----------------+------------------+---------------------+
| name                 |   total_trials |   running_trials |   terminated_trials |
|----------------------+----------------+------------------+---------------------|
| hyperband_test       |              1 |                0 |                   1 |
| test                 |              1 |                0 |                   0 |
+----------------------+----------------+------------------+---------------------+
Dropped columns: ['error_trials', 'last_updated']
Please increase your terminal size to view remaining columns.
"""

run = partial(tune.run, trial_executor="local", verbose=0, raise_on_failed_trial=False)


class MyTrainableClass(tune.Trainable):
    def _train(self) -> dict[str, Any]:
        if self.config.get("fails"):
            raise RuntimeError("a fault on purpose")
        return {"area": self.config["height"] * self.config["width"]}


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's five trials, with its ids."""
    ids, heights, widths = iter(IDS), iter([40, 21, 99, 54, 90]), iter([37, 70, 90, 21, 69])
    monkeypatch.setattr(Trial, "generate_id", staticmethod(lambda: next(ids)))
    monkeypatch.setenv("COLUMNS", "60")
    config = {
        "height": tune.sample_from(lambda spec: next(heights)),
        "width": tune.sample_from(lambda spec: next(widths)),
    }
    stop = {"training_iteration": 1}
    trials = run(MyTrainableClass, name="exp", stop=stop, num_samples=5, config=config)
    return Path(trials[0].local_dir)


@pytest.fixture
def project(results_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's three experiments."""
    monkeypatch.setenv("COLUMNS", "90")
    for name, number, fails in (("pbt_test", 10, 1), ("test", 1, 1), ("hyperband_test", 1, 0)):
        config = {"height": 1, "width": 1, "fails": fails}
        stop = {"training_iteration": 1}
        run(
            MyTrainableClass,
            name=name,
            stop=stop,
            num_samples=number,
            config=config,
            max_failures=0,
        )
    return results_dir


def rltune(*args: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    code = stop.value.code
    assert isinstance(code, int)
    return code


def squeezed(table: str) -> list[str]:
    """Lines of a table, with runs of blanks and dashes as one."""
    return [re.sub(r"( |-)\1+", r"\1", line).rstrip() for line in table.strip().splitlines()]


def column(shown: str, number: int) -> list[str]:
    """The cells of one column, without its header."""
    rows = [line.split("|") for line in shown.splitlines() if line.startswith("| ")]
    return [row[number + 1].strip() for row in rows[1:]]


Capture = pytest.CaptureFixture[str]


def test_t9_1_guide_sample_of_all_trials(
    experiment: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rltune("list-trials", experiment, "--output", "note.csv") == 0
    *table, dropped, hint, saved = capsys.readouterr().out.splitlines()
    assert squeezed("\n".join(table)) == squeezed(ALL_TRIALS)
    assert dropped == (
        "Dropped columns: ['status', 'last_update_time', 'last_result:training_iteration']"
    )
    assert (hint, saved) == (HINT, "Output saved at: note.csv")
    with open("note.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial_id"] for row in rows] == IDS
    assert {row["status"] for row in rows} == {"TERMINATED"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(\w+day\)", rows[0]["last_update_time"])


def test_t9_1_guide_sample_of_one_trial(experiment: Path, capsys: Capture) -> None:
    assert rltune("list-trials", experiment, "--filter", "trial_id == 7b99a28a") == 0
    *table, _dropped, hint = capsys.readouterr().out.splitlines()
    assert squeezed("\n".join(table)) == squeezed(ONE_TRIAL)
    assert hint == HINT


def test_t9_1_every_flag_and_the_alias(
    experiment: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    flags = ["--columns", "trial_id,config:height", "--result-columns", "area", "--sort", "area"]
    assert rltune("ls", experiment, *flags, "--filter", "area > 1200", "--limit", 3) == 0
    shown = capsys.readouterr().out
    header = [cell.strip() for cell in shown.splitlines()[1].strip("|").split("|")]
    assert header == ["trial_id", "config:height", "last_result:area"]
    assert column(shown, 0) == ["23b89036", "87b54a1d", "ae4e02fb"]
    assert column(shown, 2) == ["1470", "1480", "6210"]


@pytest.mark.parametrize(
    ("desc", "expected"),
    [
        (["--desc"], "99"),
        (["--desc", "True"], "99"),
        (["--desc=True"], "99"),
        (["--desc", "False"], "21"),
        ([], "21"),
    ],
)
def test_t9_1_desc_with_and_without_a_value(
    experiment: Path, capsys: Capture, desc: list[str], expected: str
) -> None:
    chosen = ["--columns", "config:height", "--sort", "config:height", "--limit", "1"]
    for args in ([*chosen, *desc, experiment], [experiment, *chosen, *desc]):
        assert rltune("list-trials", *args) == 0
        assert column(capsys.readouterr().out, 0) == [expected]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--sort", "trial_di"], 2, "nearest: 'trial_id'"),
        (["--filter", "trial_id=1"], 2, "<column> <operator> <value>"),
        (["--output", "note.txt"], 2, "Unsupported filetype: note.txt"),
        (["--output", "none/note.csv"], 2, "none"),
        (["--limit", "0"], 2, "--limit"),
        (["--desc=perhaps"], 2, "--desc"),
    ],
)
def test_t9_1_mistakes(
    experiment: Path,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rltune("list-trials", experiment, *flags) == code
    assert message in capsys.readouterr().err


def test_t9_1_no_state_is_exit_code_1(tmp_path: Path, capsys: Capture) -> None:
    for path in (tmp_path, tmp_path / "none"):
        assert rltune("list-trials", path) == 1
        assert "No experiment state found!" in capsys.readouterr().err


def test_t9_2_missing_tabulate_is_one_message(
    experiment: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tabulate", None)
    assert rltune("list-trials", experiment) == 1
    assert "pip install tabulate" in capsys.readouterr().err


def test_t9_4_guide_samples(
    project: Path, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rltune("list-experiments", project, "--output", "note.csv") == 0
    *lines, saved = squeezed(capsys.readouterr().out)
    assert sorted(lines) == sorted(squeezed(ALL_EXPERIMENTS))
    assert saved == "Output saved at: note.csv"
    with open("note.csv", newline="") as file:
        errors = {row["name"]: row["error_trials"] for row in csv.DictReader(file)}
    assert errors == {"pbt_test": "10", "test": "1", "hyperband_test": "0"}

    assert rltune("lsx", project, "--filter", "total_trials <= 1", "--sort", "name") == 0
    assert squeezed(capsys.readouterr().out) == squeezed(SMALL_EXPERIMENTS)


def test_t9_4_every_flag(project: Path, capsys: Capture) -> None:
    flags = ["--columns", "name,error_trials", "--sort", "error_trials", "--desc", "--limit", "2"]
    assert rltune("lsx", *flags, project) == 0
    shown = capsys.readouterr().out
    assert column(shown, 0) == ["pbt_test", "test"]
    assert column(shown, 1) == ["10", "1"]


def test_t9_4_nothing_to_list_is_no_failure(tmp_path: Path, capsys: Capture) -> None:
    assert rltune("list-experiments", tmp_path) == 0
    assert capsys.readouterr().out == "No experiments found!\n"
    assert rltune("list-experiments", tmp_path / "none") == 2


def test_t9_5_add_note(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "touch")
    for how in ("created", "updated"):
        assert rltune("add-note", tmp_path) == 0
        assert capfd.readouterr().out == f"Note {how} at: {tmp_path / 'note.txt'}\n"
    assert rltune("add-note", tmp_path, "--filename", "why.md") == 0
    assert (tmp_path / "why.md").exists()
    assert rltune("add-note", tmp_path / "none") == 2
    monkeypatch.setenv("EDITOR", "false")
    assert rltune("add-note", tmp_path) == 1


def test_t9_lists_load_nothing_heavy(experiment: Path) -> None:
    code = """if True:
        import sys
        from rltune.cli.main import main
        try:
            main(sys.argv[1:])
        except SystemExit as stop:
            heavy = {"torch", "tensorflow", "jax", "ray", "pandas", "gymnasium", "cloudpickle"}
            print("HEAVY", stop.code, sorted(heavy & set(sys.modules)))
    """
    for args in (["ls", experiment], ["lsx", experiment.parent]):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True
        )
        assert done.stdout.splitlines()[-1] == "HEAVY 0 []", done.stderr


def test_t9_a_reader_that_stops_early_is_no_error(experiment: Path) -> None:
    command = f'"{sys.executable}" -m rltune ls "{experiment}"; echo $? >&2'
    done = subprocess.run(
        ["bash", "-c", f"{{ {command}; }} | true"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == "0\n"
