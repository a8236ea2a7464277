"""The benchmark of CUDA graphs, without a GPU: all but the graph."""

from __future__ import annotations

import sys

import pytest

from benchmarks import gpu, records

torch = pytest.importorskip("torch")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="There is no GPU that torch sees: nothing was measured"):
        gpu.main()


SMALL = {
    "rollout_fragment_length": 8,
    "train_batch_size": 4,
    "training_intensity": 1,
    "learning_starts": 8,
    "timesteps_per_iteration": 8,
}


def test_both_sides_take_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.frameworks.recorded import recorded

    monkeypatch.setitem(gpu.CASES, "DQN", {**gpu.CASES["DQN"], **SMALL})
    record = gpu.compare("DQN", "cpu", recorded, 1)
    assert (record["algorithm"], record["minibatch"], record["steps"]) == ("DQN", 4, 2)
    assert len(record["eager"]) == len(record["graph"]) == 1
    (row,) = gpu.rows([{**record, "eager": [3.0], "graph": [1.0], "gpu": "a card"}])
    assert dict(zip(gpu.HEADER, row, strict=True))["times better"] == records.show(3.0)
