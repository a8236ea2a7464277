"""What jax does to a process: where it keeps compiled programs, how many threads it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

ROOT = Path(__file__).resolve().parents[2]
UPDATE = """
import os
import numpy as np
from tests.test_learner import COEFFS, INDEX, batch, learner
before = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
made = learner("jax", threads={threads})
after_building = len(os.listdir("/proc/self/task")) if before else 0
made.update(batch(), INDEX, COEFFS)
import jax
print(jax.config.values["jax_compilation_cache_dir"], after_building - before)
"""


def after_an_update(threads: int = 1, **environment: str) -> list[str]:
    """The cache's directory, and how many threads jax has started, in a process of its own."""
    kept = {k: v for k, v in os.environ.items() if "CACHE" not in k}
    done = subprocess.run(
        [sys.executable, "-c", UPDATE.format(threads=threads)],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def test_programs_are_kept_below_the_home_directory(tmp_path: Path) -> None:
    directory, _ = after_an_update(HOME=str(tmp_path))
    assert directory == str(tmp_path / ".cache/rltune/jax")
    assert list(Path(directory).glob("jit__loop-*-cache"))


def test_the_directory_can_be_another(tmp_path: Path) -> None:
    directory, _ = after_an_update(HOME=str(tmp_path), RLTUNE_JAX_CACHE=str(tmp_path / "there"))
    assert directory == str(tmp_path / "there")
    assert not (tmp_path / ".cache").exists()


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    directory, _ = after_an_update(HOME=str(tmp_path), RLTUNE_JAX_CACHE="off")
    assert directory == "None" and not list(tmp_path.iterdir())


def test_what_the_user_has_told_jax_stays(tmp_path: Path) -> None:
    own = str(tmp_path / "own")
    directory, _ = after_an_update(HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=own)
    assert directory == own and not (tmp_path / ".cache").exists()


def test_a_directory_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    after_an_update(RLTUNE_JAX_CACHE=str(tmp_path / "file" / "below"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no list of threads here")
def test_threads_follow_the_cores_of_the_trial() -> None:
    """jax starts a fixed number beside its pools, whose size is asked for."""
    one, nine = (int(after_an_update(threads, RLTUNE_JAX_CACHE="off")[1]) for threads in (1, 9))
    assert nine - one >= 8
