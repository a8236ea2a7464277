"""PBT finds more than random search does where the best learning rate falls (T10.7, T10.8)."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import pbt_quality
from benchmarks.pbt_quality import FAVOURED, PBT, RANDOM, TASKS
from tests.tune.scripted import ScriptedExecutor

TOY = "moving-optimum"


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_t10_7_pbt_beats_random_search_where_the_best_lr_falls(seed: int) -> None:
    members = TASKS[TOY].start.members
    pbt, fixed = (
        pbt_quality.train(TOY, method, seed, ScriptedExecutor(slots=members))
        for method in (PBT, RANDOM)
    )
    assert pbt["first_lr"] == fixed["first_lr"] == fixed["last_lr"]
    assert pbt["score"] > fixed["score"]


def test_rows_have_the_newest_of_each_method() -> None:
    def record(method: str, seed: int, score: float) -> dict[str, Any]:
        return {
            "task": "a",
            "method": method,
            "seed": seed,
            "members": 4,
            "iterations": 9,
            "score": score,
        }

    lines = [record(PBT, 2, -9.0), record(RANDOM, 2, -300.0), record(PBT, 2, -8.0)]
    assert pbt_quality.rows(lines) == [["a", "4 x 9", "2", "-8", "-300", "-"]]
    assert pbt_quality.rows([*lines, record(FAVOURED, 2, -1.5)])[0][-1] == "-1.5"
