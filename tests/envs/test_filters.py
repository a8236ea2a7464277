import numpy as np
import pytest

from rltune.envs.filters import MeanStdFilter, Moments, NoFilter, RewardNormalizer

ROWS = np.array([[1.0, 10.0], [2.0, 10.0], [3.0, 40.0]], np.float32)


def test_moments_of_parts_are_those_of_the_whole():
    values = np.random.default_rng(0).normal(1e4, 2.0, (1000, 3))
    merged = Moments(3)
    for part in np.split(values, [1, 300, 300, 999]):
        moments = Moments(3)
        moments.update(part)
        merged.merge(moments.state())
    np.testing.assert_allclose(merged.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(merged.std(), values.std(0), rtol=1e-9)
    assert merged.count == 1000


def test_filter_by_hand():
    obs_filter = MeanStdFilter(2)
    obs_filter.observe(ROWS)
    obs_filter.merge([obs_filter.pop_delta()])
    # means 2 and 20, standard deviations sqrt(2 / 3) and sqrt(200)
    expected = [[np.sqrt(1.5), 20 / np.sqrt(200)], [10, -10]]
    filtered = obs_filter.apply(np.array([[3, 40], [500, -500]], np.float32))
    np.testing.assert_allclose(filtered, expected, rtol=1e-6)
    assert filtered.dtype == np.float32


def test_filter_is_frozen_until_deltas_are_merged():
    obs_filter = MeanStdFilter(2)
    obs_filter.observe(ROWS)
    assert obs_filter.apply(ROWS) is ROWS, "the identity without statistics"
    obs_filter.merge([obs_filter.pop_delta()])
    before = obs_filter.apply(ROWS)
    obs_filter.observe(ROWS * 5)
    np.testing.assert_array_equal(obs_filter.apply(ROWS), before)
    assert obs_filter.pop_delta()["count"] == 3 and obs_filter.pop_delta()["count"] == 0


def test_filter_ignores_masked_rows_and_takes_any_leading_shape():
    first, second = MeanStdFilter(2), MeanStdFilter(2)
    first.observe(np.stack([ROWS, ROWS * 100]), np.array([[True] * 3, [False] * 3]))
    second.observe(ROWS)
    expected = second.pop_delta()
    for key, value in first.pop_delta().items():
        np.testing.assert_array_equal(value, expected[key])


def test_workers_that_merge_the_same_deltas_apply_the_same():
    workers = [MeanStdFilter(2), MeanStdFilter(2)]
    workers[0].observe(ROWS[:1])
    workers[1].observe(ROWS[1:])
    deltas = [worker.pop_delta() for worker in workers]
    for worker in workers:
        worker.merge(deltas)
    np.testing.assert_array_equal(workers[0].apply(ROWS), workers[1].apply(ROWS))
    alone = MeanStdFilter(2)
    alone.observe(ROWS)
    alone.merge([alone.pop_delta()])
    np.testing.assert_allclose(alone.apply(ROWS), workers[0].apply(ROWS), rtol=1e-6)


@pytest.mark.parametrize("merged", [False, True])
def test_filter_state_round_trip(merged):
    original, other = MeanStdFilter(2), MeanStdFilter(2)
    original.observe(ROWS)
    if merged:
        original.merge([original.pop_delta()])
        original.observe(ROWS[:2] * 3)
    other.set_state(original.get_state())
    np.testing.assert_array_equal(original.apply(ROWS), other.apply(ROWS))
    for filt in (original, other):
        filt.merge([filt.pop_delta()])
    np.testing.assert_array_equal(original.apply(ROWS), other.apply(ROWS))


def test_no_filter_has_the_same_methods():
    obs_filter = NoFilter()
    obs_filter.observe(ROWS)
    obs_filter.merge([obs_filter.pop_delta()])
    obs_filter.set_state(obs_filter.get_state())
    assert obs_filter.apply(ROWS) is ROWS


class TestRewardNormalizer:
    def test_by_hand(self):
        normalizer = RewardNormalizer(1, gamma=0.5)
        rewards = np.array([[1.0], [2.0], [4.0]], np.float32)
        normalizer.observe(rewards, np.array([[False], [True], [False]]))
        np.testing.assert_array_equal(normalizer.get_returns(), [4.0])
        normalizer.merge([normalizer.pop_delta()])
        std = np.std([1.0, 2.5, 4.0])  # returns: 1, 0.5 * 1 + 2, and 4 after the end
        np.testing.assert_allclose(normalizer.apply(rewards), rewards / std, rtol=1e-6)
        assert normalizer.apply(np.array([1e6, -1e6])).tolist() == [10, -10]

    def test_returns_run_on_between_calls(self):
        whole, parts = RewardNormalizer(2, 0.9), RewardNormalizer(2, 0.9)
        rng = np.random.default_rng(0)
        rewards, dones = rng.normal(size=(20, 2)).astype(np.float32), rng.random((20, 2)) < 0.2
        whole.observe(rewards, dones)
        deltas = []
        for part in (slice(0, 7), slice(7, 20)):
            parts.observe(rewards[part], dones[part])
            deltas.append(parts.pop_delta())
        parts.merge(deltas)
        whole.merge([whole.pop_delta()])
        np.testing.assert_allclose(whole.apply(rewards), parts.apply(rewards), rtol=1e-6)

    def test_rows_that_are_not_valid_change_nothing(self):
        rewards = np.array([[1.0], [2.0], [0.0], [4.0]], np.float32)
        dones = np.array([[False], [True], [False], [False]])
        valid = np.array([[True], [True], [False], [True]])
        with_reset_row, without = RewardNormalizer(1, 0.5), RewardNormalizer(1, 0.5)
        with_reset_row.observe(rewards, dones, valid)
        without.observe(rewards[valid[:, 0]], dones[valid[:, 0]])
        for key, value in with_reset_row.pop_delta().items():
            np.testing.assert_array_equal(value, without.get_state()[f"delta_{key}"])

    def test_state_is_the_statistics_and_not_the_returns(self):
        normalizer, other = RewardNormalizer(1, 0.5), RewardNormalizer(1, 0.5)
        rewards = np.array([[1.0], [3.0]], np.float32)
        assert normalizer.apply(rewards) is rewards
        normalizer.observe(rewards, np.zeros((2, 1), bool))
        normalizer.merge([normalizer.pop_delta()])
        other.set_state(normalizer.get_state())
        np.testing.assert_array_equal(other.apply(rewards), normalizer.apply(rewards))
        assert other.get_returns() == 0.0
        other.set_returns(normalizer.get_returns())
        assert other.get_returns() == 3.5
