"""What results say of episodes and of where time went."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

PARTS = ("sampling_s", "update_s", "weights_s")
"""What an iteration is made of, beside the rest."""
SAMPLER_PERF = {
    "env_s": "mean_env_wait_ms",
    "inference_s": "mean_inference_ms",
    "processing_s": "mean_processing_ms",
}
"""RLlib's names for what a rollout worker's time goes into."""


class EpisodeMetrics:
    """Finished training episodes: this iteration's, topped up from the past to `smoothing` episodes."""

    def __init__(self, smoothing: int):
        self.smoothing = smoothing
        self._history = self._new = np.empty((2, 0))  # rewards above, lengths below

    def add(self, rewards: np.ndarray, lengths: np.ndarray) -> None:
        """Takes in episodes; raises ValueError where the two differ in length."""
        if len(rewards) or len(lengths):
            self._new = np.concatenate([self._new, np.stack([rewards, lengths])], 1)

    def pop(self) -> dict[str, Any]:
        """The result keys of this iteration. Where no episode has finished the values are None, and
        `episode_reward_reason` says so."""
        new = self._new.shape[1]
        window = np.concatenate([self._history, self._new], 1)[:, -max(self.smoothing, new) :]
        self._new, self._history = np.empty((2, 0)), window[:, -self.smoothing :]
        result: dict[str, Any] = {
            "episodes_this_iter": new,
            "episode_reward_window": window.shape[1],
        }
        if not window.size:
            empty = dict.fromkeys(
                ("episode_reward_mean", "episode_reward_max", "episode_reward_min")
            )
            reason = {"episode_reward_reason": "no episode has finished yet"}
            return {**result, **empty, "episode_len_mean": None, **reason}
        rewards, lengths = window
        return {
            **result,
            "episode_reward_mean": float(rewards.mean()),
            "episode_reward_max": float(rewards.max()),
            "episode_reward_min": float(rewards.min()),
            "episode_len_mean": float(lengths.mean()),
        }

    def get_state(self) -> dict[str, Any]:
        return {"history": _pairs(self._history), "new": _pairs(self._new)}

    def set_state(self, state: dict[str, Any]) -> None:
        self._history, self._new = (
            np.array(state[part], np.float64).reshape(-1, 2).T for part in ("history", "new")
        )


def _pairs(episodes: np.ndarray) -> list[list[float]]:
    """(reward, length) of each episode, as JSON holds it."""
    return [[reward, int(length)] for reward, length in episodes.T.tolist()]


class Timers:
    """Where the wall time of an iteration goes, in seconds: `perf` of a result, and RLlib's `sampler_perf`.

    An iteration is `sampling_s` (of which `calls_s` go to whatever lies between this process and its actors),
    `update_s` (the learner), `weights_s` (the way of its weights to the policy) and `other_s`. `runner_s` passed since
    the iteration before: scheduler, journal, loggers, whatever else the process did. `env_s`, `inference_s` and
    `processing_s` (filters, values, advantages) are what the samples were made of, on average over the workers; those
    of `sample_async` were made beside an update.
    """

    def __init__(self) -> None:
        self._ended: float | None = None
        self._seconds: dict[str, float] = defaultdict(float)
        self._worked: dict[str, float] = defaultdict(float)  # by all workers together
        self._steps = 0

    def start(self) -> None:
        """An iteration begins."""
        self._began = time.perf_counter()
        self._seconds.clear()

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] += seconds

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds what the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add_work(self, work: Sequence[Mapping[str, float]], steps: int) -> None:
        """Rollouts of `steps` environment steps in all: what each worker spent on what."""
        self._steps += steps
        for name in SAMPLER_PERF:
            worked = sum(seconds.get(name, 0.0) for seconds in work)
            self._worked[name] += worked
            self.add(name, worked / len(work))

    def pop(self) -> tuple[dict[str, float], dict[str, float]]:
        """(`perf`, `sampler_perf`: milliseconds per environment step); starts again at nothing."""
        now = time.perf_counter()
        perf = {name: self._seconds[name] for name in (*PARTS, "calls_s", *SAMPLER_PERF)}
        perf["other_s"] = now - self._began - sum(perf[name] for name in PARTS)
        perf["runner_s"] = 0.0 if self._ended is None else self._began - self._ended
        steps, worked = max(self._steps, 1), self._worked
        sampler = {key: 1000 * worked[name] / steps for name, key in SAMPLER_PERF.items()}
        self._ended, self._steps, self._worked = now, 0, defaultdict(float)
        return perf, sampler
