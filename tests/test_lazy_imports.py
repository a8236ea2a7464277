"""Start-up stays fast: nothing heavy is loaded before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_probe_sees_a_heavy_import() -> None:
    """Guards the test above against a probe that can find nothing."""
    assert heavy_after("sys = __import__('sys'); sys.modules['ray'] = sys") == ["ray"]
