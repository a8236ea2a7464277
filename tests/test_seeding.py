"""Random streams: equal for equal keys, different for everything else."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from rltune.seeding import PURPOSES, draw_seed, seed_sequence, stream


def test_streams_are_repeatable() -> None:
    np.testing.assert_array_equal(stream(7, "env", 3).random(5), stream(7, "env", 3).random(5))


def test_streams_differ_in_seed_purpose_index_and_restarts() -> None:
    keys = list(product((0, 1, 2**32 - 1), PURPOSES, (0, 1, 2), (0, 1)))
    firsts = {stream(*key).integers(2**63) for key in keys}
    assert len(firsts) == len(keys)


def test_a_stream_is_that_of_its_seed_sequence() -> None:
    expected = np.random.Generator(np.random.PCG64(seed_sequence(5, "action", 2, 1))).random()
    assert stream(5, "action", 2, 1).random() == expected


def test_an_unknown_purpose() -> None:
    with pytest.raises(ValueError):
        stream(0, "weather")


def test_old_purposes_keep_their_streams() -> None:
    """A purpose is its place in the list: a new one goes at the end, or seeds change meaning."""
    assert PURPOSES[:5] == ("init", "env", "action", "learner", "replay")
    assert seed_sequence(3, "env", 4, 1).spawn_key == (1, 4, 1)


def test_drawn_seeds_are_valid_and_vary() -> None:
    seeds = {draw_seed() for _ in range(8)}
    assert len(seeds) > 1
    assert all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
