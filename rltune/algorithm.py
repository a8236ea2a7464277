"""The algorithm as a trainable: samples in, weights out, results and checkpoints around it.

Subclasses say which batches go to the learner (`training_step`); `agents/` says what is learned from them.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np

from rltune import checkpoint as checkpoints
from rltune.algorithm_config import AlgorithmConfig
from rltune.config import ConfigError
from rltune.envs.errors import EnvError
from rltune.envs.filters import NoFilter, RewardNormalizer
from rltune.envs.make import make_env, resolve_env
from rltune.envs.space_json import space_to_dict
from rltune.envs.spaces import unsupported_reason
from rltune.frameworks import choose_device, choose_framework, preload
from rltune.learner import Learner
from rltune.metrics import EpisodeMetrics, SamplerPerf
from rltune.models.distributions import Distribution
from rltune.models.networks import Model
from rltune.policy import Policy
from rltune.resources import Resources
from rltune.rollout.evaluation import Evaluator
from rltune.rollout.worker import Orders, Rollout
from rltune.rollout.worker_set import WorkerSet
from rltune.sample_batch import SampleBatch
from rltune.schedules import piecewise_linear
from rltune.seeding import draw_seed, stream
from rltune.trainable import Trainable

A = TypeVar("A", bound="Algorithm")


class Algorithm(Trainable):
    """A reinforcement-learning algorithm. Config is a dict of `config_class`'s keys, `env` among them."""

    config_class: ClassVar[type[AlgorithmConfig]] = AlgorithmConfig
    off_policy: ClassVar[bool] = False
    action_spaces: ClassVar[tuple[str, ...]] = ("Discrete", "MultiDiscrete", "Box")
    cfg: Any
    """The typed config, a `config_class`; `config` is the dict it was read from."""

    def __init__(
        self, config: dict[str, Any] | None = None, env: Any = None, logger_creator: Any = None
    ):
        config = dict(config or {})
        if env is not None:
            config["env"] = env
        config.setdefault("log_sys_usage", AlgorithmConfig.log_sys_usage)
        super().__init__(config, logger_creator)

    # What an algorithm is made of.

    @classmethod
    def make_distribution(cls, config: Any, action_space: Any) -> Distribution:
        raise NotImplementedError

    @classmethod
    def make_model(cls, config: Any, obs_size: int, distribution: Distribution) -> Model:
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
            problems += cls._env_problems(env, config.get("env_config") or {})
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
    def _env_problems(cls, env: Any, env_config: dict[str, Any]) -> list[str]:
        try:
            spec = resolve_env(env, env_config)
            if spec.gym_id is None:
                return []
            instance = make_env(spec)
        except (EnvError, TypeError, gymnasium.error.Error) as error:
            return [f"env {env!r}: {error}" if not isinstance(error, EnvError) else str(error)]
        spaces = instance.observation_space, instance.action_space
        instance.close()
        return cls.space_problems(*spaces)

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
        typed, problems = self.config_class.parse(config)
        if typed is None or typed.env is None:
            raise ConfigError(
                problems or ["no environment: set 'env'"], f"{type(self).__name__} config"
            )
        if typed.seed is None:
            config = {**config, "seed": draw_seed()}
            self.config["seed"] = config["seed"]
            typed = self.config_class.from_dict(config)
        self.cfg = typed
        logging.basicConfig()  # nothing where the application has set up its logging
        logging.getLogger("rltune").setLevel(typed.log_level)
        assert typed.seed is not None
        framework = choose_framework(typed.framework)
        self._evaluator: Evaluator | None = None
        self.workers = WorkerSet(type(self), typed)  # actors start while the framework is imported
        preload(framework)
        spaces = self.workers.spaces()
        self.observation_space, self.action_space = spaces
        self.policy = Policy.build(type(self), typed, *spaces)
        self.model, self.distribution = self.policy.model, self.policy.distribution
        self.learner = Learner(
            framework, self.model, self.loss, stream(typed.seed, "init"), has_target=self.off_policy,
            device=choose_device(framework, typed.num_gpus), threads=typed.num_cpus_for_driver,
        )  # fmt: skip
        self._learner_rng = stream(typed.seed, "learner")
        # Whoever asks for actions must not change training.
        self._caller_rng = stream(typed.seed, "compute_action")
        self.metrics = EpisodeMetrics(typed.metrics_smoothing_episodes)
        self.perf = SamplerPerf()
        self._reward_filter = (
            RewardNormalizer(1, typed.gamma) if typed.normalize_rewards else NoFilter()
        )
        self.num_steps_sampled = self.num_steps_trained = 0
        self._exact = True
        self._rollout_steps = typed.rollout_fragment_length or self._fitting_fragment(typed)
        self._sync_policy()

    @classmethod
    def _fitting_fragment(cls, config: AlgorithmConfig) -> int:
        """Steps per environment that make one sample as large as a training batch."""
        return -(-config.train_batch_size // config.num_envs)

    def _sync_policy(self) -> None:
        self.policy.set_weights(self.learner.get_weights(), self.learner.weights_version)

    # One iteration.

    def coeffs(self) -> dict[str, float]:
        """Every number that may change while training, as it is now: schedules applied."""
        values: dict[str, float] = self.cfg.coeffs()
        for key in values:
            schedule = getattr(self.cfg, f"{key}_schedule", None)
            if schedule is not None:
                values[key] = piecewise_linear(schedule, self.num_steps_sampled)
        return values

    def sample(self, coeffs: dict[str, float]) -> list[Rollout]:
        """One rollout of every worker with the newest weights, counted and its filter statistics merged."""
        filters = {"obs": self.policy.filter.get_state(), "reward": self._reward_filter.get_state()}
        orders = Orders(self.policy.params, self.policy.weights_version, coeffs, filters)
        rollouts = self.workers.sample(orders, self._rollout_steps)
        self.policy.filter.merge([r.filter_deltas["obs"] for r in rollouts])
        self._reward_filter.merge([r.filter_deltas["reward"] for r in rollouts])
        for rollout in rollouts:
            self.metrics.add(rollout.episode_rewards, rollout.episode_lengths)
            self.perf.add(rollout.perf, rollout.steps)
            self.num_steps_sampled += rollout.steps
        return rollouts

    def _train(self) -> dict[str, Any]:
        began, before = time.monotonic(), self.num_steps_sampled
        learner_stats: dict[str, Any] = {}
        while True:
            learner_stats = self.training_step() or learner_stats
            sampled = self.num_steps_sampled - before
            elapsed = time.monotonic() - began
            if sampled >= self.cfg.timesteps_per_iteration and elapsed >= self.cfg.min_iter_time_s:
                break
        result = {
            **self.metrics.pop(),
            "timesteps_this_iter": sampled,
            "timesteps_total": self.num_steps_sampled,
            "sampler_perf": self.perf.pop(),
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
        if callback := self.cfg.callbacks.get("on_train_result"):
            callback({"trainer": self, "result": result})
        return result

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

    # Checkpoints: see `rltune.checkpoint`.

    def save(self, checkpoint_dir: str | None = None) -> str:
        """Writes `checkpoint_<iteration>/` and returns it; what `restore` and `rltune rollout` take."""
        directory = self.checkpoint_directory(checkpoint_dir)
        manifest = {
            "algorithm": type(self).__name__,
            "config": _jsonable({**self.cfg.to_dict(), "callbacks": {}}),  # functions are not kept
            "framework": self.learner.framework,
            "observation_space": space_to_dict(self.observation_space),
            "action_space": space_to_dict(self.action_space),
            "counters": self.get_counters(),
            "exact": self._exact,
        }
        checkpoints.write_checkpoint(directory, manifest, self.get_state())
        return str(directory)

    def restore(self, checkpoint_path: str) -> None:
        """Goes on from a checkpoint of the same algorithm. Raises CheckpointError, or ValueError if it does not fit."""
        manifest, state = checkpoints.read_checkpoint(checkpoint_path)
        self._check_algorithm(manifest, checkpoint_path)
        self.set_state(state)
        self.set_counters(manifest["counters"])

    def inherit(self, checkpoint_path: str) -> None:
        """Goes on with what another trial has learned: weights, optimiser, filters, counters, replay, reward window.

        Seed, random streams and environments stay this trial's own, so that the two part from here on.
        """
        manifest, state = checkpoints.read_checkpoint(checkpoint_path)
        self._check_algorithm(manifest, checkpoint_path)
        self.inherit_state(state)
        self.set_counters(manifest["counters"])

    @classmethod
    def _check_algorithm(cls, manifest: dict[str, Any], path: str | Path) -> None:
        if manifest["algorithm"] != cls.__name__:
            raise checkpoints.CheckpointError(
                f"{path} is a checkpoint of {manifest['algorithm']}, not of {cls.__name__}"
            )

    def delete_checkpoint(self, checkpoint_path: str) -> None:
        checkpoints.remove_checkpoint(checkpoint_path)

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

    def get_state(self) -> dict[str, Any]:
        """Nested states by file; subclasses add theirs."""
        evaluator = None if self._evaluator is None else self._evaluator.get_state()
        return {
            "learner": self.learner.get_state(),
            "algorithm": {
                "num_steps_sampled": self.num_steps_sampled,
                "num_steps_trained": self.num_steps_trained,
                "learner_rng": self._learner_rng.bit_generator.state,
                "filter": self.policy.filter.get_state(),
                "reward_filter": self._reward_filter.get_state(),
                "metrics": self.metrics.get_state(),
                "evaluator": evaluator,
            },
            "workers": {"workers": self.workers.get_states()},
        }

    def inherit_state(self, state: dict[str, Any]) -> None:
        """Of a state what was learned and counted; subclasses add theirs. Part of `set_state`."""
        self.learner.set_state(state["learner"])
        own = state["algorithm"]
        self.num_steps_sampled, self.num_steps_trained = (
            own["num_steps_sampled"],
            own["num_steps_trained"],
        )
        self.policy.filter.set_state(own["filter"])
        self._reward_filter.set_state(own["reward_filter"])
        self.metrics.set_state(own["metrics"])
        self._sync_policy()

    def set_state(self, state: dict[str, Any]) -> None:
        """The inverse of `get_state`."""
        self.inherit_state(state)
        own = state["algorithm"]
        self._learner_rng.bit_generator.state = own["learner_rng"]
        if self._evaluator is not None:
            self._evaluator.stop()
        self._evaluator = None if own["evaluator"] is None else Evaluator(self.cfg)
        if self._evaluator is not None:
            self._evaluator.set_state(own["evaluator"])
        self._exact = self.workers.set_states(state["workers"]["workers"]) and self._exact

    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        """`checkpoint`: as `save` writes it. `model`: the policy's parameters and filter alone, as safetensors."""
        exported = {}
        for name in export_formats:
            directory = os.path.join(export_dir, name)
            if name == "checkpoint":
                exported[name] = self.save(directory)
            elif name == "model":
                parts = {"params": self.get_weights(), "filter": self.policy.filter.get_state()}
                checkpoints.write_checkpoint(
                    directory, {"algorithm": type(self).__name__}, {"policy": parts}
                )
                exported[name] = directory
            else:
                raise ConfigError(
                    [f"export format {name!r} is not known; there are 'checkpoint' and 'model'"]
                )
        return exported

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Builds everything anew from `new_config`, in this process: nothing of the former trial is left."""
        self._stop()
        self._zero_counters()
        self.config = new_config
        self._setup(new_config)
        return True

    def _stop(self) -> None:
        if "workers" in vars(self):
            self.workers.stop()
            if self._evaluator is not None:
                self._evaluator.stop()


def _jsonable(value: Any) -> Any:
    """A config as JSON holds it; what has no JSON form (a class, a function) is named."""
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    module = sys.modules.get(getattr(value, "__module__", ""), None)
    return (
        f"{module.__name__}:{value.__qualname__}"
        if module and hasattr(value, "__qualname__")
        else repr(value)
    )
