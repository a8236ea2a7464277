"""Columns, their order when flattened, and minibatches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltune.sample_batch import SampleBatch, minibatch_index


def time_major(steps: int, envs: int) -> SampleBatch:
    """Value 10 * env + t in `a`, [.., 2] in `b`."""
    a = np.arange(steps)[:, None] + 10 * np.arange(envs)[None]
    return SampleBatch(a=a, b=np.stack([a, -a], -1))


def test_count_is_the_leading_axis() -> None:
    assert SampleBatch().count == 0
    assert time_major(3, 2).count == 3


def test_rows_are_environment_by_environment() -> None:
    batch = time_major(3, 2)
    keep = np.array([[True, True], [False, True], [True, True]])
    rows = batch.rows(keep)
    assert rows["a"].tolist() == [0, 2, 10, 11, 12]
    assert rows["b"].tolist() == [[0, 0], [2, -2], [10, -10], [11, -11], [12, -12]]


def test_rows_do_not_depend_on_how_environments_are_spread() -> None:
    whole, keep = time_major(4, 3), np.ones((4, 3), bool)
    keep[1, 2] = False
    parts = [
        SampleBatch({k: v[:, cut] for k, v in whole.items()}).rows(keep[:, cut])
        for cut in (slice(0, 1), slice(1, 3))
    ]
    joined, at_once = SampleBatch.concat(parts), whole.rows(keep)
    for name in whole:
        np.testing.assert_array_equal(joined[name], at_once[name])


def test_rows_of_some_columns() -> None:
    assert list(time_major(2, 1).rows(np.ones((2, 1), bool), ["b"])) == ["b"]


def test_concat_along_either_axis() -> None:
    first, second = time_major(2, 1), time_major(2, 2)
    assert SampleBatch.concat([first, second], axis=1)["a"].tolist() == [[0, 0, 10], [1, 1, 11]]
    assert SampleBatch.concat([first, first])["a"].tolist() == [[0], [1], [0], [1]]


def test_read_only_columns_are_only_read() -> None:
    batch = time_major(3, 2)
    for column in batch.values():
        column.flags.writeable = False
    keep = np.ones((3, 2), bool)
    assert SampleBatch.concat([batch.rows(keep), batch.rows(keep)]).count == 12


@given(rows=st.integers(1, 50), size=st.integers(1, 60), epochs=st.integers(1, 4))
def test_every_epoch_is_a_permutation(rows: int, size: int, epochs: int) -> None:
    index = minibatch_index(np.random.default_rng(0), rows, size, epochs)
    assert index.dtype == np.int32
    per_epoch = index.reshape(epochs, -1)
    for epoch in per_epoch:
        assert sorted(epoch[epoch >= 0]) == list(range(rows))
    assert index.shape[1] == min(size, rows)
    assert per_epoch.shape[1] - rows < index.shape[1]  # no minibatch of nothing
    assert (per_epoch[:, :rows] >= 0).all() and (per_epoch[:, rows:] == -1).all()


def test_padding_and_order() -> None:
    index = minibatch_index(np.random.default_rng(1), 5, 2, 2)
    assert index.shape == (6, 2)
    assert (index == -1).tolist() == [[False] * 2, [False] * 2, [False, True]] * 2
    assert index[:3].tolist() != index[3:].tolist()
    again = minibatch_index(np.random.default_rng(1), 5, 2, 2)
    np.testing.assert_array_equal(index, again)


@pytest.mark.parametrize("seed", range(3))
def test_other_seeds_give_other_orders(seed: int) -> None:
    index = minibatch_index(np.random.default_rng(seed), 64, 32, 1)
    other = minibatch_index(np.random.default_rng(seed + 10), 64, 32, 1)
    assert index.tolist() != other.tolist()


@pytest.mark.parametrize("size", [4, 5])
def test_a_minibatch_of_all_rows_takes_them_as_they_come(size: int) -> None:
    rng = np.random.default_rng(0)
    index = minibatch_index(rng, 4, size, 2)
    assert index.dtype == np.int32 and index.tolist() == [[0, 1, 2, 3]] * 2
    assert rng.random() == np.random.default_rng(0).random()  # nothing was drawn
