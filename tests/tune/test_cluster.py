"""Trials on a Ray cluster of three nodes, in a process of its own: the other tests have a Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tune.cluster_run import CPUS, ITERATIONS, NODES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    results = tmp_path_factory.mktemp("cluster")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.tune.cluster_run", str(results)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded: dict[str, Any] = json.loads((results / "outcome.json").read_text())
    return loaded


def test_trials_spread_over_the_nodes(outcome: dict[str, Any]) -> None:
    first = [trial["nodes"][0] for trial in outcome["trials"]]
    assert len(set(first)) == NODES
    assert all(first.count(node) == CPUS for node in first)


def test_the_results_of_every_node_are_in_the_drivers_directory(outcome: dict[str, Any]) -> None:
    assert all(trial["counts"][-1] == ITERATIONS for trial in outcome["trials"])


def test_a_lost_node_costs_its_trials_a_retry_from_their_checkpoint_and_no_other(
    outcome: dict[str, Any],
) -> None:
    assert outcome["killed"] is not None
    assert {trial["status"] for trial in outcome["trials"]} == {"TERMINATED"}
    lost = [trial for trial in outcome["trials"] if outcome["killed"] in trial["nodes"]]
    others = [trial for trial in outcome["trials"] if outcome["killed"] not in trial["nodes"]]
    assert [trial["failures"] for trial in lost] == [1] * CPUS
    assert [trial["failures"] for trial in others] == [0] * len(others)
    assert all(trial["counts"] == list(range(1, ITERATIONS + 1)) for trial in others)
    for trial in lost:
        counts = trial["counts"]
        [back] = [i for i in range(1, len(counts)) if counts[i] != counts[i - 1] + 1] or [None]
        if back is not None:  # else the node died just after a checkpoint
            assert counts[back] % 2 == 1 and counts[back] <= counts[back - 1] <= counts[back] + 1
        assert counts[-1] == ITERATIONS and len(counts) <= ITERATIONS + 2


def test_a_node_that_dies_before_a_trial_has_begun_there_is_no_failure_of_it(
    outcome: dict[str, Any],
) -> None:
    assert outcome["late"] == {"status": "TERMINATED", "failures": 0}
