import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltune.replay import sum_tree
from rltune.replay.sum_tree import PriorityTree

# Small top levels, so that trees of a few leaves have both the levels below and the pass over the top.
TOP = [1, 4, 4096]


@st.composite
def writes(draw: st.DrawFn) -> tuple[int, list[tuple[list[int], list[int]]]]:
    capacity = draw(st.integers(1, 40))
    pairs = st.lists(st.tuples(st.integers(0, capacity - 1), st.integers(0, 9)), max_size=60)
    batches = draw(st.lists(pairs, max_size=5))
    return capacity, [([i for i, _ in b], [v for _, v in b]) for b in batches]


@pytest.mark.parametrize("top", TOP)
@settings(deadline=None)
@given(case=writes())
def test_a_tree_agrees_with_a_plain_array(
    top: int, case: tuple[int, list[tuple[list[int], list[int]]]]
):
    capacity, batches = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sum_tree, "TOP", top)
        tree = PriorityTree(capacity)
    plain = np.zeros(capacity)
    for indices, values in batches:
        where = np.array(indices, np.int64)
        tree.set(where, np.array(values, np.float64))
        assert where.tolist() == indices
        for i, value in zip(indices, values, strict=True):  # of equal indices the last wins
            plain[i] = value
        np.testing.assert_array_equal(tree.leaves, plain)
        assert tree.total == plain.sum()
        assert tree.least == min(plain[plain > 0.0], default=np.inf)


@pytest.mark.parametrize("top", TOP)
def test_find_returns_the_leaf_in_which_the_prefix_falls(top, monkeypatch):
    monkeypatch.setattr(sum_tree, "TOP", top)
    rng = np.random.default_rng(0)
    for capacity in (1, 2, 7, 33, 64):
        leaves = rng.integers(0, 4, size=capacity).astype(np.float64)
        leaves[rng.integers(capacity)] = 5.0
        tree = PriorityTree(capacity)
        tree.set(np.arange(capacity), leaves)
        prefixes = np.arange(0.0, leaves.sum(), 0.5)
        expected = np.searchsorted(np.cumsum(leaves), prefixes, side="right")
        np.testing.assert_array_equal(tree.find(prefixes), expected)


@pytest.mark.parametrize("top", TOP)
@settings(deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 1e-12, 0.1, 0.3, 1.0, 1e8]), min_size=1, max_size=70),
    fraction=st.floats(0.0, 1.0),
)
def test_find_never_returns_a_leaf_of_zero(top, values, fraction):
    if not any(values):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sum_tree, "TOP", top)
        tree = PriorityTree(len(values))
        tree.set(np.arange(len(values)), np.array(values))
        # The last number below the total and the total itself are where rounding shows.
        prefixes = np.array([0.0, fraction * tree.total, np.nextafter(tree.total, 0), tree.total])
        found = tree.find(prefixes)
    assert np.all(np.array(values)[found] > 0.0)
    before = np.concatenate([[0.0], np.cumsum(values)])
    slack = 1e-12 * tree.total
    assert np.all(before[found] <= prefixes + slack)
    assert np.all(prefixes <= before[found + 1] + slack)


def test_find_survives_a_sum_that_was_rounded_up(monkeypatch):
    monkeypatch.setattr(sum_tree, "TOP", 1)
    tree = PriorityTree(4)
    tree.set(np.arange(4), np.array([1.5, 0.0, 2.0**52 + 2, 0.0]))
    assert tree.total == 2.0**52 + 4  # and the number before it, less 1.5, rounds to 2^52 + 2
    assert tree.find(np.nextafter([tree.total], 0.0)).tolist() == [2]


def test_a_tree_is_a_function_of_its_leaves():
    rng = np.random.default_rng(1)
    worn, fresh = PriorityTree(1000), PriorityTree(1000)
    for _ in range(200):
        worn.set(rng.integers(1000, size=16), rng.random(16))
    fresh.set(np.arange(1000), worn.leaves)
    assert fresh.total == worn.total
    prefixes = rng.random(500) * worn.total
    np.testing.assert_array_equal(fresh.find(prefixes), worn.find(prefixes))


def test_a_tree_needs_a_leaf():
    with pytest.raises(ValueError, match="capacity is 0"):
        PriorityTree(0)
