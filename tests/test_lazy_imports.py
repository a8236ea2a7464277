"""Start-up stays fast: nothing heavy is loaded before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rltune.frameworks import PACKAGES
from tests.bindings import ALL

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "tensorflow", "jax", "ray")

REPORT = f"""
import sys
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print("HEAVY", *loaded)
"""


HELP = """
import sys
from rltune.cli.main import main
sys.argv = ["rltune", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def heavy_after(code: str) -> list[str]:
    """The heavy libraries that a fresh interpreter holds after running `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "code",
    [
        "import rltune, rltune.tune, agents",
        HELP,
    ],
    ids=["import", "help"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert heavy_after(code) == []


TRAIN = """
from rltune.cli.main import main
sys = __import__("sys")
sys.argv = ["rltune", "train", "--run", "PPO", "--env", "CartPole-v1", "--framework", "{framework}",
    "--config", '{{"train_batch_size": 64, "num_sgd_iter": 1}}', "--stop", '{{"training_iteration": 1}}',
    "--executor", "local", "--local-dir", "{folder}"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize("framework", ALL)
def test_a_run_loads_only_the_framework_that_trains(framework: str, tmp_path: Path) -> None:
    loaded = heavy_after(TRAIN.format(framework=framework, folder=tmp_path))
    assert loaded == [PACKAGES[framework]]


def test_the_probe_sees_a_heavy_import() -> None:
    """Guards the test above against a probe that can find nothing."""
    assert heavy_after("sys = __import__('sys'); sys.modules['ray'] = sys") == ["ray"]
