"""One process that samples: vectorised environments stepped with a copy of the policy."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rltune import registry
from rltune import sample_batch as columns
from rltune.algorithm_config import AlgorithmConfig
from rltune.envs.atari import Frames
from rltune.envs.filters import RewardNormalizer
from rltune.envs.make import resolve_env
from rltune.envs.vector import VectorEnv, make_vector_env
from rltune.policy import Policy, PolicyPieces
from rltune.sample_batch import SampleBatch
from rltune.seeding import seed_sequence, stream

logger = logging.getLogger(__name__)

PATIENCE = 10_000
"""Steps without whole episodes before a worker says that it waits for them."""


MAX_EPISODE_STEPS = 100_000
"""An episode longer than this is taken for one without an end, where something waits for it."""


@dataclass
class Orders:
    """What a worker samples with: weights (None: those it has), coefficients, and filter statistics."""

    weights: dict[str, np.ndarray] | None
    weights_version: int
    coeffs: dict[str, float]
    filters: dict[str, Any] = field(default_factory=dict)


@dataclass
class Rollout:
    """What a worker brings back. `batch` is post-processed: flat rows, or time-major where the algorithm says so."""

    batch: SampleBatch
    steps: int
    episode_rewards: np.ndarray
    episode_lengths: np.ndarray
    weights_version: int
    filter_deltas: dict[str, Any]
    starts: np.ndarray
    perf: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As checkpoints hold it: without the time it took."""
        return {**vars(self), "batch": dict(self.batch), "perf": {}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Rollout:
        """The inverse of `to_dict`."""
        return cls(**{**values, "batch": SampleBatch(values["batch"])})


class Episodes(NamedTuple):
    """Episodes that have ended: arrays of one or several of them."""

    rewards: list[np.ndarray]
    lengths: list[np.ndarray]

    def joined(self) -> tuple[np.ndarray, np.ndarray]:
        """Rewards (float64) and lengths (int64) of all of them."""
        none: tuple[np.ndarray, np.ndarray] = np.zeros(0), np.zeros(0, np.int64)
        return (
            (np.concatenate(self.rewards), np.concatenate(self.lengths)) if self.rewards else none
        )


class RolloutWorker:
    """Owns the environments `first_env .. first_env + num_envs - 1` of the run. Worker 0 is in the trial's process."""

    def __init__(
        self, pieces: PolicyPieces, config: AlgorithmConfig, worker_index: int = 0, restarts: int = 0,
        registry_snapshot: bytes | None = None,
    ):  # fmt: skip
        self._pieces, self._worker_index = pieces, worker_index
        self.reset(config, restarts, registry_snapshot)

    def reset(
        self, config: AlgorithmConfig, restarts: int = 0, registry_snapshot: bytes | None = None
    ) -> None:
        """Begins as a worker that was made with `config` does. Of the former run nothing is left but the process.

        Environments are made anew too: what one remembers across its own resets would belong to the former run.
        """
        if registry_snapshot is not None:
            registry.install(registry_snapshot)
            if not config.num_gpus_per_worker:
                os.environ["CUDA_VISIBLE_DEVICES"] = ""
        assert config.seed is not None
        self.stop()
        self._config = config
        n = config.num_envs_per_worker
        first = max(self._worker_index - 1, 0) * n
        self._first_env, self._num_envs = first, n
        seeds = [seed_sequence(config.seed, "env", first + i, restarts) for i in range(n)]
        spec = resolve_env(config.env, config.env_config, Frames.of(config.to_dict()))
        self._envs: VectorEnv = make_vector_env(spec, n, seeds, worker_index=self._worker_index)
        self.spaces = (self._envs.single_observation_space, self._envs.single_action_space)
        self.policy = Policy.build(self._pieces, config, *self.spaces)
        self._rngs = [stream(config.seed, "action", first + i, restarts) for i in range(n)]
        self._normalizer = RewardNormalizer(n, config.gamma) if config.normalize_rewards else None
        self._obs = self.policy.preprocessor(self._envs.reset())
        self._episode_reward, self._episode_length = np.zeros(n), np.zeros(n, np.int64)
        self._starts = np.ones(n, bool)
        self._pending: SampleBatch | None = None
        self._patience = PATIENCE

    def get_spaces(self) -> tuple[Any, Any]:
        """(observation space, action space) of one environment."""
        return self.spaces

    def sample(
        self, orders: Orders, steps: int, weights: dict[str, np.ndarray] | None = None
    ) -> Rollout:
        """`steps` steps of every environment; with batch_mode complete_episodes, as many rows of whole episodes.

        `weights` stand in for those of the orders: a Ray call resolves references only among its own arguments.
        """
        arrived = time.perf_counter()
        if (weights := weights or orders.weights) is not None:
            self.policy.set_weights(weights, orders.weights_version)
        if "obs" in orders.filters:
            self.policy.filter.set_state(orders.filters["obs"])
        if self._normalizer and "reward" in orders.filters:
            self._normalizer.set_state(orders.filters["reward"])
        episodes = Episodes([], [])
        perf = {"env_s": 0.0, "inference_s": 0.0, "processing_s": 0.0}
        starts, self._starts = self._starts, np.zeros(self._num_envs, bool)
        whole = self._config.batch_mode == "complete_episodes"
        sampled, wanted = 0, steps * self._num_envs if whole else 0
        while True:
            fragment = self._run(steps, orders.coeffs, episodes, perf)
            sampled += int(fragment[columns.VALID].sum())
            if whole and self._pending is not None:
                fragment = SampleBatch.concat([self._pending, fragment])
            keep = _finished(fragment) if whole else fragment[columns.VALID]
            if keep.sum() >= wanted:
                break
            if len(keep) > MAX_EPISODE_STEPS:
                raise RuntimeError(
                    f"no episode ended in {len(keep)} steps, but batch_mode complete_episodes waits for one: "
                    "give the environment a time limit, or use truncate_episodes"
                )
            self._pending = fragment
            if fragment.count >= self._patience:
                logger.warning(
                    "%d steps in each environment and still fewer than %d of finished episodes, which batch_mode "
                    "complete_episodes waits for: does this environment end its episodes?",
                    fragment.count, wanted,
                )  # fmt: skip
                self._patience *= 10
        if whole:
            self._pending = _remainder(fragment, keep)
        began = time.perf_counter()
        batch = self._pieces.postprocess(fragment, orders.coeffs)
        if not self._pieces.off_policy:
            batch = batch.rows(keep)
        deltas = {
            "obs": self.policy.filter.pop_delta(),
            "reward": self._normalizer.pop_delta() if self._normalizer else {},
        }
        now = time.perf_counter()
        perf["processing_s"] += now - began
        perf["total_s"] = now - arrived
        return Rollout(
            batch, sampled, *episodes.joined(), self.policy.weights_version, deltas, starts, perf
        )

    def _run(
        self, steps: int, coeffs: dict[str, float], episodes: Episodes, perf: dict[str, float]
    ) -> SampleBatch:
        """The sampling loop: nothing in it is per environment. Finished episodes go to `episodes`."""
        policy, n = self.policy, self._num_envs
        noise = np.stack([policy.distribution.noise(rng, steps) for rng in self._rngs], 1)
        exploration = coeffs.get("epsilon", 1.0)
        spec = policy.preprocessor.spec
        obs = np.empty((steps + 1, n, *spec.shape), spec.dtype)
        actions = np.empty((steps, n, *policy.actions.shape), policy.actions.dtype)
        inputs = np.empty((steps, n, policy.distribution.num_inputs), np.float32)
        got = np.empty((steps, n), np.float32)
        terminateds, truncateds, valid = (np.empty((steps, n), bool) for _ in range(3))
        finals: list[tuple[int, np.ndarray, np.ndarray]] = []
        preprocess, filtered, to_env = (
            policy.preprocessor,
            policy.filter.apply,
            policy.actions.to_env,
        )
        act, env_step, clock = policy.act, self._envs.step, time.perf_counter
        now, acting, stepping = self._obs, 0.0, 0.0
        for t in range(steps):
            began = clock()
            obs[t] = now
            action, inputs[t] = act(filtered(now), noise[t], exploration)
            actions[t] = action
            acted = clock()
            step = env_step(to_env(action))
            stepped = clock()
            acting += acted - began
            stepping += stepped - acted
            now = preprocess(step.obs)
            got[t], valid[t] = step.rewards, step.valid
            terminateds[t], truncateds[t] = step.terminateds, step.truncateds
            self._episode_reward += step.rewards
            self._episode_length += step.valid
            (ended,) = (step.terminateds | step.truncateds).nonzero()
            if len(ended):
                finals.append((t, ended, preprocess(step.final_obs)[ended]))
                over = ended if step.goes_on is None else ended[~step.goes_on[ended]]
                episodes.rewards.append(self._episode_reward[over])
                episodes.lengths.append(self._episode_length[over])
                self._episode_reward[over] = 0
                self._episode_length[over] = 0
        self._obs = obs[steps] = now
        began = clock()
        fragment = SampleBatch(
            {
                columns.OBS: obs[:-1],
                columns.ACTIONS: actions,
                columns.REWARDS: got,
                columns.TERMINATEDS: terminateds,
                columns.TRUNCATEDS: truncateds & ~terminateds,
                columns.VALID: valid,
            }
        )
        self._finish(fragment, obs, inputs, finals)
        perf["env_s"] += stepping
        perf["inference_s"] += acting
        perf["processing_s"] += clock() - began
        return fragment

    def _finish(
        self, fragment: SampleBatch, obs: np.ndarray, inputs: np.ndarray,
        finals: list[tuple[int, np.ndarray, np.ndarray]],
    ) -> None:  # fmt: skip
        """Filters and normalises the whole fragment at once, and adds what the algorithm must remember."""
        policy = self.policy
        valid = fragment[columns.VALID]
        policy.filter.observe(obs[:-1], valid)
        filtered = policy.filter.apply(obs)
        fragment[columns.OBS] = filtered[:-1]
        if self._pieces.off_policy:
            new_obs = filtered[1:].copy()
            for t, rows, last in finals:
                new_obs[t, rows] = policy.filter.apply(last)
            fragment[columns.NEW_OBS] = new_obs
        if policy.model.has_value:
            fragment[columns.VF_PREDS] = policy.value(fragment[columns.OBS])
            fragment[columns.BOOTSTRAP] = self._bootstrap(fragment, filtered[-1], finals)
        if not self._pieces.off_policy:
            fragment[columns.ACTION_DIST_INPUTS] = inputs
            fragment[columns.ACTION_LOGP] = policy.logp(inputs, fragment[columns.ACTIONS])
        if self._config.clip_rewards:
            fragment[columns.REWARDS] = np.sign(fragment[columns.REWARDS])
        elif self._normalizer:
            ends = fragment[columns.TERMINATEDS] | fragment[columns.TRUNCATEDS]
            self._normalizer.observe(fragment[columns.REWARDS], ends, valid)
            fragment[columns.REWARDS] = self._normalizer.apply(fragment[columns.REWARDS])

    def _bootstrap(
        self,
        fragment: SampleBatch,
        next_obs: np.ndarray,
        finals: list[tuple[int, np.ndarray, np.ndarray]],
    ) -> np.ndarray:
        """V(true next observation) at truncated rows and in the last one; other entries stay 0 and are not read."""
        values = np.zeros(fragment[columns.REWARDS].shape, np.float32)
        values[-1] = self.policy.value(next_obs)
        for t, rows, last in finals:
            if (cut := fragment[columns.TRUNCATEDS][t, rows]).any():
                last_obs = self.policy.filter.apply(last[cut])
                values[t, rows[cut]] = self.policy.value(last_obs)
        values[fragment[columns.TERMINATEDS]] = 0.0
        return values

    def get_state(self) -> dict[str, Any]:
        """Everything that the next sample depends on, weights and filters aside."""
        state = {
            "envs": self._envs.get_state(),
            "rngs": [rng.bit_generator.state for rng in self._rngs],
            "episode_reward": self._episode_reward,
            "episode_length": self._episode_length,
            "starts": self._starts,
            "pending": None if self._pending is None else dict(self._pending),
        }
        if self._normalizer:
            state["normalizer_returns"] = self._normalizer.get_returns()
        return state

    def set_state(self, state: dict[str, Any]) -> bool:
        """False where an environment could not be brought back exactly: there a new episode starts."""
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        self._pending = None if state["pending"] is None else SampleBatch(state["pending"])
        if self._normalizer:
            self._normalizer.set_returns(state["normalizer_returns"])
        exact = self._envs.set_state(state["envs"])
        fresh = ~self._envs.restored
        self._obs = self.policy.preprocessor(self._envs.obs)
        self._episode_reward = np.where(fresh, 0.0, state["episode_reward"])
        self._episode_length = np.where(fresh, 0, state["episode_length"])
        self._starts = state["starts"] | fresh
        return exact

    def values_in_use(self) -> dict[str, Any]:
        """The settings that the parts of this worker were made with, by config key."""
        used = {
            "num_envs_per_worker": self._envs.num_envs,
            "observation_filter": type(self.policy.filter).__name__,
            "normalize_rewards": self._normalizer is not None,
            **{key: getattr(self._config, key) for key in ("batch_mode", "clip_rewards", "seed")},
        }
        return used if self._normalizer is None else {**used, "gamma": self._normalizer.gamma}

    def stop(self) -> None:
        if "_envs" in vars(self):
            self._envs.close()
            del self._envs


def _finished(fragment: SampleBatch) -> np.ndarray:
    """Which rows [T, N] belong to an episode that ends within the fragment."""
    ends = fragment[columns.TERMINATEDS] | fragment[columns.TRUNCATEDS]
    return fragment[columns.VALID] & np.flip(np.maximum.accumulate(np.flip(ends, 0), 0), 0)


def _remainder(fragment: SampleBatch, delivered: np.ndarray) -> SampleBatch | None:
    """The rows that are still to be delivered. Time-major columns cannot be ragged: a delivered row that precedes, in
    time, another environment's pending one stays in as invalid."""
    pending = fragment[columns.VALID] & ~delivered
    steps = np.flatnonzero(pending.any(1))
    if not len(steps):
        return None
    rest = SampleBatch({name: column[steps[0] :] for name, column in fragment.items()})
    rest[columns.VALID] = pending[steps[0] :]
    return rest
