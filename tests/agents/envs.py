"""Environments for whole algorithms."""

from __future__ import annotations

from typing import Any

from tests.envs.toy import TruncatedEnv


class UnchangingEnv(TruncatedEnv):
    """Reward 1 in every step, and the same observation: its value is one number."""

    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        obs[0] = 0.0
        return obs, *rest
