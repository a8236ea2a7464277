"""What results say of episodes and of where sampling time went."""

from __future__ import annotations

from typing import Any

import numpy as np


class EpisodeMetrics:
    """Finished training episodes: this iteration's, topped up from the past to `smoothing` episodes."""

    def __init__(self, smoothing: int):
        self.smoothing = smoothing
        self._history: list[tuple[float, int]] = []
        self._new: list[tuple[float, int]] = []

    def add(self, rewards: list[float], lengths: list[int]) -> None:
        self._new += zip(rewards, lengths, strict=True)

    def pop(self) -> dict[str, Any]:
        """The result keys of this iteration. Where no episode has finished the values are None, and
        `episode_reward_reason` says so."""
        window = (self._history + self._new)[-max(self.smoothing, len(self._new)) :]
        new, self._new, self._history = len(self._new), [], window[-self.smoothing :]
        result: dict[str, Any] = {"episodes_this_iter": new, "episode_reward_window": len(window)}
        if not window:
            empty = dict.fromkeys(
                ("episode_reward_mean", "episode_reward_max", "episode_reward_min")
            )
            reason = {"episode_reward_reason": "no episode has finished yet"}
            return {**result, **empty, "episode_len_mean": None, **reason}
        rewards, lengths = zip(*window, strict=True)
        return {
            **result,
            "episode_reward_mean": float(np.mean(rewards)),
            "episode_reward_max": float(max(rewards)),
            "episode_reward_min": float(min(rewards)),
            "episode_len_mean": float(np.mean(lengths)),
        }

    def get_state(self) -> dict[str, Any]:
        return {"history": [list(e) for e in self._history], "new": [list(e) for e in self._new]}

    def set_state(self, state: dict[str, Any]) -> None:
        self._history = [(float(r), int(n)) for r, n in state["history"]]
        self._new = [(float(r), int(n)) for r, n in state["new"]]


class SamplerPerf:
    """Milliseconds per environment step, by what they were spent on."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._steps = 0

    def add(self, seconds: dict[str, float], steps: int) -> None:
        self._steps += steps
        for name, value in seconds.items():
            self._seconds[name] = self._seconds.get(name, 0.0) + value

    def pop(self) -> dict[str, float]:
        """RLlib's keys; starts again at nothing."""
        steps, seconds = max(self._steps, 1), self._seconds
        self._steps, self._seconds = 0, {}
        return {
            "mean_env_wait_ms": 1000 * seconds.get("env_s", 0.0) / steps,
            "mean_inference_ms": 1000 * seconds.get("inference_s", 0.0) / steps,
            "mean_processing_ms": 1000 * seconds.get("processing_s", 0.0) / steps,
        }
