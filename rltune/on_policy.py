"""The on-policy loop: sample with the newest weights, train on exactly that, start again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rltune import sample_batch as columns
from rltune.algorithm import Algorithm
from rltune.algorithm_config import AlgorithmConfig
from rltune.config import Schedule, option
from rltune.envs.spaces import ObsSpec
from rltune.models.distributions import Distribution, make_distribution
from rltune.models.networks import ActorCritic
from rltune.returns import standardized
from rltune.sample_batch import SampleBatch, minibatch_index


@dataclass(frozen=True)
class OnPolicyConfig(AlgorithmConfig):
    """Keys of policy-gradient methods beyond `AlgorithmConfig`."""

    entropy_coeff: float = option(0.0, "weight of the entropy bonus", low=0, coeff=True)
    entropy_coeff_schedule: Schedule | None = option(None, "entropy_coeff over timesteps")
    standardize_advantages: bool = option(
        True, "advantages of a batch (PG: returns) to mean 0, std 1 (RLlib's PG: false)"
    )


class OnPolicyAlgorithm(Algorithm):
    """Policy gradients over stochastic policies; `has_value` adds a value function."""

    config_class: ClassVar[type[AlgorithmConfig]] = OnPolicyConfig
    has_value: ClassVar[bool] = False
    model: ActorCritic
    train_columns: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def make_distribution(cls, config: Any, action_space: Any) -> Distribution:
        return make_distribution(action_space)

    @classmethod
    def make_model(cls, config: Any, obs: ObsSpec, distribution: Distribution) -> ActorCritic:
        free = getattr(distribution, "size", 0) if config.model.free_log_std else 0
        return ActorCritic(
            obs, distribution.num_inputs, config.model,
            has_value=cls.has_value, share=config.share_layers, free_log_std=free,
        )  # fmt: skip

    def training_step(self) -> dict[str, Any]:
        coeffs = self.coeffs()
        per_round = self._rollout_steps * self.cfg.num_envs
        rounds = -(-self.cfg.train_batch_size // per_round)
        rollouts = [rollout for _ in range(rounds) for rollout in self.sample(coeffs)]
        batch = SampleBatch.concat([rollout.batch for rollout in rollouts])
        if self.cfg.standardize_advantages:
            batch[columns.ADVANTAGES] = standardized(batch[columns.ADVANTAGES])
        size, epochs = self.minibatches(batch.count)
        index = minibatch_index(self._learner_rng, batch.count, size, epochs)
        stats, _ = self.learner.update({n: batch[n] for n in self.train_columns}, index, coeffs)
        self.num_steps_trained += batch.count
        self._sync_policy()
        averages = {
            name: float(values[-len(index) // epochs :].mean()) for name, values in stats.items()
        }
        return {"cur_lr": coeffs["lr"], **averages, **self.after_update(averages, batch, coeffs)}

    def minibatches(self, rows: int) -> tuple[int, int]:
        """(minibatch size, epochs) for a batch of `rows`."""
        return rows, 1

    def after_update(
        self, stats: dict[str, float], batch: SampleBatch, coeffs: dict[str, float]
    ) -> dict[str, Any]:
        """Adapts what depends on the update (statistics averaged over the last epoch, coefficients as they were in
        it); returns further statistics."""
        return {}
