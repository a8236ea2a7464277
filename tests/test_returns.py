"""Returns and advantages against numbers worked by hand and a loop over single trajectories."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rltune.returns import (
    discounted_returns,
    explained_variance,
    gae,
    next_values,
    standardized,
)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def flags(*values: int) -> np.ndarray:
    return np.array(values, bool)[:, None]


# One environment, five steps. A termination after step 1, a truncation after step 3 whose last
# observation is worth 8, then a step that the fragment's end cuts off, with 6 to come.
REWARDS = column(1, 2, 3, 4, 5)
VALUES = column(10, 20, 30, 40, 50)
TERMINATEDS = flags(0, 1, 0, 0, 0)
ENDS = flags(0, 1, 0, 1, 0)
BOOTSTRAP = column(99, 99, 99, 8, 6)
FOLLOWING = column(20, 0, 40, 8, 6)


def test_next_values() -> None:
    got = next_values(VALUES, BOOTSTRAP, ENDS, TERMINATEDS)
    np.testing.assert_array_equal(got, FOLLOWING)
    assert got.dtype == np.float32


def test_a_termination_in_the_last_row_is_worth_nothing() -> None:
    got = next_values(column(1, 2), column(0, 7), flags(0, 1), flags(0, 1))
    np.testing.assert_array_equal(got, column(2, 0))


def test_discounted_returns_by_hand() -> None:
    # 5 + 0.5*6 = 8; 4 + 0.5*8 = 8; 3 + 0.5*8 = 7; 2; 1 + 0.5*2 = 2
    got = discounted_returns(REWARDS, ENDS, FOLLOWING, 0.5)
    np.testing.assert_array_equal(got, column(2, 2, 7, 8, 8))
    assert got.dtype == np.float32


@pytest.mark.parametrize(
    ("lambda_", "expected"),
    [
        # deltas at gamma 0.5: 1+10-10, 2+0-20, 3+20-30, 4+4-40, 5+3-50
        (0.0, (1, -18, -7, -32, -42)),
        # 1 + 0.475 * -18 = -7.55; -7 + 0.475 * -32 = -22.2; nothing crosses an end
        (0.95, (-7.55, -18, -22.2, -32, -42)),
        # returns minus values
        (1.0, (2 - 10, 2 - 20, 7 - 30, 8 - 40, 8 - 50)),
    ],
)
def test_gae_by_hand(lambda_: float, expected: tuple[float, ...]) -> None:
    got = gae(REWARDS, VALUES, FOLLOWING, ENDS, 0.5, lambda_)
    np.testing.assert_allclose(got, column(*expected), rtol=1e-6)
    assert got.dtype == np.float32


def test_environments_are_independent() -> None:
    """Side by side with one whose episode goes on, each gets what it gets alone."""
    values, never = column(1, 1, 2, 3, 5), flags(0, 0, 0, 0, 0)
    following = next_values(values, column(0, 0, 0, 0, 2), never, never)
    other = column(5, 4, 3, 2, 1), values, following, never
    alone = gae(*other, 0.9, 0.8)
    mine = REWARDS, VALUES, FOLLOWING, ENDS
    r, v, f, e = (np.hstack(pair) for pair in zip(mine, other, strict=True))
    both = gae(r, v, f, e, 0.9, 0.8)
    np.testing.assert_array_equal(both[:, 1:], alone)
    np.testing.assert_array_equal(both[:, :1], gae(REWARDS, VALUES, FOLLOWING, ENDS, 0.9, 0.8))


@pytest.mark.parametrize("lambda_", [0.0, 0.95, 1.0])
def test_perfect_values_leave_no_advantage(lambda_: float) -> None:
    """A reward of 1 for ever is worth 1 / (1 - gamma): a limit that bootstraps surprises no one."""
    gamma, steps = 0.9, 6
    values = np.full((steps, 2), 1 / (1 - gamma), np.float32)
    rewards, never = np.ones((steps, 2), np.float32), np.zeros((steps, 2), bool)
    truncated = never.copy()
    truncated[2, 0] = True  # one meets its limit on the way, both are cut by the fragment's end
    following = next_values(values, values, truncated, never)
    got = gae(rewards, values, following, truncated, gamma, lambda_)
    np.testing.assert_allclose(got, 0, atol=1e-5)


def test_where_a_termination_surprises() -> None:
    """The same values, but the episode terminates: at lambda 1, A[t] is the finite sum minus V."""
    gamma, steps = 0.9, 5
    values = np.full((steps, 1), 1 / (1 - gamma), np.float32)
    ends = flags(0, 0, 0, 0, 1)
    following = next_values(values, values, ends, ends)
    got = gae(np.ones((steps, 1), np.float32), values, following, ends, gamma, 1.0)
    left = steps - np.arange(steps)
    np.testing.assert_allclose(
        got[:, 0], (1 - gamma**left) / (1 - gamma) - 1 / (1 - gamma), rtol=1e-5
    )


class Fragment(NamedTuple):
    rewards: np.ndarray
    values: np.ndarray
    bootstrap: np.ndarray
    terminateds: np.ndarray
    truncateds: np.ndarray


@st.composite
def fragments(draw: st.DrawFn) -> Fragment:
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 3)))
    numbers = arrays.arrays(np.float32, shape, elements=st.floats(-10, 10, width=32))
    bools = arrays.arrays(bool, shape)
    terminateds = draw(bools)
    drawn = (draw(numbers), draw(numbers), draw(numbers))
    return Fragment(*drawn, terminateds, draw(bools) & ~terminateds)


def one_trajectory(
    f: Fragment, env: int, start: int, stop: int, gamma: float, lambda_: float
) -> list[float]:
    """Advantages of steps start..stop-1 of one episode, each the sum that defines it (eq. 16)."""
    last_value = 0.0 if f.terminateds[stop - 1, env] else float(f.bootstrap[stop - 1, env])
    rewards = [float(r) for r in f.rewards[start:stop, env]]
    values = [*(float(v) for v in f.values[start:stop, env]), last_value]
    deltas = [
        r + gamma * after - v for r, v, after in zip(rewards, values, values[1:], strict=False)
    ]
    steps = range(len(deltas))
    return [sum((gamma * lambda_) ** (k - t) * deltas[k] for k in steps if k >= t) for t in steps]


@given(fragment=fragments(), gamma=st.floats(0, 1), lambda_=st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_gae_is_that_of_each_trajectory(fragment: Fragment, gamma: float, lambda_: float) -> None:
    ends = fragment.terminateds | fragment.truncateds
    following = next_values(fragment.values, fragment.bootstrap, ends, fragment.terminateds)
    got = gae(fragment.rewards, fragment.values, following, ends, gamma, lambda_)
    returns = discounted_returns(fragment.rewards, ends, following, gamma)
    for env in range(ends.shape[1]):
        cuts = [0, *(np.flatnonzero(ends[:-1, env]) + 1), len(ends)]
        expected, complete = (
            [
                advantage
                for start, stop in zip(cuts, cuts[1:], strict=False)
                for advantage in one_trajectory(fragment, env, start, stop, gamma, x)
            ]
            for x in (lambda_, 1.0)
        )
        np.testing.assert_allclose(got[:, env], expected, rtol=1e-4, atol=1e-3)
        # lambda 1: advantages are returns minus values
        np.testing.assert_allclose(
            returns[:, env] - fragment.values[:, env], complete, rtol=1e-4, atol=1e-3
        )


def test_explained_variance() -> None:
    targets = np.array([1.0, 2.0, 3.0, 6.0], np.float32)
    assert explained_variance(targets, targets) == 1.0
    assert explained_variance(targets + 5, targets) == pytest.approx(1.0)
    assert explained_variance(np.zeros(4, np.float32), targets) == pytest.approx(0.0)
    assert explained_variance(-targets, targets) == pytest.approx(1 - 4.0)
    assert explained_variance(targets, np.ones(4, np.float32)) is None


def test_standardized() -> None:
    got = standardized(np.array([1, 2, 3, 6], np.float32))
    np.testing.assert_allclose(got, [-2 / 3.5**0.5, -1 / 3.5**0.5, 0, 3 / 3.5**0.5], rtol=1e-6)
    np.testing.assert_array_equal(standardized(np.full(3, 5, np.float32)), np.zeros(3))
