"""All steps of an update in one call, on a linear regression, in every framework that is installed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from rltune.frameworks import ParamSpec, Updater, UpdaterSettings, make_updater
from tests.bindings import ALL, INSTALLED

GRAPH = pytest.param(
    "torch graph", marks=pytest.mark.skipif("torch" not in INSTALLED, reason="no torch here")
)
"""Torch as on a GPU, with operations recorded and run again in the place of a CUDA graph."""

pytestmark = pytest.mark.parametrize("framework", [*ALL, GRAPH])

PARAMS = {"w": np.array([[1.0], [-2.0]], np.float32), "b": np.array([0.5], np.float32)}
SPEC = ParamSpec.of(PARAMS)
THETA = SPEC.pack(PARAMS)
COEFFS = {"lr": 0.1, "grad_clip": float("inf"), "adam_epsilon": 1e-8}


def squares(ops: Any, params: Any, batch: Any, coeffs: Any, target: Any = None) -> Any:
    """Squared errors; with a target, also how far its predictions are from the parameters' own."""
    guess = (batch["x"] @ params["w"] + params["b"])[..., 0]
    error = guess - batch["y"]
    loss = ops.mean(ops.square(error), batch.get("mask"))
    stats = {"loss": loss, "coeff": loss * 0.0 + coeffs.get("extra", 0.0)}
    if target is not None:
        stats["target_w"] = ops.sum(target["w"])
    return loss, stats, {"error": error, "x0": batch["x"][..., 0]}


def made_by(framework: str, settings: UpdaterSettings) -> Updater:
    if framework != "torch graph":
        return make_updater(framework, settings)
    from rltune.frameworks._torch import GraphUpdater
    from tests.frameworks.recorded import recorded

    return GraphUpdater(settings, recorded)


def updater(framework: str, loss: Any = squares, **settings: Any) -> Updater:
    made = made_by(framework, UpdaterSettings(SPEC, loss, **settings))
    zeros = np.zeros_like(THETA)
    made.set_state({"theta": THETA, "m": zeros, "v": zeros, "t": np.asarray(0), "target": THETA})
    return made


def batch(rows: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((rows, 2)).astype(np.float32)
    return {"x": x, "y": (x @ [2.0, 1.0]).astype(np.float32)}


def index(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.int32)


def same_state(one: Updater, other: Updater) -> bool:
    a, b = one.get_state(), other.get_state()
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def test_one_step_by_hand(framework: str) -> None:
    """x = (1, 2), y = 0: guess 1 - 4 + 0.5 = -2.5, gradient -5 * (1, 2, 1)."""
    made = updater(framework)
    data = {"x": np.array([[1.0, 2.0]]), "y": np.array([0.0])}
    stats, rows = made.update(data, index([0]), COEFFS)
    assert stats["loss"].tolist() == [6.25]
    assert rows["error"].tolist() == [[-2.5]]
    np.testing.assert_allclose(stats["grad_gnorm"], [150**0.5], rtol=1e-6)
    state = made.get_state()
    np.testing.assert_allclose(state["theta"], [1.1, -1.9, 0.6], rtol=1e-6)
    np.testing.assert_allclose(state["m"], [-0.5, -1.0, -0.5], rtol=1e-6)
    assert int(state["t"]) == 1


def test_the_gradient_is_clipped(framework: str) -> None:
    made = updater(framework)
    data = {"x": np.array([[1.0, 2.0]]), "y": np.array([0.0])}
    stats, _ = made.update(data, index([0]), {**COEFFS, "grad_clip": 150**0.5 / 10})
    np.testing.assert_allclose(stats["grad_gnorm"], [150**0.5], rtol=1e-6)  # before clipping
    np.testing.assert_allclose(made.get_state()["m"], [-0.05, -0.1, -0.05], rtol=1e-5)


def test_steps_in_one_call_are_steps_in_many(framework: str) -> None:
    together, apart = updater(framework), updater(framework)
    order = index([0, 1], [2, 3], [4, 5], [1, 0])
    stats, rows = together.update(batch(), order, COEFFS)
    for step, minibatch in enumerate(order):
        step_stats, step_rows = apart.update(batch(), minibatch[None], COEFFS)
        assert stats["loss"][step] == step_stats["loss"][0]
        np.testing.assert_array_equal(rows["error"][step], step_rows["error"][0])
    assert same_state(together, apart)


def test_padding_rows_are_ignored_and_come_back_as_nan(framework: str) -> None:
    padded, short = updater(framework), updater(framework)
    data = batch()
    stats, rows = padded.update(data, index([4, 2, 0, 1], [5, -1, 3, -1]), COEFFS)
    short.update(data, index([4, 2, 0, 1]), COEFFS)
    alone, _ = short.update(data, index([5, 3]), COEFFS)
    assert same_state(padded, short)
    assert stats["loss"].shape == (2,)
    assert stats["loss"][1] == alone["loss"][0]
    x0 = data["x"][:, 0]
    nan = np.float32("nan")
    np.testing.assert_array_equal(
        rows["x0"], [[x0[4], x0[2], x0[0], x0[1]], [x0[5], nan, x0[3], nan]]
    )


def test_coefficients_may_differ_per_step(framework: str) -> None:
    made, twin = updater(framework), updater(framework)
    rates = np.array([0.1, 0.0, 0.3])
    order = index([0, 1], [2, 3], [4, 5])
    stats, _ = made.update(batch(), order, {**COEFFS, "lr": rates, "extra": np.arange(3.0)})
    assert stats["coeff"].tolist() == [0.0, 1.0, 2.0]
    before = THETA
    for rate, minibatch in zip(rates, order, strict=True):
        twin.update(batch(), minibatch[None], {**COEFFS, "lr": float(rate)})
        assert np.array_equal(twin.get_state()["theta"], before) == (rate == 0)
        before = twin.get_state()["theta"]
    assert same_state(made, twin)


def test_how_far_the_target_follows(framework: str) -> None:
    made = updater(framework, has_target=True)
    taus = np.array([0.0, 1.0, 0.5])
    stats, _ = made.update(
        batch(), index([0, 1], [2, 3], [4, 5]), {**COEFFS, "target_tau": taus, "lr": 0.7}
    )
    twin = updater(framework, has_target=True)
    steps = []
    for minibatch in index([0, 1], [2, 3], [4, 5]):
        twin.update(batch(), minibatch[None], {**COEFFS, "target_tau": 0.0, "lr": 0.7})
        steps.append(twin.get_state()["theta"])
        np.testing.assert_array_equal(twin.get_state()["target"], THETA)  # 0 leaves it
    # The loss sees the target as it was before the step: 1 copies exactly, 0.5 goes half the way.
    w = [THETA[:2], THETA[:2], steps[1][:2]]
    np.testing.assert_array_equal(stats["target_w"], [np.sum(part) for part in w])
    np.testing.assert_allclose(made.get_state()["target"], (steps[1] + steps[2]) / 2, rtol=1e-6)


def test_tau_1_copies_exactly(framework: str) -> None:
    made = updater(framework, has_target=True)
    far = {**made.get_state(), "target": THETA * 1e6 + 0.1}
    made.set_state(far)
    made.update(batch(), index([0, 1]), {**COEFFS, "target_tau": 1.0})
    state = made.get_state()
    np.testing.assert_array_equal(state["target"], state["theta"])


@pytest.mark.parametrize("has_target", [False, True])
def test_state_moves_exactly(framework: str, has_target: bool) -> None:
    coeffs = {**COEFFS, "target_tau": 0.3}
    made, other = (
        updater(framework, has_target=has_target),
        updater(framework, has_target=has_target),
    )
    made.update(batch(), index([0, 1], [2, 3]), coeffs)
    state = made.get_state()
    assert set(state) == {"theta", "m", "v", "t"} | ({"target"} if has_target else set())
    other.set_state(state)
    kept = {key: value.copy() for key, value in state.items()}
    for either in (made, other):
        either.update(batch(), index([4, 5], [1, 0]), coeffs)
    assert same_state(made, other)
    for key in kept:  # what was handed out is a copy
        np.testing.assert_array_equal(state[key], kept[key])


def test_memory_that_frameworks_do_not_take_as_it_is(framework: str) -> None:
    """Read-only arrays come from Ray's store, reversed ones from slicing."""
    data = batch()
    for column in data.values():
        column.flags.writeable = False
    backwards = {name: np.ascontiguousarray(column[::-1])[::-1] for name, column in data.items()}
    made, other = updater(framework), updater(framework)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.update(data, index([0, 1]), COEFFS)
        other.update(backwards, index([0, 1]), COEFFS)
    assert same_state(made, other)


def test_one_cast_at_the_door(framework: str) -> None:
    seen = {}

    def loss(ops: Any, params: Any, batch: Any, coeffs: Any) -> Any:
        seen.update({name: str(column.dtype) for name, column in batch.items()})  # torch.float32
        total = ops.sum(params["w"])
        return total, {"loss": total}, {"shape": ops.sum(batch["cube"], -1)[:, 0]}

    data: dict[str, np.ndarray] = {
        "image": np.zeros((2, 3), np.uint8),
        "action": np.zeros(2, np.int32),
        "double": np.zeros(2),
        "flag": np.zeros(2, bool),
        "cube": np.arange(12).reshape(2, 3, 2),
    }
    _, rows = updater(framework, loss).update(data, index([1, 0]), COEFFS)
    assert rows["shape"].tolist() == [[13.0, 1.0]]
    kinds = {
        name: kind.removeprefix("torch.").removeprefix("<dtype: '").removesuffix("'>")
        for name, kind in seen.items()
    }
    whole = {"int64" if framework.startswith("torch") else "int32"}
    assert {kinds.pop("action"), kinds.pop("cube")} == whole
    kinds.pop("mask", None)
    assert kinds == {"image": "uint8", "double": "float32", "flag": "float32"}


def test_a_mask_column_restricts_the_means(framework: str) -> None:
    made, other = updater(framework), updater(framework)
    mask = np.array([1, 0, 1, 0, 0, 1], np.float32)
    made.update({**batch(), "mask": mask}, index([0, 1, 2, 3, 4, 5]), COEFFS)
    other.update(batch(), index([0, 2, 5]), COEFFS)
    np.testing.assert_allclose(made.get_state()["theta"], other.get_state()["theta"], rtol=1e-6)


SHAPES = [(6, 1, 4), (6, 3, 4), (60, 20, 4), (37, 16, 4), (6, 1, 3)]


@pytest.mark.parametrize(("rows", "steps", "width"), SHAPES)
def test_shapes_change_nothing(framework: str, rows: int, steps: int, width: int) -> None:
    """One call of any shape is as many steps of its minibatches alone."""
    together, apart = updater(framework), updater(framework)
    order = np.random.default_rng(0).integers(-1, rows, (steps, width)).astype(np.int32)
    order[:, 0] = np.maximum(order[:, 0], 0)
    stats, outputs = together.update(batch(rows), order, COEFFS)
    for step, minibatch in enumerate(order):
        kept = minibatch[minibatch >= 0]
        alone, alone_rows = apart.update(batch(rows), kept[None], COEFFS)
        np.testing.assert_allclose(stats["loss"][step], alone["loss"][0], rtol=1e-5)
        got = outputs["error"][step][minibatch >= 0]
        np.testing.assert_allclose(got, alone_rows["error"][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together.get_theta(), apart.get_theta(), rtol=1e-4, atol=1e-5)
