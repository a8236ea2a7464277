import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltune.replay import ReplayBuffer


def new_buffer(capacity: int, seed: int = 0) -> ReplayBuffer:
    return ReplayBuffer(capacity, np.random.default_rng(seed))


def window(columns: dict[str, np.ndarray], row: int = 0) -> tuple[float, float, float]:
    return (
        float(columns["rewards"][row]),
        float(columns["new_obs"][row, 0]),
        float(columns["discounts"][row]),
    )


def test_n_step_sums_by_hand(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1, 2, 4, 8, 16, 32], terminateds=(2,), truncateds=(4,)))
    columns = buffer.gather(np.arange(6), n_step=3, gamma=0.5)
    assert window(columns, 0) == (1 + 2 / 2 + 4 / 4, 3.0, 0.0)  # three rows, terminated
    assert window(columns, 1) == (2 + 4 / 2, 3.0, 0.0)  # terminated after two
    assert window(columns, 2) == (4.0, 3.0, 0.0)
    assert window(columns, 3) == (8 + 16 / 2, 5.0, 0.25)  # truncated: bootstraps with gamma^2
    assert window(columns, 4) == (16.0, 5.0, 0.5)
    assert window(columns, 5) == (32.0, 6.0, 0.5)  # the newest row
    assert columns["obs"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert columns["actions"].tolist() == [0, 1, 2, 3, 4, 5]


def test_terminated_wins_over_truncated(one_env):
    buffer = new_buffer(4)
    buffer.add(one_env([1.0, 1.0], terminateds=(1,), truncateds=(1,)))
    assert window(buffer.gather(np.array([0]), 5, 0.5)) == (1.5, 2.0, 0.0)


def test_a_later_fragment_extends_open_windows(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0, 1.0]))
    assert window(buffer.gather(np.array([0]), 4, 0.5)) == (1.5, 2.0, 0.25)
    buffer.add(one_env([1.0, 1.0], first=2))
    assert window(buffer.gather(np.array([0]), 4, 0.5)) == (1.875, 4.0, 0.0625)


@pytest.mark.parametrize("ending", ["terminateds", "truncateds"])
def test_an_episode_that_ends_with_its_fragment_stays_closed(one_env, ending):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0, 1.0], **{ending: (1,)}))
    buffer.add(one_env([7.0], first=50))
    discount = {"terminateds": 0.0, "truncateds": 0.25}[ending]
    assert window(buffer.gather(np.array([0]), 3, 0.5)) == (1.5, 2.0, discount)


def test_an_invalid_row_closes_even_an_unfinished_window(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0, 1.0, 7.0, 1.0], invalid=(2,)))
    assert window(buffer.gather(np.array([0]), 4, 0.5)) == (1.5, 2.0, 0.25)


def test_no_window_crosses_a_cut(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0, 1.0]))
    buffer.add(one_env([7.0, 7.0], first=50), starts=np.array([True]))
    columns = buffer.gather(np.arange(3), 3, 0.5)
    assert window(columns, 0) == (1.5, 2.0, 0.25)
    assert window(columns, 2) == (10.5, 52.0, 0.25)


def test_the_ring_overwrites_its_oldest_rows(one_env):
    buffer = new_buffer(4)
    buffer.add(one_env([1.0, 2.0, 4.0]))
    buffer.add(one_env([8.0, 16.0], first=3))  # the 16 lies where the 1 was
    assert len(buffer) == 4
    columns = buffer.gather(np.arange(4), 3, 1.0)
    assert columns["rewards"].tolist() == [16.0, 2 + 4 + 8, 4 + 8 + 16, 8 + 16]
    buffer.add(one_env([1, 2, 3, 4, 5, 6], first=5))  # longer than the ring: its end stays
    assert sorted(buffer.gather(np.arange(4), 1, 1.0)["rewards"].tolist()) == [3, 4, 5, 6]
    long = buffer.gather(np.arange(4), 99, 1.0)["rewards"].tolist()
    assert sorted(long) == [6, 5 + 6, 4 + 5 + 6, 3 + 4 + 5 + 6]


def slow_windows(rows, length, n_step, gamma):
    """{step: (return, step of the last row used, discount)} from the rows of one env in order."""
    expected = {}
    rows = rows[-length:]
    for i, first in enumerate(rows):
        if not first["valid"]:
            continue
        total, used, last = 0.0, 0, first
        for row in rows[i : i + n_step]:
            if used and (row["cut"] or not row["valid"]):
                break
            total += gamma**used * float(row["rewards"])
            used, last = used + 1, row
            if row["terminateds"] or row["truncateds"]:
                break
        discount = 0.0 if last["terminateds"] else gamma**used
        expected[int(first["step"])] = (total, last, discount)
    return expected


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_envs=st.integers(1, 3),
    length=st.integers(1, 12),
    sizes=st.lists(st.integers(1, 15), min_size=1, max_size=6),
    n_step=st.integers(1, 6),
)
def test_windows_agree_with_a_slow_loop(random_fragment, seed, num_envs, length, sizes, n_step):
    rng = np.random.default_rng(seed)
    buffer = new_buffer(length * num_envs + num_envs - 1)
    history: list[list[dict]] = [[] for _ in range(num_envs)]
    for size in sizes:
        fragment = random_fragment(rng, size, num_envs, first=num_envs * len(history[0]))
        starts = rng.random(num_envs) < 0.3
        buffer.add(fragment, starts)
        for t in range(size):
            for n in range(num_envs):
                row = {name: column[t, n] for name, column in fragment.items()}
                history[n].append({**row, "cut": t == 0 and starts[n]})

    expected = {}
    for rows in history:
        expected.update(slow_windows(rows, length, n_step, 0.9))
    assert len(buffer) == len(expected)
    if not expected:
        return
    columns, indices = buffer.sample(2, 16, n_step, 0.9)
    assert columns["obs"].shape == (32, 2, 3) and columns["obs"].dtype == np.uint8
    assert columns["weights"].tolist() == [1.0] * 32
    for b in range(32):
        total, last, discount = expected[int(columns["step"][b])]
        assert columns["rewards"][b] == pytest.approx(total, abs=1e-6)
        assert columns["discounts"][b] == pytest.approx(discount)
        np.testing.assert_array_equal(columns["new_obs"][b], last["new_obs"])
    np.testing.assert_array_equal(buffer.gather(indices, n_step, 0.9)["step"], columns["step"])


def test_uniform_over_valid_rows_only(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0] * 8, terminateds=(1, 4), invalid=(2, 5)))
    columns, indices = buffer.sample(num_batches=60, batch_size=100, n_step=1, gamma=0.9)
    counts = Counter(indices.tolist())
    assert sorted(counts) == [0, 1, 3, 4, 6, 7]
    assert all(850 < count < 1150 for count in counts.values())
    np.testing.assert_array_equal(columns["obs"][:, 0], indices)


def test_an_index_is_time_times_envs_plus_env(random_fragment):
    buffer = new_buffer(40)
    fragment = random_fragment(np.random.default_rng(0), 5, 4)
    written = buffer.add(fragment)
    np.testing.assert_array_equal(written, np.arange(20))
    np.testing.assert_array_equal(buffer.gather(written, 1, 0.9)["step"], written)


def saved(buffer: ReplayBuffer):
    """The state as a checkpoint would hold it: copies of the arrays, the rest through JSON."""
    arrays, meta = buffer.get_state()
    return {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(meta))


@pytest.mark.parametrize("sizes", [(), (3,), (4, 9), (30,)])
def test_a_restored_buffer_goes_on_exactly(random_fragment, sizes):
    rng = np.random.default_rng(3)
    first, second = new_buffer(21, seed=1), new_buffer(21, seed=2)
    second.add(random_fragment(rng, 20, 3))
    for size in sizes:
        first.add(random_fragment(rng, size, 2), starts=np.array([True, False]))
    if sizes:
        first.sample(1, 5, 2, 0.9)
    second.set_state(saved(first))
    assert len(second) == len(first)
    more = random_fragment(rng, 6, 2)
    for buffer in (first, second):
        buffer.add(more)
    for _ in range(3):
        ours, theirs = first.sample(2, 8, 3, 0.9), second.sample(2, 8, 3, 0.9)
        np.testing.assert_array_equal(ours[1], theirs[1])
        for name, column in ours[0].items():
            np.testing.assert_array_equal(column, theirs[0][name])
            assert column.dtype == theirs[0][name].dtype


def test_state_arrays_are_views_that_cannot_be_written(one_env):
    buffer = new_buffer(10)
    buffer.add(one_env([1.0, 2.0]))
    arrays, _ = buffer.get_state()
    assert arrays["columns/rewards"].shape == (2, 1)  # only what was written
    with pytest.raises(ValueError, match="read-only"):
        arrays["columns/rewards"][:] = 0.0
    buffer.add(one_env([3.0]))


def test_errors_say_what_is_wrong(one_env):
    with pytest.raises(ValueError, match="capacity is 0"):
        new_buffer(0)
    buffer = new_buffer(5)
    with pytest.raises(ValueError, match="holds no valid row"):
        buffer.sample(1, 1, 1, 0.9)
    fragment = one_env([1.0])
    incomplete = {name: column for name, column in fragment.items() if name != "new_obs"}
    with pytest.raises(ValueError, match="'truncateds' is int64.*expects bool"):
        new_buffer(5).add({**fragment, "truncateds": np.zeros((1, 1), np.int64)})
    with pytest.raises(ValueError, match="lacks the columns \\['new_obs'\\]"):
        buffer.add(incomplete)
    wide = {name: np.repeat(column, 6, axis=1) for name, column in fragment.items()}
    with pytest.raises(ValueError, match="capacity 5 is below the 6 environments"):
        buffer.add(wide)
    buffer.add(fragment)
    with pytest.raises(ValueError, match="the fragment has the columns"):
        buffer.add(incomplete)
    with pytest.raises(ValueError, match="the buffer expects float32\\[1, 1, 1\\]"):
        buffer.add(wide)
    with pytest.raises(ValueError, match="'actions' is float64"):
        buffer.add({**fragment, "actions": fragment["actions"] * 0.5})
    with pytest.raises(ValueError, match="has capacity 5, this one 6"):
        new_buffer(6).set_state(buffer.get_state())


@pytest.mark.parametrize("sizes", [(), (3,), (4, 9), (30,)])
@pytest.mark.parametrize("capacity", [7, 21, 40])
def test_an_inherited_buffer_has_the_newest_rows_that_fit(random_fragment, sizes, capacity):
    rng = np.random.default_rng(3)
    donor, heir = new_buffer(21, seed=1), new_buffer(capacity, seed=2)
    heir.add(random_fragment(rng, 20, 3))
    rng_before = heir.get_state()[1]["rng"]
    steps, first = [], 0
    for size in sizes:
        fragment = random_fragment(rng, size, 2, first)
        donor.add(fragment)
        steps.append(fragment["step"])
        first += 2 * size
    heir.inherit(saved(donor))
    arrays, meta = heir.get_state()
    assert meta["rng"] == rng_before
    expected = np.concatenate([*steps, np.zeros((0, 2), int)])[-min(10, capacity // 2) :]
    assert meta["times"] == len(expected)
    if sizes:
        np.testing.assert_array_equal(arrays["columns/step"], expected)
        assert len(heir) == int(arrays["columns/valid"].sum())


def test_an_inherited_buffer_goes_on_with_other_episodes(one_env):
    donor, heir = new_buffer(10), new_buffer(10)
    donor.add(one_env([1.0, 2.0]))  # its episode goes on
    heir.inherit(saved(donor))
    heir.add(one_env([100.0], first=50))
    columns = heir.gather(np.array([0, 1, 2]), 3, 0.5)
    np.testing.assert_allclose(columns["rewards"], [1.0 + 0.5 * 2.0, 2.0, 100.0])
    np.testing.assert_allclose(columns["discounts"], [0.25, 0.5, 0.5])  # cut, not terminated


def test_a_terminated_episode_stays_terminated(one_env):
    donor, heir = new_buffer(10), new_buffer(10)
    donor.add(one_env([1.0, 2.0], terminateds=(1,)))
    heir.inherit(saved(donor))
    assert heir.gather(np.array([1]), 1, 0.5)["discounts"] == [0.0]
