"""Losses against numbers worked by hand, in every framework, and the gradients they leave.

A loss reads nothing of its algorithm but `cfg`, `model` and `distribution`, so a stand-in has no
more. The models here put out numbers that stand in the observation or in a table.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.dqn import DQN, DQNConfig
from agents.pg import PG, PGConfig
from agents.ppo import PPO, PPOConfig
from rltune.models.distributions import Categorical, EpsilonGreedy
from tests import bindings
from tests.bindings import ALL, ops_of

LN2, LN3 = np.log(2), np.log(3)
EVEN, SKEWED = (0.0, 0.0), (LN3, 0.0)  # logits of probabilities (1/2, 1/2) and (3/4, 1/4)
SKEWED_ENTROPY = 0.5623351446  # -(3/4 ln 3/4 + 1/4 ln 1/4)
SKEWED_TO_EVEN_KL = 0.1308120359  # 3/4 ln 3/2 + 1/4 ln 1/2
BINDINGS = ("numpy", *ALL)


class Echo:
    """The observation is (logit, logit, value)."""

    def policy(self, ops: Any, params: Any, obs: Any) -> Any:
        return obs[..., :2]

    def policy_and_value(self, ops: Any, params: Any, obs: Any) -> tuple[Any, Any]:
        return obs[..., :2], obs[..., 2]


class Table:
    """Q-values of state i are row i of `q`; observations are one-hot states."""

    def policy(self, ops: Any, params: Any, obs: Any) -> Any:
        return obs @ params["q"]


def algorithm(config: Any) -> Any:
    if isinstance(config, DQNConfig):
        return SimpleNamespace(cfg=config, model=Table(), distribution=EpsilonGreedy(2))
    return SimpleNamespace(cfg=config, model=Echo(), distribution=Categorical(2))


def tensors(binding: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Numbers in single precision, as a learner hands them to a loss."""
    singles = {
        k: a if np.issubdtype(a.dtype, np.integer) else a.astype(np.float32)
        for k, a in arrays.items()
    }
    return {k: bindings.tensor(binding, a) for k, a in singles.items()}


def evaluate(
    binding: str, loss: Any, config: Any, batch: Any, coeffs: dict[str, float], *tables: Any
) -> tuple[float, dict[str, float], dict[str, np.ndarray]]:
    params: Any = list(tables) or [{}]
    inputs: Any = batch
    if binding != "numpy":
        inputs, params = tensors(binding, batch), [tensors(binding, table) for table in params]
    total, stats, rows = loss(
        algorithm(config), ops_of(binding), params[0], inputs, coeffs, *params[1:]
    )
    return (
        float(total),
        {k: float(v) for k, v in stats.items()},
        {k: np.asarray(v) for k, v in rows.items()},
    )


def stack(*rows: Any) -> np.ndarray:
    return np.array(rows, np.float64)


PG_BATCH = {
    "obs": stack((*EVEN, 0), (*SKEWED, 0)),
    "actions": np.array([0, 1]),
    "advantages": stack(2, -2),
}


@pytest.mark.parametrize("binding", BINDINGS)
def test_pg(binding: str) -> None:
    # -(2 ln 1/2 - 2 ln 1/4) / 2 = -ln 2
    total, stats, rows = evaluate(binding, PG.loss, PGConfig(), PG_BATCH, {"entropy_coeff": 0.1})
    entropy = (LN2 + SKEWED_ENTROPY) / 2
    assert stats == pytest.approx({"policy_loss": -LN2, "entropy": entropy}, rel=1e-6)
    assert total == pytest.approx(-0.6931471806 - 0.1 * 0.6277411626, rel=1e-6)
    assert rows == {}


# Four samples: ratio 5/4 and 5/8, either way beyond the clip range of 0.2, each with an advantage
# that pushes further out (clipped: 1.2 * 2 and 0.8 * -1) and one that pulls back (not clipped).
PPO_BATCH = {
    "obs": stack((*EVEN, 0), (*EVEN, 3), (*EVEN, 1), (*SKEWED, 2)),
    "actions": np.array([0, 0, 1, 1]),
    "action_logp": np.log(stack(0.4, 0.4, 0.8, 0.4)),
    "action_dist_inputs": stack(SKEWED, EVEN, EVEN, SKEWED),
    "advantages": stack(2, -2, 1, -1),
    "value_targets": stack(1, 1, 1, 4),  # squared errors 1, 4, 0, 4
}
PPO_COEFFS = {
    "clip_param": 0.2,
    "vf_clip_param": float("inf"),
    "vf_loss_coeff": 0.5,
    "entropy_coeff": 0.01,
    "kl_coeff": 0.2,
}


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(("vf_clip", "vf_loss"), [(float("inf"), 2.25), (2.0, 1.25), (0.5, 0.375)])
def test_ppo(binding: str, vf_clip: float, vf_loss: float) -> None:
    coeffs = {**PPO_COEFFS, "vf_clip_param": vf_clip}
    total, stats, _ = evaluate(binding, PPO.loss, PPOConfig(), PPO_BATCH, coeffs)
    entropy, kl = (3 * LN2 + SKEWED_ENTROPY) / 4, SKEWED_TO_EVEN_KL / 4
    expected = {
        "policy_loss": 0.06875,  # -(2.4 - 2.5 + 0.625 - 0.8) / 4
        "vf_loss": vf_loss,
        "entropy": entropy,
        "kl": kl,
        "total_loss": 0.06875 + 0.5 * vf_loss - 0.01 * 0.6604441715 + 0.2 * 0.0327030090,
    }
    assert stats == pytest.approx(expected, rel=1e-5)
    assert total == stats["total_loss"]


@pytest.mark.parametrize("binding", BINDINGS)
def test_ppo_without_a_change_of_policy(binding: str) -> None:
    """The first minibatch of an update: ratio 1, so the loss is minus the mean advantage."""
    batch = {
        **PPO_BATCH,
        "action_logp": np.log(stack(0.5, 0.5, 0.5, 0.25)),
        "action_dist_inputs": PPO_BATCH["obs"][:, :2],
        "advantages": stack(2, -2, 1, -3),
    }
    _, stats, _ = evaluate(binding, PPO.loss, PPOConfig(), batch, PPO_COEFFS)
    assert stats["policy_loss"] == pytest.approx(0.5)
    assert stats["kl"] == pytest.approx(0.0, abs=1e-7)


def gradient(
    framework: str, loss: Any, config: Any, batch: Any, coeffs: Any, wanted: str, *tables: Any
) -> np.ndarray:
    """Of the loss with respect to a column of the batch, or the first table's entry."""

    def total(variable: Any) -> Any:
        inputs = tensors(framework, batch)
        params = [tensors(framework, table) for table in tables] or [{}]
        (inputs if wanted in inputs else params[0])[wanted] = variable
        ops = ops_of(framework)
        return loss(algorithm(config), ops, params[0], inputs, coeffs, *params[1:])[0]

    start = batch[wanted] if wanted in batch else tables[0][wanted]
    return bindings.gradient(framework, total, start.astype(np.float32))


@pytest.mark.parametrize("framework", ALL)
def test_clipped_samples_of_ppo_teach_nothing(framework: str) -> None:
    only_policy = {**PPO_COEFFS, "vf_loss_coeff": 0.0, "entropy_coeff": 0.0, "kl_coeff": 0.0}
    got = gradient(framework, PPO.loss, PPOConfig(), PPO_BATCH, only_policy, "obs")
    # d(-ratio * A / 4) / d(logits) = -A/4 * ratio * (one_hot(a) - p)
    expected = stack((0, 0, 0), (0.3125, -0.3125, 0), (0.078125, -0.078125, 0), (0, 0, 0))
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("framework", ALL)
def test_value_errors_beyond_the_clip_teach_nothing(framework: str) -> None:
    only_value = {**PPO_COEFFS, "clip_param": 1e-9, "entropy_coeff": 0.0, "kl_coeff": 0.0}
    got = gradient(
        framework, PPO.loss, PPOConfig(), PPO_BATCH, {**only_value, "vf_clip_param": 2.0}, "obs"
    )
    # 0.5 * 2 * (V - target) / 4 where the squared error is below 2
    np.testing.assert_allclose(got[:, 2], [-0.25, 0, 0, 0], atol=1e-7)


ONLINE = {"q": stack((1, 2), (3, 5), (4, 4))}
TARGET = {"q": stack((0, 0), (7, 6), (10, 20))}
DQN_BATCH = {
    "obs": np.eye(3)[[0, 0, 1]],
    "actions": np.array([0, 1, 0]),
    "rewards": stack(1, 1.5, 0),
    "new_obs": np.eye(3)[[1, 2, 2]],
    "discounts": stack(0.9, 0, 0.5),  # the second sample is terminal
    "weights": stack(1, 0.5, 2),
}


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("double_q", "td_error", "loss"),
    [
        # Rated by the target: the online network's choice, 6, and at a tie the mean of 10 and 20.
        # 1 - (1 + 0.9 * 6), 2 - 1.5, 3 - 0.5 * 15; Huber 4.9, 0.125, 4
        (True, (-5.4, 0.5, -4.5), (4.9 + 0.5 * 0.125 + 2 * 4) / 3),
        # The target's own best, 7 and 20; Huber 5.8, 0.125, 6.5
        (False, (-6.3, 0.5, -7), (5.8 + 0.5 * 0.125 + 2 * 6.5) / 3),
    ],
)
def test_dqn(binding: str, double_q: bool, td_error: tuple[float, ...], loss: float) -> None:
    config = DQNConfig(double_q=double_q)
    total, stats, rows = evaluate(binding, DQN.loss, config, DQN_BATCH, {}, ONLINE, TARGET)
    np.testing.assert_allclose(rows["td_error"], td_error, rtol=1e-6)
    assert total == pytest.approx(loss, rel=1e-6)
    mean_td_error = sum(td_error) / 3
    expected = {"loss": loss, "mean_q": 2.0, "mean_td_error": mean_td_error}
    assert stats == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("double_q", [True, False])
def test_dqn_learns_only_the_value_of_what_was_done(framework: str, double_q: bool) -> None:
    """Weight / 3 times the TD error cut to [-1, 1]; nothing through the bootstrapped value."""
    config = DQNConfig(double_q=double_q)
    got = gradient(framework, DQN.loss, config, DQN_BATCH, {}, "q", ONLINE, TARGET)
    np.testing.assert_allclose(got, stack((-1 / 3, 0.25 / 3), (-2 / 3, 0), (0, 0)), rtol=1e-5)


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize(
    ("loss", "config", "batch", "coeffs", "tables"),
    [
        (PG.loss, PGConfig(), PG_BATCH, {"entropy_coeff": 0.1}, ()),
        (PPO.loss, PPOConfig(), PPO_BATCH, PPO_COEFFS, ()),
        (DQN.loss, DQNConfig(), DQN_BATCH, {}, (ONLINE, TARGET)),
    ],
)
def test_masked_rows_do_not_count(
    binding: str, loss: Any, config: Any, batch: Any, coeffs: Any, tables: Any
) -> None:
    alone = evaluate(binding, loss, config, batch, coeffs, *tables)
    twice = {name: np.concatenate([column, column[::-1]]) for name, column in batch.items()}
    rows = len(batch["obs"])
    twice["mask"] = np.repeat([1.0, 0.0], rows)
    masked = evaluate(binding, loss, config, twice, coeffs, *tables)
    assert masked[0] == pytest.approx(alone[0], rel=1e-6)
    assert masked[1] == pytest.approx(alone[1], rel=1e-6)
