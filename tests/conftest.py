"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """What jax has compiled for one session of tests serves the next, apart from what the user's runs have."""
    cache = getattr(config, "cache", None)
    os.environ.setdefault("RLTUNE_JAX_CACHE", str(cache.mkdir("jax")) if cache else "off")


@pytest.fixture(autouse=True)
def results_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is written outside the test's own directory."""
    path = tmp_path / "results"
    monkeypatch.setenv("TUNE_RESULT_DIR", str(path))
    return path


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """An algorithm sets the level of its process: the next test has the default again."""
    yield
    logging.getLogger("rltune").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """The one local Ray of a test session: 4 CPUs, 2 GPUs and 3 `hi`, whatever the machine has."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    ray.init("local", num_cpus=4, num_gpus=2, resources={"hi": 3}, include_dashboard=False)
    yield
    ray.shutdown()
