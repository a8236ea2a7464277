import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltune.replay import PrioritizedReplayBuffer, ReplayBuffer


def new_buffer(capacity: int, alpha: float = 1.0, eps: float = 1e-6, seed: int = 0):
    return PrioritizedReplayBuffer(capacity, np.random.default_rng(seed), alpha, eps)


def shares(indices: np.ndarray, rows: int) -> np.ndarray:
    return np.bincount(indices, minlength=rows) / len(indices)


def test_rows_are_drawn_in_proportion_to_their_priority(one_env):
    buffer = new_buffer(4, alpha=0.5, eps=1.0)
    buffer.add(one_env([1.0] * 4, terminateds=(0,), invalid=(1,)))
    buffer.update_priorities(np.array([0, 2, 3]), np.array([0.0, -3.0, 24.0]))
    # sqrt(|error| + 1) = 1, 2, 5
    columns, indices = buffer.sample(100, 80, n_step=1, gamma=0.9, beta=0.5)
    np.testing.assert_allclose(shares(indices, 4), [1 / 8, 0, 2 / 8, 5 / 8], atol=1e-3)
    # (p / p_min)^-beta
    weight = {0: 1.0, 2: 2.0**-0.5, 3: 5.0**-0.5}
    np.testing.assert_allclose(columns["weights"], [weight[i] for i in indices.tolist()], 1e-6)
    assert columns["weights"].dtype == np.float32


def test_each_batch_is_stratified(one_env):
    buffer = new_buffer(8)
    buffer.add(one_env([1.0] * 8))
    _, indices = buffer.sample(num_batches=5, batch_size=8, n_step=1, gamma=0.9)
    # Equal priorities and as many strata as rows: every batch holds each row once.
    np.testing.assert_array_equal(np.sort(indices.reshape(5, 8)), np.tile(np.arange(8), (5, 1)))


def test_new_rows_get_the_largest_priority_so_far(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0, 1.0]))
    buffer.update_priorities(np.array([0]), np.array([3.0]))
    buffer.update_priorities(np.array([0]), np.array([0.5]))
    buffer.add(one_env([1.0], first=2))
    _, indices = buffer.sample(100, 90, n_step=1, gamma=0.9)
    np.testing.assert_allclose(shares(indices, 3), np.array([0.5, 1.0, 3.0]) / 4.5, atol=1e-3)


def test_rows_overwritten_by_invalid_ones_keep_no_priority(one_env):
    buffer = new_buffer(2)
    buffer.add(one_env([1.0, 1.0], terminateds=(1,)))
    buffer.add(one_env([0.0], invalid=(0,)))
    buffer.update_priorities(np.array([0, 1]), np.array([9.0, 0.1]))
    assert set(buffer.sample(1, 50, 1, 0.9)[1].tolist()) == {1}
    assert buffer.sample(1, 1, 1, 0.9, beta=1.0)[0]["weights"].tolist() == [1.0]


def test_of_equal_indices_the_last_error_counts(one_env):
    buffer = new_buffer(2)
    buffer.add(one_env([1.0, 1.0]))
    buffer.update_priorities(np.array([0, 1, 0]), np.array([9.0, 1.0, 3.0]))
    _, indices = buffer.sample(100, 80, 1, 0.9)
    np.testing.assert_allclose(shares(indices, 2), [0.75, 0.25], atol=1e-3)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    alpha=st.sampled_from([0.0, 0.6, 1.0]),
    beta=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_weights_and_draws_agree_with_plain_arrays(random_fragment, seed, sizes, alpha, beta):
    rng = np.random.default_rng(seed)
    buffer = new_buffer(17, alpha, eps=0.01)
    priority: dict[int, float] = {}
    largest = 1.0
    for size in sizes:
        fragment = random_fragment(rng, size, 2)
        written = buffer.add(fragment)
        for index, valid in zip(written, fragment["valid"][-8:].ravel(), strict=True):
            priority[int(index)] = largest**alpha if valid else 0.0
        columns, indices = buffer.sample(2, 5, 3, 0.9, beta)
        probability = np.array([priority[i] for i in range(len(priority))])
        probability /= probability.sum()
        weights = (len(buffer) * probability[indices]) ** -beta
        every_weight = (len(buffer) * probability[probability > 0]) ** -beta
        np.testing.assert_allclose(columns["weights"], weights / every_weight.max(), 1e-5)

        errors = rng.normal(size=10)
        buffer.update_priorities(indices, errors)
        for index, error in zip(indices.tolist(), errors.tolist(), strict=True):
            priority[index] = (abs(error) + 0.01) ** alpha
            largest = max(largest, abs(error) + 0.01)


@pytest.mark.parametrize("sizes", [(), (3,), (4, 9)])
def test_a_restored_buffer_goes_on_exactly(random_fragment, sizes):
    rng = np.random.default_rng(3)
    first, second = new_buffer(21, 0.6, seed=1), new_buffer(21, 0.6, seed=2)
    second.add(random_fragment(rng, 20, 3))
    second.update_priorities(np.array([0]), np.array([50.0]))
    for size in sizes:
        first.add(random_fragment(rng, size, 2))
        first.update_priorities(first.sample(1, 6, 1, 0.9)[1], 3.0 * rng.normal(size=6))
    arrays, meta = first.get_state()
    copies = {name: array.copy() for name, array in arrays.items()}
    second.set_state((copies, json.loads(json.dumps(meta))))
    for _ in range(4):
        more, errors = random_fragment(rng, 3, 2), rng.normal(size=16)
        results = []
        for buffer in (first, second):
            buffer.add(more)
            results.append(buffer.sample(2, 8, 3, 0.9, beta=0.4))
            buffer.update_priorities(results[-1][1], errors)
        (ours, our_indices), (theirs, their_indices) = results
        np.testing.assert_array_equal(our_indices, their_indices)
        for name, column in ours.items():
            np.testing.assert_array_equal(column, theirs[name])


def test_errors_say_what_is_wrong(one_env):
    with pytest.raises(ValueError, match="eps 0.0 above 0"):
        new_buffer(4, eps=0.0)
    buffer = new_buffer(4)
    with pytest.raises(ValueError, match="holds no valid row"):
        buffer.sample(1, 1, 1, 0.9)
    buffer.add(one_env([1.0]))
    with pytest.raises(ValueError, match="td_errors must be finite"):
        buffer.update_priorities(np.array([0]), np.array([np.nan]))


@pytest.mark.parametrize(("mine", "theirs"), [(0.6, 0.6), (0.5, 1.0), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("capacity", [4, 6, 9])
def test_priorities_are_inherited_with_the_heir_s_alpha(one_env, mine, theirs, capacity):
    donor, heir = new_buffer(6, theirs), new_buffer(capacity, mine, seed=2)
    donor.add(one_env([0.0] * 6))
    donor.add(one_env([0.0] * 2, invalid=(1,)))  # times 2..5, 0, 1
    errors = np.array([5.0, 6.0, 1.0, 2.0, 3.0, 4.0])
    donor.update_priorities(np.arange(6), errors)
    heir.inherit(donor.get_state())
    kept = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.0])[-capacity:]
    if theirs == 0.0:  # nothing is known of them
        kept = np.minimum(kept, 1.0)
    eps = 0.0 if theirs == 0.0 else donor.eps
    expected = np.where(kept > 0, (kept + eps) ** mine, 0.0)
    np.testing.assert_allclose(heir.get_state()[0]["priorities"], expected, rtol=1e-12)


def test_rows_of_a_uniform_buffer_are_as_new(one_env):
    donor, heir = ReplayBuffer(6, np.random.default_rng(1)), new_buffer(6)
    donor.add(one_env([0.0] * 3, invalid=(1,)))
    heir.add(one_env([0.0]))
    heir.update_priorities(np.array([0]), np.array([50.0]))
    heir.inherit(donor.get_state())
    np.testing.assert_array_equal(heir.get_state()[0]["priorities"], [1.0, 0.0, 1.0])
    heir.inherit(ReplayBuffer(6, np.random.default_rng(1)).get_state())
    assert len(heir) == 0
