"""Objects pinned in Ray's store: T12.1."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltune import tune
from rltune.tune.util import get_pinned_object, pin_in_object_store

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray
ROOT = str(Path(__file__).resolve().parents[2])


@pytest.fixture
def session() -> Iterator[None]:
    """The Ray session of the process, or one for this test."""
    if ray.is_initialized():
        yield
        return
    environment = {"env_vars": {"PYTHONPATH": ROOT}}
    ray.init("local", num_cpus=1, object_store_memory=200_000_000, runtime_env=environment)
    yield
    ray.shutdown()


def test_t12_1_pinned_objects_are_read_anywhere_and_stay(session: None) -> None:
    text = pin_in_object_store("hello")
    array = pin_in_object_store(np.ones(5_000_000))
    assert type(text) is str and text.startswith("ray.tune.PinnedObject:")

    @ray.remote
    def read(pinned_id: str) -> tuple[Any, bool]:
        value = get_pinned_object(pinned_id)
        return (value, False) if isinstance(value, str) else (value.sum(), value.flags.writeable)

    gc.collect()
    for _ in range(8):
        ray.put(np.zeros(5_000_000))
    assert get_pinned_object(text) == "hello"
    assert ray.get(read.remote(text)) == ("hello", False)
    assert ray.get([read.remote(array), read.remote(array)]) == [(5e6, False)] * 2


def test_t12_1_trials_share_a_large_array_without_a_copy(session: None) -> None:
    """80 MB, in a closure of two trials, with the store filled since."""
    pinned_id = pin_in_object_store(np.ones(10_000_000))

    def read(config: dict[str, Any], reporter: Any) -> None:
        array = get_pinned_object(pinned_id)
        reporter(total=array.sum(), own=array.flags.owndata, writeable=array.flags.writeable)

    gc.collect()
    for _ in range(4):
        ray.put(np.zeros(5_000_000))
    for trial in tune.run(read, num_samples=2, verbose=0):
        result = trial.last_result
        assert (result["total"], result["own"], result["writeable"]) == (1e7, False, False)
