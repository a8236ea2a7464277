"""A policy: observations to actions, plus what training must remember. Acts in numpy, whatever trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rltune.algorithm_config import AlgorithmConfig
from rltune.config import ConfigError
from rltune.envs.filters import MeanStdFilter, NoFilter
from rltune.envs.spaces import ActionAdapter, ObsPreprocessor, ObsSpec
from rltune.frameworks import _numpy as ops
from rltune.models.distributions import Distribution
from rltune.models.encoders import filters_for, image_problems
from rltune.models.networks import Model

if TYPE_CHECKING:
    from rltune.sample_batch import SampleBatch


class PolicyPieces(Protocol):
    """What an algorithm class says about its policy and its samples, without being built."""

    off_policy: bool  # samples keep new_obs and stay time-major, for a replay buffer

    @classmethod
    def space_problems(cls, obs_space: Any, action_space: Any) -> list[str]: ...

    @classmethod
    def make_distribution(cls, config: Any, action_space: Any) -> Distribution: ...

    @classmethod
    def make_model(cls, config: Any, obs: ObsSpec, distribution: Distribution) -> Model: ...

    @classmethod
    def postprocess(cls, fragment: SampleBatch, coeffs: dict[str, float]) -> SampleBatch:
        """Adds what the loss needs to a time-major fragment; runs where the sampling runs."""


@dataclass
class Policy:
    """`params` are read-only to the policy: `set_weights` replaces them."""

    model: Model
    distribution: Distribution
    preprocessor: ObsPreprocessor
    actions: ActionAdapter
    filter: MeanStdFilter | NoFilter
    params: dict[str, np.ndarray]
    weights_version: int = -1

    @classmethod
    def build(
        cls, pieces: PolicyPieces, config: AlgorithmConfig, obs_space: Any, action_space: Any
    ) -> Policy:
        """Raises ConfigError where the spaces do not suit."""
        problems = [
            *pieces.space_problems(obs_space, action_space),
            *image_problems(obs_space, config),
        ]
        if problems:
            raise ConfigError(problems, f"{config.owner()} config")
        preprocessor = ObsPreprocessor(obs_space, bool(filters_for(obs_space.shape, config.model)))
        distribution = pieces.make_distribution(config, action_space)
        model = pieces.make_model(config, preprocessor.spec, distribution)
        adapter = ActionAdapter(action_space, config.clip_actions, config.normalize_actions)
        normalise = config.observation_filter == "MeanStdFilter"
        obs_filter = MeanStdFilter(*preprocessor.spec.shape) if normalise else NoFilter()
        return cls(model, distribution, preprocessor, adapter, obs_filter, {})

    def set_weights(self, params: dict[str, np.ndarray], version: int) -> None:
        self.params, self.weights_version = params, version

    def act(
        self, obs: np.ndarray, noise: np.ndarray | None, exploration: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """(actions [N, ...], action_dist_inputs [N, k]) for filtered obs [N, ...]; greedy without noise."""
        inputs = self.model.policy(ops, self.params, obs)
        if noise is None:
            return self.distribution.mode(inputs), inputs
        return self.distribution.sample(inputs, noise, exploration), inputs

    def compute_actions(
        self, raw_obs: Any, noise: np.ndarray | None = None, exploration: float = 1.0
    ) -> np.ndarray:
        """Actions as the environment takes them, for a batch of its own observations."""
        obs = self.filter.apply(self.preprocessor(raw_obs))
        return self.actions.to_env(self.act(obs, noise, exploration)[0])

    def logp(self, inputs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log-probabilities [B] of unclipped actions."""
        return np.asarray(self.distribution.logp(ops, inputs, actions), np.float32)

    def value(self, obs: np.ndarray) -> np.ndarray:
        """Value estimates for filtered obs [..., *shape]."""
        if self.preprocessor.spec.is_image and obs.ndim > 4:  # a step at a time: images are large
            return np.stack([self.value(step) for step in obs])
        return np.asarray(self.model.value(ops, self.params, obs), np.float32)
