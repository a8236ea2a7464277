"""The lineage of a PBT run, read back from its directory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune import lineage_picture
from rltune.tune.error import TuneError
from rltune.tune.lineage import Lineage, read_lineage
from rltune.tune.lineage_picture import Panel, panels
from rltune.tune.logger import JsonLogger
from rltune.tune.schedulers import PopulationBasedTraining
from tests.tune.scripted import Scripted, run_scripted

ROOT = Path(__file__).resolve().parents[2]


class Sum(Scripted):
    """The sum of all lr so far."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.sum = 0.0

    def _train(self) -> dict[str, Any]:
        self.sum += self.config["lr"]
        return {"score": self.sum}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"sum": self.sum}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.sum = checkpoint["sum"]


def run_pbt(directory: Path) -> Path:
    """Six trials with lr 0.5, 0.25, ... whose worst copies the best at 5, 10 and 15."""
    pbt = PopulationBasedTraining(
        "training_iteration",
        metric="score",
        perturbation_interval=5,
        hyperparam_mutations={
            "lr": tune.loguniform(1e-3, 1.0),
            "model": {"act": ["relu", "tanh"]},
        },
        quantile_fraction=0.1,
        resample_probability=0.0,
        synch=True,
        seed=0,
    )
    run_scripted(
        pbt,
        Sum,
        n=6,
        slots=2,
        stop={"training_iteration": 20},
        config={
            "lr": tune.sample_from(lambda spec: 0.5 ** (spec.config.index + 1)),
            "model": {"act": "relu"},
        },
        directory=directory,
        loggers=[JsonLogger],
    )
    return directory / "scripted"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_pbt(tmp_path_factory.mktemp("pbt"))


@pytest.fixture(scope="module")
def lineage(experiment: Path) -> Lineage:
    return read_lineage(str(experiment))


def test_what_pbt_was_told_is_known(lineage: Lineage) -> None:
    assert (lineage.metric, lineage.time_attr) == ("score", "training_iteration")
    assert lineage.names[:2] == ["lr", "model/act"]
    assert len(lineage.trials) == 6


def test_each_copy_with_its_scores_and_settings(lineage: Lineage) -> None:
    assert [exploit.iteration for exploit in lineage.exploits] == [5, 10, 15]
    first = lineage.exploits[0]
    assert (first.trial[0], first.donor[0], first.donor_iteration) == ("5", "0", 5)
    assert first.score == pytest.approx(5 * 0.5**6)
    assert first.donor_score == pytest.approx(5 * 0.5)
    assert first.old["lr"] == 0.5
    assert first.new["lr"] in (pytest.approx(0.4), pytest.approx(0.6))
    assert first.old["model/act"] == "relu"
    for exploit in lineage.exploits:
        assert exploit.score is not None
        assert exploit.donor_score is not None
        assert exploit.score < exploit.donor_score


def test_the_lives_of_a_trial(lineage: Lineage) -> None:
    """Each has its own settings; every result is in one of them."""
    copied = {exploit.trial for exploit in lineage.exploits}
    for trial in lineage.trials:
        exploits = [exploit for exploit in lineage.exploits if exploit.trial == trial.tag]
        assert len(trial.lives) == len(exploits) + 1
        assert len([r for life in trial.lives for r in life.results]) == 20
        assert trial.lives[0].values["lr"] == 0.5 ** (int(trial.tag[0]) + 1)
        for life, exploit in zip(trial.lives[1:], exploits, strict=True):
            assert life.values == exploit.new
            assert life.origin is not None
            assert life.origin.values == exploit.old
            assert life.origin.results[0]["score"] == exploit.donor_score
            gained = life.results[0]["score"] - life.origin.results[0]["score"]
            assert gained == pytest.approx(life.values["lr"])
        assert trial.ancestors == [] if trial.tag not in copied else trial.ancestors[-1]


def test_ancestors_are_the_whole_chain(experiment: Path) -> None:
    lineage = read_lineage(str(experiment))
    ancestors: dict[str, list[str]] = {}
    for exploit in lineage.exploits:
        ancestors[exploit.trial] = [*ancestors.get(exploit.donor, []), exploit.donor]
    assert {t.tag: t.ancestors for t in lineage.trials if t.ancestors} == ancestors


def test_an_experiment_may_have_moved(experiment: Path, lineage: Lineage, tmp_path: Path) -> None:
    shutil.copytree(experiment, tmp_path / "moved")
    assert read_lineage(str(tmp_path / "moved")) == lineage


def test_the_log_alone_tells_who_copied_whom(
    experiment: Path, lineage: Lineage, tmp_path: Path
) -> None:
    """As of a run of Ray 0.7, of which nothing else is read."""
    shutil.copy(experiment / "pbt_global.txt", tmp_path)
    alone = read_lineage(str(tmp_path), metric="score")
    assert {"lr"} <= set(alone.names)
    told = [(e.trial, e.donor, e.iteration, e.new["lr"]) for e in lineage.exploits]
    assert [(e.trial, e.donor, e.iteration, e.new["lr"]) for e in alone.exploits] == told
    assert all(exploit.score is None for exploit in alone.exploits)
    with pytest.raises(TuneError, match="nothing to draw"):
        panels(alone)


def test_what_a_custom_function_has_changed_is_shown(tmp_path: Path) -> None:
    line = ["1_a", "0_a", 5, 5, {"x": 1, "y": 1, "seed": 1}, {"x": 2, "y": 1, "seed": 2}]
    (tmp_path / "pbt_global.txt").write_text(json.dumps(line) + "\n")
    assert read_lineage(str(tmp_path)).names == ["x"]


def test_a_line_in_the_making_is_left_out(tmp_path: Path) -> None:
    line = json.dumps(["1_a", "0_a", 5, 5, {"x": 1}, {"x": 2}])
    (tmp_path / "pbt_global.txt").write_text(f"{line}\n{line[:20]}")
    assert len(read_lineage(str(tmp_path)).exploits) == 1


@pytest.mark.parametrize("text", ["[1, 2]\n", "no json\n"])
def test_another_file_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "pbt_global.txt").write_text(text)
    with pytest.raises(TuneError, match="cannot be read"):
        read_lineage(str(tmp_path))


def test_another_experiment_is_an_error(tmp_path: Path) -> None:
    run_scripted(None, lambda config, i: {"done": True}, directory=tmp_path)
    with pytest.raises(TuneError, match="no run of PBT"):
        read_lineage(str(tmp_path / "scripted"))


def test_panels(lineage: Lineage) -> None:
    """One each for the score and every setting; a gap where a trial goes on from another's state."""
    drawn = panels(lineage)
    assert [panel.title for panel in drawn][:3] == ["score", "lr", "model/act"]
    by_title: dict[str, Panel] = {panel.title: panel for panel in drawn}
    assert by_title["lr"].logarithmic
    assert not by_title["score"].logarithmic
    assert by_title["model/act"].texts == ["relu", "tanh"]
    loser = by_title["score"].lines[5]
    assert loser.name == "5"
    assert loser.points[5] == (None, None)
    assert loser.copies[:2] == [(5, pytest.approx(2.5)), loser.points[6]]
    assert by_title["lr"].lines[5].copies[0] == (5, 0.5)


def test_a_page(lineage: Lineage, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    lineage_picture.save(lineage, str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text()
    assert "trial 5" in text
    assert r"model\u002fact" in text


def test_an_image(lineage: Lineage, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lineage_picture.save(lineage, str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_another_suffix(lineage: Lineage, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a picture is .html or .png"):
        lineage_picture.save(lineage, str(tmp_path / "a.gif"))
    assert not list(tmp_path.iterdir())


def test_reading_loads_nothing_heavy() -> None:
    code = (
        "import sys, rltune.tune.lineage, rltune.cli.pbt\n"
        "heavy = {'ray', 'torch', 'pandas', 'plotly', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
