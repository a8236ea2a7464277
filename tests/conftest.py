"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
import random
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# The same examples in every run; `--hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("same_examples", derandomize=True)
hypothesis.settings.load_profile("same_examples")


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
def same_draws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test draws the same numbers in every run, seeds of runs that were given none among them."""
    seed = zlib.crc32(request.node.name.encode())
    random.seed(seed)
    np.random.seed(seed)
    monkeypatch.setattr(secrets, "randbits", random.Random(seed).getrandbits)


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
