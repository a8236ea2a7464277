"""Proximal policy optimization, clipped form, with an adaptive KL penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rltune import sample_batch as columns
from rltune.config import Schedule, option
from rltune.on_policy import OnPolicyAlgorithm, OnPolicyConfig
from rltune.returns import explained_variance, gae, next_values
from rltune.sample_batch import SampleBatch


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Keys of PPO beyond `AlgorithmConfig`. RLlib's own defaults hardly learn CartPole; these do."""

    AT_MOST: ClassVar[tuple[tuple[str, str], ...]] = (("sgd_minibatch_size", "train_batch_size"),)

    lr: float = option(3e-4, "learning rate (RLlib: 5e-5)", low=0, coeff=True)
    train_batch_size: int = option(2048, "rows per iteration (RLlib: 4000)", low=1)
    sgd_minibatch_size: int = option(64, "rows per gradient step (RLlib: 128)", low=1)
    num_sgd_iter: int = option(10, "epochs over each batch (RLlib: 30)", low=1)
    use_gae: bool = option(True, "false: advantages are returns minus values, lambda = 1")
    lambda_: float = option(
        0.95,
        "GAE: 0 is one-step TD, 1 is Monte Carlo (RLlib: 1.0)",
        key="lambda",
        low=0,
        high=1,
        coeff=True,
    )
    clip_param: float = option(
        0.2, "how far pi/pi_old may move from 1 (RLlib: 0.3)", above=0, coeff=True
    )
    clip_param_schedule: Schedule | None = option(None, "clip_param over timesteps")
    vf_loss_coeff: float = option(0.5, "weight of the value loss (RLlib: 1.0)", low=0, coeff=True)
    vf_clip_param: float | None = option(
        None,
        "largest squared value error that counts; null is off (RLlib: 10)",
        above=0,
        coeff=True,
    )
    kl_coeff: float = option(
        0.0,
        "where the KL penalty's weight starts; 0 is off (RLlib: 0.2)",
        low=0,
        coeff=True,
        adaptive=True,
    )
    kl_target: float = option(0.01, "KL that the penalty's weight adapts towards", above=0)
    grad_clip: float | None = option(
        0.5, "largest norm of a gradient; null is off (RLlib: null)", above=0, coeff=True
    )

    def coeffs(self) -> dict[str, float]:
        coeffs = super().coeffs()
        return coeffs if self.use_gae else {**coeffs, "lambda": 1.0}


class PPO(OnPolicyAlgorithm):
    """Schulman et al. 2017, https://arxiv.org/abs/1707.06347.

    PG plus: a value function and GAE advantages that it bootstraps, several epochs of minibatches over each batch, the
    clipped surrogate that keeps them near the policy that sampled, and an optional KL penalty whose weight adapts.
    """

    config_class = PPOConfig
    has_value = True
    train_columns = (
        columns.OBS, columns.ACTIONS, columns.ACTION_LOGP, columns.ACTION_DIST_INPUTS,
        columns.ADVANTAGES, columns.VALUE_TARGETS,
    )  # fmt: skip

    @classmethod
    def postprocess(cls, fragment: SampleBatch, coeffs: dict[str, float]) -> SampleBatch:
        values, terminateds = fragment[columns.VF_PREDS], fragment[columns.TERMINATEDS]
        ends = terminateds | fragment[columns.TRUNCATEDS]
        following = next_values(values, fragment[columns.BOOTSTRAP], ends, terminateds)
        advantages = gae(
            fragment[columns.REWARDS], values, following, ends, coeffs["gamma"], coeffs["lambda"]
        )
        fragment[columns.ADVANTAGES] = advantages
        fragment[columns.VALUE_TARGETS] = advantages + values
        return fragment

    def minibatches(self, rows: int) -> tuple[int, int]:
        return min(self.cfg.sgd_minibatch_size, rows), self.cfg.num_sgd_iter

    def loss(
        self, ops: Any, params: Any, batch: Any, coeffs: Any
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        mask = batch.get("mask")
        pi = self.distribution
        inputs, values = self.model.policy_and_value(ops, params, batch[columns.OBS])
        log_ratio = pi.logp(ops, inputs, batch[columns.ACTIONS]) - batch[columns.ACTION_LOGP]
        ratio = ops.exp(
            ops.clip(log_ratio, -20.0, 20.0)
        )  # far beyond any clip_param, short of float32's overflow
        adv, clip = batch[columns.ADVANTAGES], coeffs["clip_param"]
        surrogate = ops.minimum(ratio * adv, ops.clip(ratio, 1 - clip, 1 + clip) * adv)  # eq. 7
        policy_loss = -ops.mean(surrogate, mask)
        vf_error = ops.square(values - batch[columns.VALUE_TARGETS])
        vf_loss = ops.mean(ops.minimum(vf_error, coeffs["vf_clip_param"]), mask)
        entropy = ops.mean(pi.entropy(ops, inputs), mask)
        kl = ops.mean(pi.kl(ops, batch[columns.ACTION_DIST_INPUTS], inputs), mask)
        total = (
            policy_loss + coeffs["vf_loss_coeff"] * vf_loss - coeffs["entropy_coeff"] * entropy
            + coeffs["kl_coeff"] * kl
        )  # eq. 8 and 9  # fmt: skip
        stats = {
            "total_loss": total,
            "policy_loss": policy_loss,
            "vf_loss": vf_loss,
            "entropy": entropy,
            "kl": kl,
        }
        return total, stats, {}

    def after_update(
        self, stats: dict[str, float], batch: SampleBatch, coeffs: dict[str, float]
    ) -> dict[str, Any]:
        if stats["kl"] > 2.0 * self.cfg.kl_target:  # section 4
            self.adapted["kl_coeff"] *= 1.5
        elif stats["kl"] < 0.5 * self.cfg.kl_target:
            self.adapted["kl_coeff"] *= 0.5
        return {
            "cur_kl_coeff": coeffs["kl_coeff"],
            "entropy_coeff": coeffs["entropy_coeff"],
            "clip_param": coeffs["clip_param"],
            "vf_explained_var": explained_variance(
                batch[columns.VF_PREDS], batch[columns.VALUE_TARGETS]
            ),
        }
