"""The operations: a closed list, and the same numbers in every binding."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rltune.frameworks import OPS, _numpy, get_ops
from rltune.frameworks.ops import Ops
from tests.bindings import ALL, gradient, ops_of, tensor

each_framework = pytest.mark.parametrize("framework", ALL)

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
    shape = {
        "rows": (7,),
        "images": (2, 6, 7, 3),
        "kernel": (4, 3, 3, 2),
        "w": (5, 2),
        "stack": (3, 4, 5),
    }.get(name, (7, 5))
    return (3 * rng.standard_normal(shape)).astype(np.float32)


CASES: dict[str, list[Case]] = {
    "matmul": [
        lambda ops, t: ops.matmul(t("x"), t("w")),
        lambda ops, t: ops.matmul(t("stack"), t("w")),
    ],
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
    "conv2d": [
        lambda ops, t, stride=stride, same=same: ops.conv2d(t("images"), t("kernel"), stride, same)
        for stride, same in ((1, False), (2, True))
    ],
}


def test_the_list_is_closed() -> None:
    """A new operation is work in every framework: this count changes with a reason."""
    assert len(OPS) == len(set(OPS)) == 25
    assert set(CASES) == set(OPS)
    declared = {name for name, _ in inspect.getmembers(Ops, inspect.isfunction)}
    assert declared - {"__init__", "_no_init_or_replace_init", "__subclasshook__"} == set(OPS)


def test_the_numpy_binding_has_nothing_else() -> None:
    public = {name for name in vars(_numpy) if not name.startswith("_")}
    assert public - {"annotations", "np", "Tensor"} == set(OPS)


@each_framework
def test_bindings_have_them_all(framework: str) -> None:
    ops = get_ops(framework)
    assert {name for name in OPS if callable(getattr(ops, name, None))} == set(OPS)


@each_framework
@pytest.mark.parametrize("name", OPS)
def test_bindings_agree(framework: str, name: str) -> None:
    for case in CASES[name]:
        expected = case(_numpy, values)
        got = case(get_ops(framework), lambda key: tensor(framework, values(key)))
        expected, got = (x if isinstance(x, list) else [x] for x in (expected, got))
        assert len(expected) == len(got)
        for e, g in zip(expected, map(np.asarray, got), strict=True):
            assert np.shape(e) == g.shape
            assert np.asarray(e).dtype == g.dtype == np.float32
            atol = 1e-6 * max(1.0, np.abs(e).max())  # sums of many products
            np.testing.assert_allclose(g, e, rtol=1e-6, atol=atol)


@pytest.mark.parametrize("binding", ["numpy", *ALL])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [((5, 6), (3, 2), 1), ((9, 8), (4, 4), 2), ((7, 7), (3, 3), 2), ((6, 5), (2, 2), 3), ((4, 4), (4, 4), 1)],
)  # fmt: skip
def test_convolutions_place_by_place(
    binding: str, same: bool, size: tuple[int, int], kernel: tuple[int, int], stride: int
) -> None:
    """Against the definition: each place is a product of the kernel with what lies below it."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (11, *size, 2)).astype(np.float32)
    w = rng.integers(-3, 4, (*kernel, 2, 3)).astype(np.float32)
    around = np.pad(x, ((0, 0), (9, 9), (9, 9), (0, 0)))
    places, zeros = [], []
    for n, k in zip(size, kernel, strict=True):
        places.append(-(-n // stride) if same else (n - k) // stride + 1)
        zeros.append(max((places[-1] - 1) * stride + k - n, 0) // 2 if same else 0)
    expected = np.empty((11, *places, 3))
    for i, j in np.ndindex(*places):
        top, left = 9 + i * stride - zeros[0], 9 + j * stride - zeros[1]
        below = around[:, top : top + kernel[0], left : left + kernel[1]]
        expected[:, i, j] = np.einsum("bhwc,hwco->bo", below, w)
    got = ops_of(binding).conv2d(tensor(binding, x), tensor(binding, w), stride, same)
    np.testing.assert_array_equal(np.asarray(got), expected)


def test_a_masked_mean_ignores_the_rest() -> None:
    assert _numpy.mean(np.array([1.0, 100.0, 3.0]), np.array([1.0, 0.0, 1.0])) == 2.0


SMOOTH = ("x", "y", "positive", "rows", "images", "kernel", "w", "stack")
"""Tensors that a gradient is taken with respect to."""


@each_framework
@pytest.mark.parametrize("name", sorted(set(OPS) - {"one_hot", "cast_float", "stop_gradient"}))
def test_gradients_are_the_slopes(framework: str, name: str) -> None:
    """Against central differences in numpy, in double precision, of a weighted sum of the results."""
    rng = np.random.default_rng(0)
    for case in CASES[name]:
        outputs = case(_numpy, values)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        weights = [rng.standard_normal(np.shape(o)).astype(np.float32) for o in outputs]

        def total(ops: Any, make: Any, case: Case = case, weights: Any = weights) -> Any:
            results = case(ops, make)
            results = results if isinstance(results, list) else [results]
            return sum(
                ops.sum(result * make(weight))
                for result, weight in zip(results, weights, strict=True)
            )

        for key in SMOOTH:

            def at(x: Any, make: Any, ops: Any, key: str = key, total: Any = total) -> Any:
                def pick(what: Any) -> Any:
                    return x if isinstance(what, str) and what == key else make(what)

                return total(ops, pick)

            def numpy_at(x: np.ndarray, at: Any = at) -> float:
                return float(at(x, lambda w: values(w) if isinstance(w, str) else w, _numpy))

            expected = slopes(numpy_at, values(key).astype(np.float64))

            def framework_at(x: Any, at: Any = at) -> Any:
                return at(
                    x,
                    lambda w: tensor(framework, values(w) if isinstance(w, str) else w),
                    get_ops(framework),
                )

            if not expected.any():
                continue
            got = gradient(framework, framework_at, values(key))
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def slopes(function: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Central differences of `function` at `x`."""
    result, h = np.zeros_like(x), 1e-5
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        result[i] = (function(up) - function(down)) / (2 * h)
    return result


@each_framework
def test_no_gradient_goes_through_stop_gradient(framework: str) -> None:
    ops = get_ops(framework)
    x = np.array([2.0], np.float32)
    slope = gradient(framework, lambda x: ops.sum(x * ops.stop_gradient(x)), x)
    assert slope.tolist() == [2.0]


@each_framework
def test_a_clipped_value_has_no_gradient(framework: str) -> None:
    ops = get_ops(framework)
    x = np.array([0.5, 2.0, 3.0], np.float32)
    total = gradient(framework, lambda x: ops.sum(ops.minimum(ops.clip(x, 0.0, 2.5), 1.0)), x)
    assert total.tolist() == [1.0, 0.0, 0.0]


@each_framework
def test_relu_is_flat_at_zero(framework: str) -> None:
    ops = get_ops(framework)
    x = np.array([-1.0, 0.0, 2.0], np.float32)
    assert gradient(framework, lambda x: ops.sum(ops.relu(x)), x).tolist() == [0.0, 0.0, 1.0]
