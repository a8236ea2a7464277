"""Every file in configs/ reaches the goal that it states, within the steps that it states."""

from __future__ import annotations

import pytest

from benchmarks.learning import CONFIGS, learn

SEED = 1
SINGLE = sorted(
    path.stem
    for path in CONFIGS.glob("*.yaml")
    if "grid_search" not in path.read_text(encoding="utf-8")
)


@pytest.mark.learning
@pytest.mark.parametrize("config", SINGLE)
def test_reaches_its_goal(config: str) -> None:
    run = learn(config, SEED, threads=1, to_budget=False)
    assert run["steps"] is not None, f"{run['end']} after {run['end_steps']} steps: {run}"
