"""`rltune pbt`: who copied whom, as tables, as JSON, as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rltune.cli.main import cli
from tests.tune.test_lineage import run_pbt

pytest.importorskip("tabulate")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_pbt(tmp_path_factory.mktemp("pbt"))


def rltune_pbt(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["pbt", *map(str, args)], env={"COLUMNS": "200"})


def table(text: str, title: str) -> list[list[str]]:
    """The rows of the table that has a column of this title, its head first."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "--" not in line
    ]
    starts = [i for i, row in enumerate(rows) if row[0] == "trial"]
    start = next(i for i in starts if title in rows[i])
    end = next((i for i in starts if i > start), len(rows))
    return rows[start:end]


def test_tables(experiment: Path) -> None:
    result = rltune_pbt(experiment)
    assert result.exit_code == 0, result.output
    head, first, *others = table(result.output, "copied")
    assert head[:6] == ["trial", "iteration", "score", "copied", "at", "its score"]
    assert first[:5] == ["5", "5", "0.078125", "0", "5"]
    assert first[head.index("lr")] in ("0.5 -> 0.4", "0.5 -> 0.6")
    assert first[head.index("model/act")].startswith("relu -> ")
    assert len(others) == 2
    head, *trials = table(result.output, "ancestors")
    assert [row[0] for row in trials] == ["0", "1", "2", "3", "4", "5"]
    assert {row[head.index("status")] for row in trials} == {"TERMINATED"}
    assert trials[5][head.index("ancestors")].startswith("0")
    assert trials[0][head.index("lr")] == "0.5"


def test_json(experiment: Path) -> None:
    result = rltune_pbt(experiment, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["metric"], told["settings"][0]) == ("score", "lr")
    first = told["exploits"][0]
    assert (first["trial"][0], first["donor"][0], first["iteration"]) == ("5", "0", 5)
    assert first["old"]["lr"] == 0.5
    last = told["trials"][5]
    assert (last["status"], last["iteration"]) == ("TERMINATED", 20)
    assert last["ancestors"][0] == first["donor"]


def test_another_metric(experiment: Path) -> None:
    told = json.loads(rltune_pbt(experiment, "--json", "--metric", "training_iteration").stdout)
    assert told["exploits"][0]["score"] == 5


def test_a_picture(experiment: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "page.html"
    result = rltune_pbt(experiment, "--json", "-o", page)
    assert result.exit_code == 0
    json.loads(result.stdout)  # the note about the page is not part of it
    assert f"Output saved at: {page}" in result.stderr
    assert page.stat().st_size > 1000


def test_mistakes(experiment: Path, tmp_path: Path) -> None:
    result = rltune_pbt(tmp_path)
    assert result.exit_code == 1
    assert "holds no run of PBT" in result.output
    assert rltune_pbt(tmp_path / "nowhere").exit_code == 2
    result = rltune_pbt(experiment, "-o", tmp_path / "a.gif")
    assert result.exit_code == 2
    assert ".html or .png" in result.output


def test_a_run_in_which_nobody_was_copied(tmp_path: Path) -> None:
    (tmp_path / "pbt_global.txt").write_text("")
    result = rltune_pbt(tmp_path)
    assert result.exit_code == 0
    assert "No trial has copied another." in result.output


def test_the_command_is_listed() -> None:
    assert "pbt" in CliRunner().invoke(cli, ["--help"]).output
