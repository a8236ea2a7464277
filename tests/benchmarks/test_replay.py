"""The sides of `benchmarks.replay` do the same work, and the table shows what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import peers, replay, replay_side

TASK = {"rows": 1000, "batches": 2, "batch_size": 16}


def test_rllib_s_trees_draw_and_change_what_they_drew() -> None:
    sample, update = replay_side.rllibs(TASK, np.random.default_rng(0))
    indices = sample()
    assert indices.shape == (32,) and 0 <= indices.min() and indices.max() < 1000
    update(np.arange(1000), np.where(np.arange(1000) == 7, 1e6, 0.0))
    assert np.mean(sample() == 7) > 0.5


def test_a_filled_tree_is_one_that_was_set_leaf_by_leaf() -> None:
    leaves = np.random.default_rng(0).random(5)
    tree = replay_side.rllib_trees().SumSegmentTree(8)
    for i, leaf in enumerate(leaves.tolist()):
        tree[i] = leaf
    assert replay_side.filled(leaves, 8, np.add, 0.0)[1:] == pytest.approx(tree.get_state()[1:])


def test_a_batch_takes_its_share_of_a_call() -> None:
    one = replay.seconds_of_a_batch(replay.OURS, {"rows": 2000, "batches": 500, "batch_size": 8})
    assert 0 < one < 0.1


def test_the_table_shows_the_newest_record_of_each_call() -> None:
    old = {
        "batches": 1,
        "seconds": {"rltune": [9.0], "tianshou": [9.0], "ray": [9.0]},
        "peers": {"tianshou": "1", "ray": "2"},
    }
    new = {
        **old,
        "seconds": {"rltune": [1e-3, 3e-3, 2e-3], "tianshou": [1e-3] * 3, "ray": [8e-3] * 3},
    }
    assert replay.rows([old, new]) == [
        ["1", "rltune: buffer", "2,000", "1", "3"],
        ["1", "Tianshou 1: buffer, tree compiled by numba", "1,000", "2", "3"],
        ["1", "RLlib 2: its Python trees alone", "8,000", "0.25", "3"],
    ]


def test_a_peer_s_version_is_that_of_its_requirements() -> None:
    assert peers.version("tianshou") in peers.requirements("tianshou").read_text()
    assert peers.version("ray") == "2.60.0"
