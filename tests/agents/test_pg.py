"""How PG behaves as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.pg import PG
from tests.conformance import flat, small_config
from tests.envs.toy import TruncatedEnv


def make(**config: Any) -> PG:
    return PG(small_config(PG, **{"timesteps_per_iteration": 0, "train_batch_size": 20, **config}))


def test_it_trains_on_whole_episodes_once_each() -> None:
    algorithm = make(env=TruncatedEnv, env_config={"length": 7})
    result = algorithm.train()
    assert result["info"]["num_steps_trained"] == 35  # 20 steps are not enough whole episodes
    assert result["timesteps_this_iter"] == 40
    assert result["episodes_this_iter"] == 5
    assert algorithm.train()["info"]["num_steps_trained"] == 56  # 5 steps were left from before
    assert algorithm.learner.get_state()["t"] == 2


def test_it_trains_on_what_there_is_where_fragments_cut_episodes() -> None:
    algorithm = make(env=TruncatedEnv, env_config={"length": 7}, batch_mode="truncate_episodes")
    assert algorithm.train()["info"]["num_steps_trained"] == 20


def test_the_entropy_bonus_works() -> None:
    """Returns that are all the same teach nothing; the bonus alone moves the policy."""
    common = {"env": TruncatedEnv, "gamma": 0.0}
    still, moved = (make(**common, entropy_coeff=coeff, lr=0.01) for coeff in (0.0, 1.0))
    before = flat(still.get_weights()).copy()
    still.train()
    moved.train()
    np.testing.assert_array_equal(flat(still.get_weights()), before)
    assert not np.array_equal(flat(moved.get_weights()), before)
