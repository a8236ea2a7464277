"""Policy gradient (REINFORCE) with reward-to-go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltune import sample_batch as columns
from rltune.config import option
from rltune.on_policy import OnPolicyAlgorithm, OnPolicyConfig
from rltune.returns import discounted_returns
from rltune.sample_batch import SampleBatch


@dataclass(frozen=True)
class PGConfig(OnPolicyConfig):
    """Keys of PG beyond `AlgorithmConfig`."""

    lr: float = option(4e-3, "learning rate (RLlib: 4e-4)", low=0, coeff=True)
    train_batch_size: int = option(1000, "rows per update (RLlib: 200)", low=1)
    batch_mode: str = option(
        "complete_episodes",
        "a return needs its episode's end: truncate_episodes (RLlib) takes nothing for what a fragment cuts off",
        choices=("truncate_episodes", "complete_episodes"),
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.share_layers:
            yield "'vf_share_layers' is true, but PG has no value function"


class PG(OnPolicyAlgorithm):
    """REINFORCE, Williams 1992 (https://doi.org/10.1007/BF00992696), with rewards-to-go.

    One gradient step on -log pi(a|s) * G over whole episodes, G the discounted return from the action on. An episode
    that a time limit cuts counts as ended: without a value function nothing stands for the rest.
    """

    config_class = PGConfig
    train_columns = (columns.OBS, columns.ACTIONS, columns.ADVANTAGES)

    @classmethod
    def postprocess(cls, fragment: SampleBatch, coeffs: dict[str, float]) -> SampleBatch:
        ends = fragment[columns.TERMINATEDS] | fragment[columns.TRUNCATEDS]
        nothing = np.zeros_like(fragment[columns.REWARDS])
        fragment[columns.ADVANTAGES] = discounted_returns(
            fragment[columns.REWARDS], ends, nothing, coeffs["gamma"]
        )
        return fragment

    def loss(
        self, ops: Any, params: Any, batch: Any, coeffs: Any
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        mask = batch.get("mask")
        inputs = self.model.policy(ops, params, batch[columns.OBS])
        logp = self.distribution.logp(ops, inputs, batch[columns.ACTIONS])
        policy_loss = -ops.mean(logp * batch[columns.ADVANTAGES], mask)
        entropy = ops.mean(self.distribution.entropy(ops, inputs), mask)
        total = policy_loss - coeffs["entropy_coeff"] * entropy
        return total, {"policy_loss": policy_loss, "entropy": entropy}, {}
