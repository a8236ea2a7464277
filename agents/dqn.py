"""Deep Q-learning: double, dueling, n-step, prioritised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from rltune import sample_batch as columns
from rltune.algorithm_config import ModelConfig
from rltune.config import option
from rltune.envs.spaces import ObsSpec
from rltune.models.distributions import Distribution, EpsilonGreedy
from rltune.models.networks import QNetwork
from rltune.off_policy import OffPolicyAlgorithm, OffPolicyConfig
from rltune.schedules import linear


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """Keys of DQN beyond `OffPolicyConfig`."""

    ALIASES: ClassVar[dict[str, str]] = {
        **OffPolicyConfig.ALIASES,
        "grad_norm_clipping": "grad_clip",
    }

    lr: float = option(5e-4, "learning rate", low=0, coeff=True)
    hiddens: tuple[int, ...] = option(
        (256,), "layers between the model and each head", rebuild="learner"
    )
    dueling: bool = option(True, "separate heads for state value and advantages", rebuild="learner")
    double_q: bool = option(
        True,
        "the online network picks the next action, the target network rates it",
        rebuild="learner",
    )
    exploration_fraction: float = option(
        0.1, "of schedule_max_timesteps, until epsilon is final", low=0, high=1
    )
    exploration_final_eps: float = option(0.02, "epsilon at the end", low=0, high=1)
    grad_clip: float | None = option(
        40.0,
        "largest norm of a gradient; null is off (alias: grad_norm_clipping)",
        above=0,
        coeff=True,
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.share_layers:
            yield "'vf_share_layers' is true, but DQN has no value function beside its Q-values"
        for key in ("free_log_std", "init_log_std"):
            if getattr(self.model, key) != getattr(ModelConfig, key):
                yield f"'model.{key}' is set, but DQN's actions have no standard deviation"


class DQN(OffPolicyAlgorithm):
    """Mnih et al. 2015 (https://doi.org/10.1038/nature14236) with double Q-learning (van Hasselt et al. 2016,
    https://arxiv.org/abs/1509.06461), dueling heads, n-step returns and prioritised replay.

    Unlike PG it learns values, not a policy: acts greedily on them, at random with probability epsilon, and learns
    from a replay buffer towards a target network.
    """

    config_class = DQNConfig
    action_spaces = ("Discrete",)

    @classmethod
    def make_distribution(cls, config: Any, action_space: Any) -> Distribution:
        return EpsilonGreedy(int(action_space.n))

    @classmethod
    def make_model(cls, config: Any, obs: ObsSpec, distribution: Distribution) -> QNetwork:
        return QNetwork(obs, distribution.num_inputs, config.model, config.hiddens, config.dueling)

    def coeffs(self) -> dict[str, float]:
        duration = self.cfg.exploration_fraction * self.cfg.schedule_max_timesteps
        epsilon = linear(1.0, self.cfg.exploration_final_eps, duration, self.num_steps_sampled)
        return {**super().coeffs(), "epsilon": epsilon}

    def loss(  # type: ignore[override]
        self, ops: Any, params: Any, batch: Any, coeffs: Any, target: Any
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        mask = batch.get("mask")
        q = ops.gather(self.model.policy(ops, params, batch[columns.OBS]), batch[columns.ACTIONS])
        new_obs = batch[columns.NEW_OBS]
        target_q = self.model.policy(ops, target, new_obs)
        if self.cfg.double_q:
            rater = ops.stop_gradient(self.model.policy(ops, params, new_obs))
            best = ops.cast_float(
                rater >= ops.max(rater)[..., None]
            )  # 1 at the best action, shared by ties
            next_q = ops.sum(best * target_q, -1) / ops.sum(best, -1)
        else:
            next_q = ops.max(target_q)
        td_error = q - ops.stop_gradient(batch[columns.REWARDS] + batch["discounts"] * next_q)
        size = ops.abs(td_error)
        huber = ops.where(size < 1.0, 0.5 * ops.square(td_error), size - 0.5)
        loss = ops.mean(batch["weights"] * huber, mask)
        stats = {
            "mean_q": ops.mean(q, mask),
            "mean_td_error": ops.mean(td_error, mask),
            "loss": loss,
        }
        return loss, stats, {"td_error": td_error}

    def more_info(self) -> dict[str, Any]:
        epsilon = self.coeffs()["epsilon"]
        return {
            "min_exploration": epsilon,
            "max_exploration": epsilon,
            "num_target_updates": self.num_target_updates,
            "replay_rows": len(self.replay),
        }
