"""The operations: a closed list, and the same numbers in every binding."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rltune.frameworks import OPS, _numpy
from rltune.frameworks.ops import Ops

torch = pytest.importorskip("torch")
from rltune.frameworks import _torch  # noqa: E402

Case = Callable[[Any, Any], Any]
"""(ops, make) -> result; `make(name)` is a tensor of the framework, see `values`."""


def values(name: str) -> np.ndarray:
    rng = np.random.default_rng(sum(map(ord, name)))
    if name == "index":
        return rng.integers(0, 5, 7)
    if name == "mask":
        return np.array([1, 0, 1, 1, 0, 0, 1], np.float32)
    if name == "positive":
        return (rng.random((7, 5)) + 0.1).astype(np.float32)
    if name == "bools":
        return rng.random((7, 5)) < 0.5
    shape = (7,) if name == "rows" else (7, 5)
    return (3 * rng.standard_normal(shape)).astype(np.float32)


CASES: dict[str, list[Case]] = {
    "exp": [lambda ops, t: ops.exp(t("x"))],
    "log": [lambda ops, t: ops.log(t("positive"))],
    "tanh": [lambda ops, t: ops.tanh(t("x"))],
    "relu": [lambda ops, t: ops.relu(t("x"))],
    "sqrt": [lambda ops, t: ops.sqrt(t("positive"))],
    "square": [lambda ops, t: ops.square(t("x"))],
    "abs": [lambda ops, t: ops.abs(t("x"))],
    "minimum": [
        lambda ops, t: ops.minimum(t("x"), t("y")),
        lambda ops, t: ops.minimum(t("x"), 0.5),
        lambda ops, t: ops.minimum(t("x"), float("inf")),
    ],
    "maximum": [
        lambda ops, t: ops.maximum(t("x"), t("y")),
        lambda ops, t: ops.maximum(t("x"), 0.5),
    ],
    "clip": [lambda ops, t: ops.clip(t("x"), -0.5, 1.0)],
    "where": [
        lambda ops, t: ops.where(t("bools"), t("x"), t("y")),
        lambda ops, t: ops.where(t("x") < 1.0, t("x"), t("y") - 0.5),
    ],
    "sum": [
        lambda ops, t: ops.sum(t("x")),
        lambda ops, t: ops.sum(t("x"), -1),
        lambda ops, t: ops.sum(t("x"), 0),
    ],
    "mean": [
        lambda ops, t: ops.mean(t("rows")),
        lambda ops, t: ops.mean(t("rows"), None),
        lambda ops, t: ops.mean(t("rows"), t("mask")),
    ],
    "max": [lambda ops, t: ops.max(t("x"))],
    "log_softmax": [
        lambda ops, t: ops.log_softmax(t("x")),
        lambda ops, t: ops.log_softmax(t("x") * 1e4),
    ],
    "softplus": [lambda ops, t: ops.softplus(t("x") * 20)],
    "gather": [lambda ops, t: ops.gather(t("x"), t("index"))],
    "one_hot": [lambda ops, t: ops.one_hot(t("index"), 5)],
    "stop_gradient": [lambda ops, t: ops.stop_gradient(t("x"))],
    "concat": [lambda ops, t: ops.concat([t("x"), t("y"), t("x")])],
    "reshape": [lambda ops, t: ops.reshape(t("x"), (5, 7))],
    "split": [lambda ops, t: ops.split(t("x"), [1, 3, 1])],
    "cast_float": [
        lambda ops, t: ops.cast_float(t("bools")),
        lambda ops, t: ops.cast_float(t("index")),
    ],
}


def test_the_list_is_closed() -> None:
    """A new operation is work in every framework: this count changes with a reason."""
    assert len(OPS) == len(set(OPS)) == 23
    assert set(CASES) == set(OPS)
    declared = {name for name, _ in inspect.getmembers(Ops, inspect.isfunction)}
    assert declared - {"__init__", "_no_init_or_replace_init", "__subclasshook__"} == set(OPS)


def test_bindings_have_them_all() -> None:
    public = {name for name in vars(_numpy) if not name.startswith("_")}
    assert public - {"annotations", "np", "Tensor"} == set(OPS)
    assert {name for name in OPS if callable(getattr(_torch.OPS, name, None))} == set(OPS)


@pytest.mark.parametrize("name", OPS)
def test_bindings_agree(name: str) -> None:
    for case in CASES[name]:
        expected = case(_numpy, values)
        got = case(_torch.OPS, lambda key: torch.from_numpy(values(key)))
        expected, got = (x if isinstance(x, list) else [x] for x in (expected, got))
        assert len(expected) == len(got)
        for e, g in zip(expected, got, strict=True):
            assert np.shape(e) == tuple(g.shape)
            assert np.asarray(e).dtype == g.numpy().dtype == np.float32
            np.testing.assert_allclose(g.numpy(), e, rtol=1e-6, atol=1e-6)


def test_a_masked_mean_ignores_the_rest() -> None:
    assert _numpy.mean(np.array([1.0, 100.0, 3.0]), np.array([1.0, 0.0, 1.0])) == 2.0


def test_no_gradient_goes_through_stop_gradient() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    (gradient,) = torch.autograd.grad((x * _torch.OPS.stop_gradient(x)).sum(), x)
    assert gradient.tolist() == [2.0]


def test_a_clipped_value_has_no_gradient() -> None:
    x = torch.tensor([0.5, 2.0, 3.0], requires_grad=True)
    total = _torch.OPS.sum(_torch.OPS.minimum(_torch.OPS.clip(x, 0.0, 2.5), 1.0))
    (gradient,) = torch.autograd.grad(total, x)
    assert gradient.tolist() == [1.0, 0.0, 0.0]
