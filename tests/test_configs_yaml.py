"""The tuned configs: each runs as it stands, knows when it is done, and says whence its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rltune.cli.checks import check_experiment
from rltune.cli.experiments import build_experiments
from rltune.cli.plan import make_plan
from rltune.cli.train import train
from rltune.cli.yaml_file import load_experiments

FILES = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))


def test_there_are_some() -> None:
    assert {"cartpole-pg", "cartpole-ppo", "cartpole-dqn"} <= {path.stem for path in FILES}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # CartPole-v0 is old, and meant
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_config(path: Path) -> None:
    header = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        header.append(line)
    assert len(header) >= 2
    assert any(line.startswith("# Numbers: ") for line in header)
    experiments = load_experiments(path)
    assert list(experiments) == [path.stem]
    for spec in experiments.values():
        assert spec["stop"].keys() == {"episode_reward_mean", "timesteps_total"}
        assert all(isinstance(value, int | float) for value in spec["stop"].values())
    flags = train.make_context("train.py", ["-f", str(path)]).params
    plan = make_plan(build_experiments(flags)[0], flags)  # every trial through validate_config
    tuning = plan.tuning[path.stem]
    assert (tuning.scheduler is not None) == path.stem.startswith("pbt-") == tuning.reuse_actors


def test_the_grid_is_one() -> None:
    (spec,) = load_experiments(FILES[0].parent / "cartpole-grid-search.yaml").values()
    assert len(check_experiment("grid", spec)[1]) == 6
