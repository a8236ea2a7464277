"""Every file in configs/ reaches the goal that it states, within the steps that it states."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.learning import CONFIGS, ROOT, goal, learn

SEED = 1
POPULATIONS = sorted(path.stem for path in CONFIGS.glob("pbt-*.yaml"))
SINGLE = sorted(
    path.stem
    for path in CONFIGS.glob("*.yaml")
    if path.stem not in POPULATIONS and "grid_search" not in path.read_text(encoding="utf-8")
)


@pytest.mark.learning
@pytest.mark.parametrize("config", SINGLE)
def test_reaches_its_goal(config: str) -> None:
    run = learn(config, SEED, threads=1, to_budget=False)
    assert run["steps"] is not None, f"{run['end']} after {run['end_steps']} steps: {run}"


@pytest.mark.learning
@pytest.mark.parametrize("config", POPULATIONS)
def test_most_of_a_population_reach_their_goal(config: str, tmp_path: Path) -> None:
    """Some of them begin with settings that would not."""
    command = [sys.executable, "train.py", "-f", str(CONFIGS / f"{config}.yaml")]
    subprocess.run([*command, "--local-dir", str(tmp_path)], cwd=ROOT, check=True, timeout=900)
    ends = [
        json.loads(path.read_text().splitlines()[-1])["episode_reward_mean"]
        for path in (tmp_path / config).glob("*/result.json")
    ]
    solved = [end for end in ends if end >= goal(config).reward]
    assert len(solved) >= 0.75 * len(ends) > 0, ends
    assert (tmp_path / config / "pbt_global.txt").read_text()
