"""What the algorithms do before and after their loss."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.pg import PG
from agents.ppo import PPO, PPOConfig
from rltune.sample_batch import SampleBatch


def fragment() -> SampleBatch:
    """One environment terminates after the first step, one meets a limit after the second."""
    return SampleBatch(
        rewards=np.array([[1, 2], [3, 4], [5, 6]], np.float32),
        terminateds=np.array([[1, 0], [0, 0], [0, 0]], bool),
        truncateds=np.array([[0, 0], [0, 1], [0, 0]], bool),
        vf_preds=np.array([[1, 1], [2, 2], [3, 3]], np.float32),
        bootstrap=np.array([[0, 0], [0, 10], [20, 30]], np.float32),
    )


def test_pg_sums_rewards_to_the_end_however_that_came() -> None:
    got = PG.postprocess(fragment(), {"gamma": 0.5})
    np.testing.assert_array_equal(got["advantages"], [[1, 4], [5.5, 4], [5, 6]])


def test_ppo_bootstraps_where_a_limit_or_the_fragment_cut() -> None:
    got = PPO.postprocess(fragment(), {"gamma": 0.5, "lambda": 1.0})
    # Targets are returns: 2 + 0.5 * (4 + 0.5 * 10), 4 + 0.5 * 10 and 6 + 0.5 * 30 in the second.
    targets = [[1, 6.5], [10.5, 9], [15, 21]]
    np.testing.assert_array_equal(got["value_targets"], targets)
    np.testing.assert_array_equal(got["advantages"], np.array(targets) - got["vf_preds"])


@pytest.mark.parametrize("kind", [PG, PPO])
@pytest.mark.parametrize("asked", [True, False])
def test_advantages_are_standardised_where_asked(
    kind: Any, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches the learner, over a whole batch."""
    config = {"env": "CartPole-v0", "train_batch_size": 64, "standardize_advantages": asked}
    algorithm = kind({**config, **({"sgd_minibatch_size": 64} if kind is PPO else {})})
    seen: list[np.ndarray] = []
    update = algorithm.learner.update
    monkeypatch.setattr(
        algorithm.learner,
        "update",
        lambda b, *rest: seen.append(b["advantages"]) or update(b, *rest),
    )
    algorithm.training_step()
    standard = bool(abs(seen[0].mean()) < 1e-5 and abs(seen[0].std() - 1) < 1e-3)
    assert standard is asked
    algorithm.stop()


@pytest.mark.parametrize(
    ("kl", "factor"), [(0.021, 1.5), (0.02, 1.0), (0.01, 1.0), (0.005, 1.0), (0.0049, 0.5)]
)
def test_the_kl_penalty_adapts(kl: float, factor: float) -> None:
    algorithm = SimpleNamespace(cfg=PPOConfig(kl_target=0.01), adapted={"kl_coeff": 0.2})
    used = {"kl_coeff": 0.2, "entropy_coeff": 0.0, "clip_param": 0.3}
    after: Any = PPO.after_update
    batch = SampleBatch(vf_preds=np.zeros(2), value_targets=np.array([-1.0, 1.0]))
    info = after(algorithm, {"kl": kl}, batch, used)
    assert algorithm.adapted["kl_coeff"] == pytest.approx(0.2 * factor)
    assert info == {
        "cur_kl_coeff": 0.2,  # the one that was used
        "entropy_coeff": 0.0,
        "clip_param": 0.3,
        "vf_explained_var": 0.0,
    }


@pytest.mark.parametrize(("rows", "expected"), [(2048, (64, 10)), (64, (64, 10)), (10, (10, 10))])
def test_minibatches(rows: int, expected: tuple[int, int]) -> None:
    minibatches: Any = PPO.minibatches
    assert minibatches(SimpleNamespace(cfg=PPOConfig()), rows) == expected
