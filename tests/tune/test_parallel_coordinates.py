"""Trials as seen by plotting tools: T6.6."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.cli.main import main
from rltune.tune.parallel_coordinates import default_fields, draw, page
from rltune.tune.visual_utils import load_results_to_df
from tests.tune.trainables import Counter

pytest.importorskip("pandas")
pytest.importorskip("plotly")

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "parallel_coordinates.ipynb"


class Curve(Counter):
    """Reports a metric late, and a loss that is NaN where the config says so."""

    def _train(self) -> dict[str, Any]:
        result = super()._train()
        loss = float("nan") if self.config.get("diverges") else self.config["lr"] / self.count
        late = {"late": self.count} if self.count > 1 else {}
        return {**result, "mean_loss": loss, "nested": {"loss": loss}, **late}


def make_experiment(config: dict[str, Any]) -> Path:
    trials = tune.run(
        Curve,
        name="curves",
        stop={"training_iteration": 3},
        config=config,
        trial_executor="local",
        verbose=0,
    )
    return Path(trials[0].local_dir)


@pytest.fixture
def experiment() -> Path:
    grid = tune.grid_search
    return make_experiment(
        {
            "lr": grid([0.1, 0.2]),
            "model": {"act": grid(["relu", "tanh"]), "hiddens": [8]},
            "seed": 1,
        }
    )


def test_t6_6_viskit_reads_every_trial(experiment: Path) -> None:
    """As VisKit's `core.load_exps_data` does.

    It takes the directories with both files, a column of floats for each field of the CSV, and the
    nested parameters joined by dots.
    """

    def flatten(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in params.items():
            inner = isinstance(value, dict)
            flat |= flatten(value, f"{prefix}{key}.") if inner else {prefix + key: value}
        return flat

    seen = []
    for path in experiment.rglob("progress.csv"):
        params = flatten(json.loads((path.parent / "params.json").read_text()))
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert all(None not in row and None not in row.values() for row in rows), "a ragged row"
        losses = [float(row["mean_loss"]) for row in rows]
        assert losses == pytest.approx([params["lr"] / n for n in (1, 2, 3)])
        assert [row["late"] for row in rows] == ["", "2", "3"]
        assert [row["nested/loss"] for row in rows] == [row["mean_loss"] for row in rows]
        seen.append((params["lr"], params["model.act"]))
    assert sorted(seen) == [(0.1, "relu"), (0.1, "tanh"), (0.2, "relu"), (0.2, "tanh")]


def test_t6_6_axes_are_what_differs_between_trials(experiment: Path) -> None:
    frame = load_results_to_df(str(experiment))
    fields = [name for name in default_fields(frame) if not name.startswith("time")]
    assert fields == ["lr", "model:act", "mean_loss", "nested:loss"]


def test_t6_6_one_line_per_trial(experiment: Path) -> None:
    frame = load_results_to_df(str(experiment))
    (lines,) = draw(frame, ["lr", "model:act", "mean_loss"]).data
    lr, act, loss = lines.dimensions
    assert lines.type == "parcoords"
    assert [axis.label for axis in lines.dimensions] == ["lr", "model:act", "mean_loss"]
    assert sorted(lr["values"]) == [0.1, 0.1, 0.2, 0.2]
    assert sorted(act["ticktext"]) == ["relu", "tanh"]
    texts = [act["ticktext"][act["tickvals"].index(code)] for code in act["values"]]
    assert texts == list(frame["model:act"])
    assert list(lines.line.color) == list(loss["values"]) == list(frame["mean_loss"])
    assert lines.line.colorbar.title.text == "mean_loss"


def test_t6_6_any_column_can_be_an_axis(experiment: Path) -> None:
    (lines,) = draw(load_results_to_df(str(experiment)), ["model:hiddens", "done"], "lr").data
    assert [list(axis["ticktext"]) for axis in lines.dimensions] == [["[8]"], ["True"]]
    assert len(lines.line.color) == 4


def test_t6_6_diverged_trials_are_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    experiment = make_experiment({"lr": 1.0, "diverges": tune.grid_search([False, True, False])})
    (lines,) = draw(load_results_to_df(str(experiment)), ["lr", "mean_loss"]).data
    assert len(lines.line.color) == 2
    assert "left out" in caplog.text and "mean_loss" in caplog.text


def test_t6_6_what_cannot_be_drawn(experiment: Path, tmp_path: Path) -> None:
    frame = load_results_to_df(str(experiment))
    with pytest.raises(tune.TuneError, match="'mean_los'; nearest: 'mean_loss'"):
        draw(frame, ["mean_los"])
    with pytest.raises(tune.TuneError, match="no trial has results"):
        draw(load_results_to_df(str(tmp_path / "nothing")))


def test_t6_6_the_page_needs_no_network(experiment: Path) -> None:
    text = page(draw(load_results_to_df(str(experiment)), ["lr", "mean_loss"]))
    assert "parcoords" in text and len(text) > 1_000_000, "plotly is not in the page"
    assert "<script src=" not in text and "<link" not in text


def test_t6_6_the_command_writes_the_page(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "page.html")
    flags = ["-o", output, "--columns", "lr, mean_loss", "--color", "mean_loss"]
    with pytest.raises(SystemExit) as stop:
        main(["parallel-coordinates", str(experiment), *flags])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"Output saved at: {output}\n"
    assert '"label":"mean_loss"' in Path(output).read_text(encoding="utf-8")


def test_t6_6_the_command_names_what_is_wrong(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["parallel-coordinates", str(experiment), "--color", "mean_los"])
    assert stop.value.code == 1
    assert "nearest: 'mean_loss'" in capsys.readouterr().err


def test_t6_6_the_notebook_runs(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert "~/ray_results/my_experiment" in sources[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for source in sources:
        exec(source.replace("~/ray_results/my_experiment", str(experiment)), names)
    assert len(names["frame"]) == 4
    assert (tmp_path / "parallel_coordinates.html").exists()
