"""A captured step against the eager loop. Without a GPU, recorded operations stand in for the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agents import ALGORITHMS
from rltune.frameworks import UpdaterSettings
from rltune.sample_batch import minibatch_index
from tests.conformance import make

torch: Any = pytest.importorskip("torch")

from rltune.frameworks._torch import GraphUpdater, TorchUpdater  # noqa: E402
from rltune.frameworks._torch_graph import cuda_graph  # noqa: E402
from tests.frameworks.recorded import recorded  # noqa: E402

WAYS = [
    pytest.param("cpu", recorded, id="recorded"),
    pytest.param(
        "cuda",
        cuda_graph,
        id="cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
        ],
    ),
]
ways = pytest.mark.parametrize(("device", "capture"), WAYS)


def pair(name: str, device: str, capture: Any) -> tuple[Any, Any, Callable[[int, float], Any]]:
    """The eager and the captured updater of one algorithm in one state, and a maker of calls on a batch of its own."""
    algorithm = make(name, framework="torch")
    calls: list[Any] = []
    update = algorithm.learner.update

    def keep(batch: Any, index: Any, coeffs: Any) -> Any:
        calls.append((batch, coeffs))
        return update(batch, index, coeffs)

    algorithm.learner.update = keep  # type: ignore[method-assign]
    algorithm.train()
    batch, coeffs = calls[0]
    former: Any = algorithm.learner._updater
    settings = UpdaterSettings(
        former._settings.spec, algorithm.loss, algorithm.off_policy, device, 1
    )
    eager, graph = TorchUpdater(settings), GraphUpdater(settings, capture)
    for updater in (eager, graph):
        updater.set_state(former.get_state())
    rng = np.random.default_rng(0)

    def call(steps: int, scale: float) -> Any:
        width = len(batch["obs"]) // 3 + 1  # the last minibatch of an epoch is short
        index = minibatch_index(rng, len(batch["obs"]), width, -(-steps // 3))[:steps]
        tau = np.where(np.arange(len(index)) % 3 == 1, 0.5 * scale, 0.0)
        scaled = {key: value * scale for key, value in coeffs.items()}
        return batch, index, {**scaled, "target_tau": tau}

    return eager, graph, call


@ways
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_it_gives_what_the_eager_loop_gives(name: str, device: str, capture: Any) -> None:
    """Over calls of different length, each with coefficients of its own; one capture serves them all."""
    eager, graph, call = pair(name, device, capture)
    for steps, scale in ((6, 1.0), (11, 1.3), (3, 0.7)):
        batch, index, coeffs = call(steps, scale)
        stats, rows = eager.update(batch, index, coeffs)
        graph_stats, graph_rows = graph.update(batch, index, coeffs)
        assert stats.keys() == graph_stats.keys() and rows.keys() == graph_rows.keys()
        for key in stats:
            np.testing.assert_allclose(graph_stats[key], stats[key], rtol=1e-3, atol=1e-4)
        for key in rows:
            np.testing.assert_allclose(graph_rows[key], rows[key], rtol=1e-3, atol=1e-4)
    assert graph.traces == 1
    one, other = eager.get_state(), graph.get_state()
    assert one.keys() == other.keys() and one["t"] == other["t"]
    for part in one.keys() - {"t"}:
        scale = np.abs(one[part]).max()
        assert scale > 0
        np.testing.assert_allclose(other[part], one[part], rtol=0, atol=1e-4 * scale)


@ways
def test_a_state_that_is_set_is_what_the_next_replay_reads(device: str, capture: Any) -> None:
    eager, graph, call = pair("DQN", device, capture)
    start = graph.get_state()
    arguments = call(6, 1.0)
    first, _ = graph.update(*arguments)
    graph.set_state(start)
    np.testing.assert_array_equal(graph.get_theta(), start["theta"])
    again, _ = graph.update(*arguments)
    for key in first:
        np.testing.assert_array_equal(again[key], first[key])
    assert graph.traces == 1


@ways
def test_other_shapes_are_captured_once_each(device: str, capture: Any) -> None:
    eager, graph, call = pair("PPO", device, capture)
    for steps in (6, 40, 6, 40, 17, 33):  # tables of 16, 64 and 32 rows
        arguments = call(steps, 1.0)
        stats, _ = eager.update(*arguments)
        graph_stats, _ = graph.update(*arguments)
        np.testing.assert_allclose(
            graph_stats["total_loss"], stats["total_loss"], rtol=1e-2, atol=1e-3
        )
    assert graph.traces == 3


def test_what_stands_in_sees_tensors_only() -> None:
    """Numbers are what they were when it was recorded, and nothing may wait for a result: as in a graph."""
    total, factor = torch.zeros(1), torch.ones(1)
    number = 1.0

    def step() -> None:
        total.add_(factor * number)

    replay = recorded(step)
    total.zero_()
    factor.fill_(3.0)
    number = 100.0
    replay()
    assert total.tolist() == [3.0]
    with pytest.raises(AssertionError, match="_local_scalar_dense cannot be captured"):
        recorded(lambda: total.add_(factor.item()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_an_algorithm_trains_on_a_gpu(name: str) -> None:
    algorithm = make(name, num_gpus=1)
    result = algorithm.train()
    assert (result["framework"], result["device"]) == ("torch", "cuda")
    updater: Any = algorithm.learner._updater
    assert isinstance(updater, GraphUpdater) and updater.traces >= 1
