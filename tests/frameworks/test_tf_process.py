"""What tensorflow does to a process: the flags that XLA is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

tensorflow = pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parents[2]
UPDATE = """
import os
from tests.test_learner import COEFFS, INDEX, batch, learner
learner("tf", threads={threads}).update(batch(), INDEX, COEFFS)
print(os.environ.get("XLA_FLAGS"))
"""
USED_BEFORE = """
import tensorflow as tf
tf.constant(1) + 1
from tests.test_learner import COEFFS, INDEX, batch, learner
stats, _ = learner("tf").update(batch(), INDEX, COEFFS)
print(len(stats["regression_loss"]))
"""
FLAG = "xla_cpu_enable_concurrency_optimized_scheduler: false"


@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_gets_programs_for_one_thread(threads: int, tmp_path: Path) -> None:
    """The user's own flags hold, and what is added for the first program is taken back."""
    own = f"--xla_dump_to={tmp_path}"
    done = subprocess.run(
        [sys.executable, "-c", UPDATE.format(threads=threads)],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": own},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == own
    options = [path.read_text() for path in tmp_path.glob("*.debug_options")]
    assert options
    known = tensorflow.__version__.startswith("2.21.")
    assert all((FLAG in text) == (threads == 1 and known) for text in options)


def test_tensorflow_that_has_computed_before_keeps_its_threads() -> None:
    """That of a user's environment, say: threads can be chosen only before the first operation."""
    done = subprocess.run(
        [sys.executable, "-c", USED_BEFORE],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "4"
    assert done.stderr.count("tensorflow has computed in this process before") == 1
