"""`--ray-num-nodes` and `--ray-address` as users type them, on clusters that are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rltune.trainable import Trainable

ROOT = Path(__file__).parents[2]
MEETING_S = 60.0

pytestmark = pytest.mark.ray


class Meets(Trainable):
    """Reports its node when `number` of these trials are there at the same time."""

    def _train(self) -> dict[str, Any]:
        import ray

        place = Path(self.config["place"])
        node = ray.get_runtime_context().get_node_id()
        Path(place, f"{self.config['me']}").touch()
        deadline = time.monotonic() + MEETING_S
        while len(list(place.iterdir())) < self.config["number"]:
            assert time.monotonic() < deadline, "nobody else came"
            time.sleep(0.05)
        return {"node": node, "done": True}


def nodes_of_trials(tmp_path: Path, number: int, *flags: str) -> list[str]:
    """The node of each of `number` trials that have met, in a run with these flags."""
    place = tmp_path / "place"
    place.mkdir()
    config = {"place": str(place), "number": number, "me": {"grid_search": list(range(number))}}
    command = [sys.executable, "-m", "rltune", "train", "--run", f"{__name__}:Meets"]
    where = ["--local-dir", str(tmp_path / "results"), "--config", json.dumps(config)]
    done = subprocess.run(
        [*command, *where, "--max-failures", "0", *flags],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    files = (tmp_path / "results").glob("*/*/result.json")
    return [json.loads(path.read_text())["node"] for path in files]


def test_a_new_cluster_has_as_many_nodes_as_asked_for(tmp_path: Path) -> None:
    nodes = nodes_of_trials(tmp_path, 2, "--ray-num-nodes", "2", "--ray-num-cpus", "1")
    assert len(nodes) == len(set(nodes)) == 2


def test_a_run_joins_the_cluster_of_an_address(tmp_path: Path, ray_cluster: None) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    [node] = nodes_of_trials(tmp_path, 1, "--ray-address", address)
    assert node in {each["NodeID"] for each in ray.nodes()}
    assert not [each for each in ray.nodes() if not each["Alive"]]  # its end has not ended Ray
