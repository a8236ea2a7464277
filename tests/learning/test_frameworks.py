"""A training that changes its framework twice goes on as if it had not, and all frameworks learn alike."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agents.ppo import PPO
from benchmarks.learning import CONFIGS
from rltune.algorithm import Algorithm
from tests.bindings import INSTALLED

pytestmark = pytest.mark.slow

ITERATIONS = 20
SEEDS = (1, 2, 3)
CHAINS = [("tf", "torch", "jax"), ("torch", "jax", "torch")]
WATCHED = ("total_loss", "policy_loss", "vf_loss", "entropy", "kl")


def ppo(framework: str, seed: int = 1) -> PPO:
    (spec,) = yaml.safe_load((CONFIGS / "cartpole-ppo.yaml").read_text(encoding="utf-8")).values()
    return PPO({**spec["config"], "env": spec["env"], "framework": framework, "seed": seed})


def measures(result: dict[str, Any]) -> dict[str, float]:
    """What should not jump when another framework goes on."""
    learner = result["info"]["learner"]
    return {
        "episode_reward_mean": result["episode_reward_mean"],
        **{key: learner[key] for key in WATCHED},
    }


@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
def test_rewards_and_losses_go_on(chain: tuple[str, ...], tmp_path: Path) -> None:
    """20 iterations each. The first one after a change is, to 2 %, what the former framework would have done, and
    changes nothing by more than iterations of one framework do."""
    if missing := set(chain) - set(INSTALLED):
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    algorithm: Algorithm = ppo(chain[0])
    curve = [measures(algorithm.train()) for _ in range(ITERATIONS)]
    changes = []
    for framework in chain[1:]:
        moved = Algorithm.from_checkpoint(
            algorithm.save(str(tmp_path / framework)), {"framework": framework}
        )
        result = moved.train()
        assert result["framework"] == framework
        stayed = measures(algorithm.train())
        changes.append(len(curve))
        curve.append(measures(result))
        assert curve[-1] == pytest.approx(stayed, rel=0.02, abs=1e-3)
        algorithm = moved
        curve += [measures(algorithm.train()) for _ in range(ITERATIONS - 1)]
    for key in curve[0]:
        jumps = [abs(after[key] - before[key]) for before, after in pairwise(curve)]
        within = [jump for i, jump in enumerate(jumps, 1) if i not in changes]
        assert all(jumps[i - 1] <= max(within) for i in changes), (key, jumps)
    rewards = [point["episode_reward_mean"] for point in curve]
    assert rewards[-1] > 2 * rewards[0]


def test_learning_curves_agree() -> None:
    """The mean reward over the last third of 60 iterations and three seeds: within a twentieth of each other."""
    ends = {}
    for framework in INSTALLED:
        rewards = []
        for seed in SEEDS:
            algorithm = ppo(framework, seed)
            curve = [algorithm.train()["episode_reward_mean"] for _ in range(3 * ITERATIONS)]
            rewards += curve[-ITERATIONS:]
        ends[framework] = float(np.mean(rewards))
    assert max(ends.values()) <= 1.05 * min(ends.values()), ends
