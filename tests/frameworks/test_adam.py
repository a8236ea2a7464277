"""The optimiser against steps worked by hand and against torch's own."""

from __future__ import annotations

import numpy as np
import pytest

from rltune.frameworks import _numpy as ops
from rltune.frameworks.adam import adam, bias_corrections, clip_by_norm, follow


def corrections(t: int) -> tuple[float, float]:
    first, second = bias_corrections(np.asarray(t))
    return float(first), float(second)


def test_two_steps_by_hand() -> None:
    theta, zero = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    # The first step is lr along the gradient's sign, however large it is: m' = g, sqrt(v') = |g|.
    theta, m, v = adam(
        ops, theta, zero, zero, np.array([3.0, -0.04, 0.0]), 0.1, 1e-12, corrections(1)
    )
    np.testing.assert_allclose(theta, [0.9, 2.1, 3.0], rtol=1e-9)
    np.testing.assert_allclose(m, [0.3, -0.004, 0.0])
    np.testing.assert_allclose(v, [0.009, 1.6e-6, 0.0])
    # Then no gradient: m' = 0.27 / 0.19, v' = 0.008991 / 0.001999, m' / sqrt(v') = 0.6700586.
    theta, m, v = adam(ops, theta, m, v, np.zeros(3), 0.1, 1e-12, corrections(2))
    np.testing.assert_allclose(theta, [0.83299414, 2.16700586, 3.0], rtol=1e-7)


def test_epsilon_is_added_after_the_bias_correction() -> None:
    """m' = 2, sqrt(v') = 2: a step of lr * 2 / (2 + 2)."""
    theta, _, _ = adam(
        ops, np.array([1.0]), np.zeros(1), np.zeros(1), np.array([2.0]), 0.1, 2.0, corrections(1)
    )
    np.testing.assert_allclose(theta, [0.95])


def test_twenty_steps_as_torch_takes_them() -> None:
    torch = pytest.importorskip("torch")
    from rltune.frameworks import _torch

    rng = np.random.default_rng(0)
    start = torch.from_numpy(rng.standard_normal(50).astype(np.float32))
    reference = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([reference], lr=0.1, eps=1e-5)
    theta, m, v = start.clone(), torch.zeros(50), torch.zeros(50)
    for t in range(1, 21):
        lr = 0.1 / t
        gradient = torch.from_numpy(rng.standard_normal(50).astype(np.float32))
        optimizer.param_groups[0]["lr"] = lr
        reference.grad = gradient.clone()
        optimizer.step()
        theta, m, v = adam(_torch.OPS, theta, m, v, gradient, lr, 1e-5, corrections(t))
        torch.testing.assert_close(theta, reference.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1.0, [0.6, 0.8]), (2.5, [1.5, 2.0]), (10.0, [3.0, 4.0]), (float("inf"), [3.0, 4.0])],
)
def test_clip_by_norm(limit: float, expected: list[float]) -> None:
    clipped, norm = clip_by_norm(ops, np.array([3.0, 4.0]), limit)
    assert norm == 5.0
    np.testing.assert_allclose(clipped, expected, rtol=1e-6)


def test_no_gradient_stays_none() -> None:
    clipped, norm = clip_by_norm(ops, np.zeros(2), 0.5)
    assert (clipped.tolist(), norm) == ([0.0, 0.0], 0.0)


@pytest.mark.parametrize(("tau", "expected"), [(0.0, [1e9, 0.1]), (1.0, [0.3, 2.0])])
def test_a_target_stays_and_is_copied_exactly(tau: float, expected: list[float]) -> None:
    assert follow(np.array([1e9, 0.1]), np.array([0.3, 2.0]), tau).tolist() == expected


def test_a_target_goes_part_of_the_way() -> None:
    np.testing.assert_allclose(follow(np.array([1.0]), np.array([3.0]), 0.25), [1.5])


def test_corrections_keep_their_digits() -> None:
    """1 - 0.9**t and sqrt(1 - 0.999**t); in single precision the second would be off by 6e-6 at t = 1."""
    first, second = bias_corrections(np.array([1, 2]))
    np.testing.assert_allclose(first, [0.1, 0.19], rtol=1e-14)
    np.testing.assert_allclose(second, [0.001**0.5, 0.001999**0.5], rtol=1e-12)
