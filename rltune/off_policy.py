"""The off-policy loop: sample into a replay buffer, train on what it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rltune.algorithm import Algorithm
from rltune.algorithm_config import AlgorithmConfig
from rltune.config import option
from rltune.effective import Use
from rltune.replay.buffer import ReplayBuffer
from rltune.replay.prioritized import PrioritizedReplayBuffer
from rltune.sample_batch import SampleBatch
from rltune.schedules import linear
from rltune.seeding import stream


@dataclass(frozen=True)
class OffPolicyConfig(AlgorithmConfig):
    """Replay and target networks."""

    AT_MOST: ClassVar[tuple[tuple[str, str], ...]] = (("train_batch_size", "buffer_size"),)

    train_batch_size: int = option(32, "rows per gradient step", low=1)
    rollout_fragment_length: int | None = option(4, "steps per environment between updates", low=1)
    timesteps_per_iteration: int = option(1000, "least env steps in an iteration", low=0)
    training_intensity: float | None = option(
        None, "trained rows per sampled row; null is one minibatch per sample", above=0
    )
    learning_starts: int = option(1000, "rows in the buffer before the first update", low=0)
    buffer_size: int = option(50000, "transitions that the replay buffer holds", low=1)
    prioritized_replay: bool = option(True, "draws transitions by their TD error")
    prioritized_replay_alpha: float = option(
        0.6, "how much priorities matter; 0 is uniform", low=0, high=1
    )
    prioritized_replay_beta: float = option(0.4, "importance weights at the start", low=0, high=1)
    beta_annealing_fraction: float = option(
        0.2, "of schedule_max_timesteps, until beta is final", low=0, high=1
    )
    final_prioritized_replay_beta: float = option(
        0.4, "importance weights at the end", low=0, high=1
    )
    prioritized_replay_eps: float = option(1e-6, "added to TD errors", above=0)
    schedule_max_timesteps: int = option(100000, "env steps that fractions refer to", low=1)
    target_network_update_freq: int = option(500, "env steps between target updates", low=0)
    n_step: int = option(1, "rewards in a return before it bootstraps", low=1)

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.batch_mode != "truncate_episodes":
            yield "'batch_mode' must be 'truncate_episodes' for an algorithm with a replay buffer"
        if self.buffer_size < self.num_envs:
            yield (
                f"'buffer_size' is {self.buffer_size}; it must hold a row of each of the {self.num_envs} environments"
            )


logger = logging.getLogger(__name__)


class OffPolicyAlgorithm(Algorithm):
    """Learns from a replay buffer, with a target network."""

    config_class: ClassVar[type[AlgorithmConfig]] = OffPolicyConfig
    off_policy: ClassVar[bool] = True

    def _begin(self, config: Any) -> None:
        super()._begin(config)
        self.replay = self._empty_replay()
        self.num_target_updates = 0
        self._rows_owed = 0.0
        self._last_target_update = 0

    def _empty_replay(self) -> ReplayBuffer:
        cfg = self.cfg
        rng = stream(cfg.seed, "replay")
        if not cfg.prioritized_replay:
            return ReplayBuffer(cfg.buffer_size, rng)
        return PrioritizedReplayBuffer(
            cfg.buffer_size, rng, cfg.prioritized_replay_alpha, cfg.prioritized_replay_eps
        )

    @classmethod
    def postprocess(cls, fragment: SampleBatch, coeffs: dict[str, float]) -> SampleBatch:
        """Nothing to add: n-step returns are computed when the buffer is sampled."""
        return fragment

    def training_step(self) -> dict[str, Any]:
        cfg = self.cfg
        coeffs = self.coeffs()
        rollouts = self.sample(coeffs)
        fragment = SampleBatch.concat([rollout.batch for rollout in rollouts], axis=1)
        self.replay.add(fragment, np.concatenate([rollout.starts for rollout in rollouts]))
        if len(self.replay) < max(min(cfg.learning_starts, cfg.buffer_size), 1):
            return {}
        updates = self._updates_due(sum(rollout.steps for rollout in rollouts))
        if not updates:
            return {}
        extra = (self._beta(),) if cfg.prioritized_replay else ()
        batch, rows = self.replay.sample(
            updates, cfg.train_batch_size, cfg.n_step, coeffs["gamma"], *extra
        )
        index = np.arange(len(rows), dtype=np.int32).reshape(updates, cfg.train_batch_size)
        stats, outputs = self.learner.update(
            batch, index, {**coeffs, "target_tau": self._target_tau(updates)}
        )
        if isinstance(self.replay, PrioritizedReplayBuffer):
            self.replay.update_priorities(rows, outputs["td_error"].ravel())
        self.num_steps_trained += len(rows)
        self._sync_policy()
        return {
            "cur_lr": coeffs["lr"],
            **{name: float(np.mean(values)) for name, values in stats.items()},
        }

    def _updates_due(self, sampled: int) -> int:
        """Gradient steps after `sampled` env steps; a remainder is kept for the next time."""
        cfg = self.cfg
        if cfg.training_intensity is None:
            return 1
        self._rows_owed += cfg.training_intensity * sampled
        updates = int(self._rows_owed // cfg.train_batch_size)
        self._rows_owed -= updates * cfg.train_batch_size
        return updates

    def _target_tau(self, updates: int) -> np.ndarray:
        """Per gradient step, how far the target follows: 1 after the last one, when an update of the target is due.

        It never moves within a call: its frequency counts env steps, and there are none between those gradient steps.
        """
        tau = np.zeros(updates)
        if self.num_steps_sampled - self._last_target_update >= self.cfg.target_network_update_freq:
            tau[-1] = 1.0
            self._last_target_update = self.num_steps_sampled
            self.num_target_updates += 1
        return tau

    def _beta(self) -> float:
        cfg = self.cfg
        return linear(
            cfg.prioritized_replay_beta,
            cfg.final_prioritized_replay_beta,
            cfg.beta_annealing_fraction * cfg.schedule_max_timesteps,
            self.num_steps_sampled,
        )

    def get_state(self, whole: bool = False) -> dict[str, Any]:
        state = super().get_state(whole)
        state["algorithm"] |= {
            "num_target_updates": self.num_target_updates,
            "rows_owed": self._rows_owed,
            "last_target_update": self._last_target_update,
        }
        if whole or self.cfg.store_buffer_in_checkpoints:
            arrays, meta = self.replay.get_state()
            state["replay"] = {"arrays": arrays, "meta": meta}
        return state

    def _take_over(self, state: dict[str, Any]) -> None:
        super()._take_over(state)
        own = state["algorithm"]
        self.num_target_updates = own["num_target_updates"]
        self._rows_owed, self._last_target_update = own["rows_owed"], own["last_target_update"]

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        if (replay := self._saved_replay(state)) is not None:
            self.replay.set_state(replay)

    def inherit_state(self, state: dict[str, Any]) -> None:
        super().inherit_state(state)
        if (replay := self._saved_replay(state)) is not None:
            self.replay.inherit(replay)

    def _saved_replay(self, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The buffer's part of a state. Where there is none that fits, the buffer is emptied: what it holds belongs to
        other episodes."""
        problem = None
        if "replay" not in state:
            problem = "the checkpoint has no replay buffer (store_buffer_in_checkpoints)"
        else:
            arrays, meta = state["replay"]["arrays"], state["replay"]["meta"]
            num_envs = arrays["linked"].shape[1]
            if meta["times"] == 0 or num_envs == self.cfg.num_envs:
                return arrays, meta
            problem = f"the checkpoint's replay buffer is of {num_envs} environments, this run has {self.cfg.num_envs}"
        logger.warning("%s: it fills again", problem)
        self._exact = False
        self.replay = self._empty_replay()
        return None

    def values_in_use(self) -> list[Use]:
        replay: list[Use] = [("the replay buffer", "buffer_size", self.replay.capacity)]
        if isinstance(self.replay, PrioritizedReplayBuffer):
            replay += [
                ("the replay buffer", "prioritized_replay_alpha", self.replay.alpha),
                ("the replay buffer", "prioritized_replay_eps", self.replay.eps),
            ]
        return [*super().values_in_use(), *replay]
