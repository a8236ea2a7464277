"""The algorithm as a trainable: samples in, weights out, results and checkpoints around it.

Subclasses say which batches go to the learner (`training_step`); `agents/` says what is learned from them.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from rltune import checkpoint as checkpoints
from rltune.algorithm_config import AlgorithmConfig
from rltune.algorithm_state import AlgorithmState
from rltune.config import ConfigError
from rltune.effective import check_values
from rltune.env_spaces import env_spaces
from rltune.envs.atari import Frames
from rltune.envs.filters import NoFilter, RewardNormalizer
from rltune.envs.spaces import ObsSpec, unsupported_reason
from rltune.frameworks import choose, choose_framework, for_images
from rltune.learner import Learner
from rltune.metrics import EpisodeMetrics, Timers
from rltune.models.distributions import Distribution
from rltune.models.encoders import image_problems
from rltune.models.networks import Model
from rltune.policy import Policy
from rltune.resources import Resources
from rltune.rollout.evaluation import Evaluator
from rltune.rollout.worker import Orders, Rollout
from rltune.rollout.worker_set import WorkerSet, preload
from rltune.sample_batch import SampleBatch
from rltune.seeding import draw_seed, stream

A = TypeVar("A", bound="Algorithm")


class Algorithm(AlgorithmState):
    """A reinforcement-learning algorithm. Config is a dict of `config_class`'s keys, `env` among them."""

    config_class: ClassVar[type[AlgorithmConfig]] = AlgorithmConfig
    off_policy: ClassVar[bool] = False
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "MultiDiscrete", "Box")
    _built: AlgorithmConfig | None = None
    """What everything here was built for; None while nothing is whole."""
    _unverified: str | None = None
    """After what the next update is still to be compared with the config."""

    def __init__(
        self, config: dict[str, Any] | None = None, env: Any = None, logger_creator: Any = None
    ):
        config = dict(config or {})
        if env is not None:
            config["env"] = env
        config.setdefault("log_sys_usage", AlgorithmConfig.log_sys_usage)
        super().__init__(config, logger_creator)
        self.check_values("building")

    # What an algorithm is made of.

    @classmethod
    def make_distribution(cls, config: Any, action_space: Any) -> Distribution:
        raise NotImplementedError

    @classmethod
    def make_model(cls, config: Any, obs: ObsSpec, distribution: Distribution) -> Model:
        raise NotImplementedError

    @classmethod
    def postprocess(cls, fragment: SampleBatch, coeffs: dict[str, float]) -> SampleBatch:
        """Adds to a time-major fragment what the loss needs; runs where the sampling runs."""
        raise NotImplementedError

    def loss(
        self, ops: Any, params: Any, batch: Any, coeffs: Any
    ) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """(scalar loss, statistics: scalars, outputs per row [B]); off-policy losses also take `target` parameters.

        `coeffs` holds what may change while training; the rest is `self.cfg`.
        """
        raise NotImplementedError

    def training_step(self) -> dict[str, Any]:
        """Samples, updates, and returns the learner's statistics; empty where no update was due."""
        raise NotImplementedError

    # Before anything is built.

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """Raises ConfigError with every problem of the config, its framework and its environment's spaces.

        Environments that a registered creator makes are left to the trial: creators run nowhere else.
        """
        typed, problems = cls.config_class.parse(config)
        env = config.get("env")
        if env is None:
            problems.append(
                "no environment: set 'env' (--env) to a Gymnasium id or a registered name"
            )
        else:
            spaces = env_spaces(
                env, config.get("env_config") or {}, Frames.of(typed.to_dict() if typed else {})
            )
            if isinstance(spaces, str):
                problems.append(spaces)
            elif spaces is not None:
                problems += cls.space_problems(*spaces)
                problems += image_problems(spaces[0], typed) if typed is not None else []
        if typed is not None:
            try:
                choose_framework(typed.framework)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems, f"{cls.__name__} config")

    @classmethod
    def clip_config(cls, config: dict[str, Any]) -> dict[str, Any]:
        """`config` with the numbers that its keys' ranges rule out moved to the nearest allowed ones."""
        return cls.config_class.clip(config)

    @classmethod
    def space_problems(cls, obs_space: Any, action_space: Any) -> list[str]:
        """Why an environment with these spaces does not suit; empty where it does."""
        reasons = [
            unsupported_reason(obs_space, "observation"),
            unsupported_reason(action_space, "action"),
        ]
        kind = type(action_space).__name__
        if reasons[1] is None and kind not in cls.action_spaces:
            wanted = " or ".join(cls.action_spaces)
            reasons[1] = (
                f"{cls.__name__} needs a {wanted} action space; this environment has {action_space}"
            )
        return [reason for reason in reasons if reason is not None]

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Resources:
        typed = cls.config_class.from_dict(config)
        extra = {
            name: n * typed.num_workers for name, n in typed.custom_resources_per_worker.items()
        }
        return Resources(
            cpu=typed.num_cpus_for_driver,
            gpu=typed.num_gpus,
            extra_cpu=typed.num_cpus_per_worker * typed.num_workers,
            extra_gpu=typed.num_gpus_per_worker * typed.num_workers,
            extra_custom_resources=extra,
        )

    @classmethod
    def placement_bundles(cls, config: dict[str, Any]) -> list[dict[str, float]]:
        """One bundle of Ray resources per rollout actor."""
        typed = cls.config_class.from_dict(config)
        bundle = {"CPU": typed.num_cpus_per_worker, "GPU": typed.num_gpus_per_worker}
        bundle |= typed.custom_resources_per_worker
        return [{name: n for name, n in bundle.items() if n}] * typed.num_workers

    @classmethod
    def resource_help(cls, config: dict[str, Any]) -> str:
        return (
            "Lower num_workers, num_cpus_per_worker, num_gpus or num_gpus_per_worker in the config."
        )

    # Building.

    def _setup(self, config: dict[str, Any]) -> None:
        """Builds everything for `config`. What is costly and was built for another one before is used again."""
        typed = self._read_config(config)
        former, self._built = self._built, None
        stale = {"workers", "learner"} if former is None else typed.rebuilds(former)
        assert typed.seed is not None
        self.cfg = typed
        logging.basicConfig()  # nothing where the application has set up its logging
        logging.getLogger("rltune").setLevel(typed.log_level)
        self._end_evaluation()
        preload(typed)
        # The framework is imported while Ray and the actors start, which is mostly waiting.
        with ThreadPoolExecutor(1) as aside:
            if "learner" in stale:
                chosen = aside.submit(choose, typed.framework, typed.num_gpus)
            if "workers" in stale:
                self._end_workers()
                self.workers = WorkerSet(type(self), typed)
            else:
                self.workers.reset(typed)
            spaces = self.workers.spaces()
        self.observation_space, self.action_space = spaces
        self.policy = Policy.build(type(self), typed, *spaces)
        self.model, self.distribution = self.policy.model, self.policy.distribution
        if "learner" in stale:
            framework, device = chosen.result()
            if self.policy.preprocessor.spec.is_image:
                framework = for_images(typed.framework, framework, device)
            self.learner = Learner(
                framework, self.model, self.loss, stream(typed.seed, "init"), has_target=self.off_policy,
                device=device, threads=typed.num_cpus_for_driver,
            )  # fmt: skip
        else:
            self.learner.reset(self.model, stream(typed.seed, "init"))
        self._begin(typed)
        self._sync_policy()
        self._built = typed

    def _read_config(self, config: dict[str, Any]) -> AlgorithmConfig:
        """The typed config; a seed that was not given is drawn, and recorded in `self.config`. Raises ConfigError."""
        typed, problems = self.config_class.parse(config)
        if typed is None or typed.env is None:
            raise ConfigError(
                problems or ["no environment: set 'env'"], f"{type(self).__name__} config"
            )
        choose_framework(typed.framework)
        if typed.seed is None:
            self.config["seed"] = draw_seed()
            typed = dataclasses.replace(typed, seed=self.config["seed"])
        return typed

    def _begin(self, config: AlgorithmConfig) -> None:
        """What costs nothing to make, and must remember nothing; subclasses add theirs."""
        assert config.seed is not None
        self._learner_rng = stream(config.seed, "learner")
        # Whoever asks for actions must not change training.
        self._caller_rng = stream(config.seed, "compute_action")
        self.metrics = EpisodeMetrics(config.metrics_smoothing_episodes)
        self.timers = Timers()
        self._reward_filter = (
            RewardNormalizer(1, config.gamma) if config.normalize_rewards else NoFilter()
        )
        self.adapted = config.adaptive()
        self.num_steps_sampled = self.num_steps_trained = 0
        self._exact = True
        self._rollout_steps = config.rollout_fragment_length or self._fitting_fragment(config)

    @classmethod
    def _fitting_fragment(cls, config: AlgorithmConfig) -> int:
        """Steps per environment that make one sample as large as a training batch."""
        return -(-config.train_batch_size // config.num_envs)

    # One iteration.

    def sample(self, coeffs: dict[str, float]) -> list[Rollout]:
        """One rollout of every worker with the newest weights, counted and its filter statistics merged.

        With `sample_async` the next one begins here too, so that it has the weights from before the update that
        follows; only the first of all is waited for from its beginning.
        """
        with self.timers.measure("sampling_s"):
            rollouts = self.workers.sample(self._orders(coeffs), self._rollout_steps)
            self.policy.filter.merge([r.filter_deltas["obs"] for r in rollouts])
            self._reward_filter.merge([r.filter_deltas["reward"] for r in rollouts])
            if self.cfg.sample_async:
                self.workers.start(self._orders(coeffs), self._rollout_steps)
        for rollout in rollouts:
            self.metrics.add(rollout.episode_rewards, rollout.episode_lengths)
        steps = sum(rollout.steps for rollout in rollouts)
        self.timers.add_work([rollout.perf for rollout in rollouts], steps)
        self.num_steps_sampled += steps
        return rollouts

    def _orders(self, coeffs: dict[str, float]) -> Orders:
        filters = {"obs": self.policy.filter.get_state(), "reward": self._reward_filter.get_state()}
        return Orders(self.policy.params, self.policy.weights_version, coeffs, filters)

    def _train(self) -> dict[str, Any]:
        began, before = time.monotonic(), self.num_steps_sampled
        learner_stats: dict[str, Any] = {}
        self.timers.start()
        self.learner.update_s = self.workers.calls_s = 0.0
        while True:
            learner_stats = self._checked_step() or learner_stats
            sampled = self.num_steps_sampled - before
            elapsed = time.monotonic() - began
            if sampled >= self.cfg.timesteps_per_iteration and elapsed >= self.cfg.min_iter_time_s:
                break
        result = {
            **self.metrics.pop(),
            "timesteps_this_iter": sampled,
            "timesteps_total": self.num_steps_sampled,
            "num_healthy_workers": self.workers.num_healthy if self.cfg.num_workers else 0,
            "num_worker_restarts": self.workers.num_restarts,
            "weights_version": self.learner.weights_version,
            "framework": self.learner.framework,
            "device": self.learner.device,
            "policy_reward_mean": {},
            "custom_metrics": {},
            "off_policy_estimator": {},
            "info": {
                "num_steps_sampled": self.num_steps_sampled,
                "num_steps_trained": self.num_steps_trained,
                **self.more_info(),
                "learner": learner_stats,
            },
        }
        interval = self.cfg.evaluation_interval
        if interval and (self.iteration + 1) % interval == 0:
            result["evaluation"] = self.evaluate()
        self.timers.add("update_s", self.learner.update_s)
        self.timers.add("calls_s", self.workers.calls_s)
        result["perf"], result["sampler_perf"] = self.timers.pop()
        if callback := self.cfg.callbacks.get("on_train_result"):
            callback({"trainer": self, "result": result})
        return result

    def _checked_step(self) -> dict[str, Any]:
        """A training step; the first update after `check_values` is compared with the config too."""
        if self._unverified is None:
            return self.training_step()
        wanted, version = self.wanted_values(), self.learner.weights_version
        stats = self.training_step()
        if self.learner.weights_version != version:
            used = self.learner.coeffs_in_use.items()
            check_values([("the update", *use) for use in used], wanted, self._unverified)
            self._unverified = None
        return stats

    def check_values(self, after: str) -> None:
        super().check_values(after)
        self._unverified = after

    def more_info(self) -> dict[str, Any]:
        """Further entries of the result's `info`."""
        return {}

    # Using what was learned.

    def evaluate(self) -> dict[str, Any]:
        """Plays `evaluation_num_episodes` episodes; see `Evaluator.evaluate`."""
        if self._evaluator is None:
            self._evaluator = Evaluator(self.cfg)
        return self._evaluator.evaluate(self.policy, self.coeffs().get("epsilon", 1.0))

    def compute_action(self, observation: Any, explore: bool = False) -> Any:
        """The action for one observation of the environment, as the environment takes it; greedy unless `explore`."""
        obs = self.policy.filter.apply(self.policy.preprocessor.single(observation)[None])
        noise = self.distribution.noise(self._caller_rng, 1) if explore else None
        action = self.policy.actions.to_env(
            self.policy.act(obs, noise, self.coeffs().get("epsilon", 1.0))[0]
        )[0]
        return action.item() if isinstance(action, np.generic) else action

    def get_weights(self) -> dict[str, np.ndarray]:
        """Named parameters of the policy."""
        return self.learner.get_weights()

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over parameters from `get_weights`; the optimiser starts afresh."""
        self.learner.set_weights(weights)
        self._sync_policy()

    @classmethod
    def from_checkpoint(
        cls: type[A], path: str | Path, config_overrides: dict[str, Any] | None = None
    ) -> A:
        """The algorithm of a checkpoint, built from its own config and restored.

        Of the class that it is called on; `Algorithm.from_checkpoint` finds the class by its registered name.
        """
        from rltune.registry import get_trainable_cls

        manifest = checkpoints.read_manifest(path)
        kind = get_trainable_cls(manifest["algorithm"]) if cls is Algorithm else cls
        kind._check_algorithm(manifest, path)
        algorithm: A = kind({**manifest["config"], **(config_overrides or {})})
        algorithm.restore(str(path))
        return algorithm

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Becomes what the constructor makes of `new_config`, which it takes for its own.

        Rollout actors and what the framework has built go on, unless a key that they depend on has changed (`rebuild`
        of `rltune.config.option`); nothing of the former trial's training does. Raises as the constructor does: where
        the config cannot be read everything is as before, after another error only `reset_config` and `stop` can be
        called.
        """
        former = self.config
        self.config = new_config
        new_config.setdefault("log_sys_usage", AlgorithmConfig.log_sys_usage)
        try:
            self._read_config(new_config)
        except ConfigError:
            self.config = former
            raise
        self._start_over()
        try:
            self._setup(new_config)
        except BaseException:
            self._built = None
            self._stop()
            raise
        self.check_values("reset_config")
        return True

    def _stop(self) -> None:
        self._end_evaluation()
        self._end_workers()

    def _end_workers(self) -> None:
        if "workers" in vars(self):
            self.workers.stop()

    def _end_evaluation(self) -> None:
        evaluator, self._evaluator = vars(self).get("_evaluator"), None
        if evaluator is not None:
            evaluator.stop()
