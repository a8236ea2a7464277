"""The settings that every algorithm shares, with RLlib's key names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import Any, ClassVar

from rltune.config import OBSOLETE, Config, Filters, Schedule, logger, option, range_problems


@dataclass(frozen=True)
class ModelConfig(Config):
    """The key `model`: the shape of the networks."""

    conv_filters: Filters | None = option(
        None,
        "[channels, kernel, stride] of each convolution over images; null: RLlib's for 84 x 84 and 42 x 42, none else",
    )
    conv_activation: str = option("relu", "after convolutions", choices=("tanh", "relu", "linear"))
    dim: int = option(84, "height and width of Atari's frames", low=1)
    framestack: bool = option(True, "Atari: the last four frames")
    zero_mean: bool = option(True, "uint8 images are scaled to [-1, 1]; false: to [0, 1]")
    fcnet_hiddens: tuple[int, ...] = option((64, 64), "sizes of the hidden layers")
    fcnet_activation: str = option("tanh", "between layers", choices=("tanh", "relu", "linear"))
    vf_share_layers: bool | None = option(
        None, "value head on the policy's hidden layers; null: the top-level key"
    )
    free_log_std: bool = option(
        True,
        "a Gaussian's log std is a parameter of its own (RLlib's false makes it an output of the network)",
    )
    init_log_std: float = option(0.0, "where a free log std starts", low=-10, high=5)

    def problems(self) -> Iterator[str]:
        if any(size < 1 for size in self.fcnet_hiddens):
            yield f"'model.fcnet_hiddens' is {list(self.fcnet_hiddens)}; sizes must be at least 1"

    @classmethod
    def owner(cls) -> str:
        return "model"


SWITCHES = {"use_pytorch": "torch", "eager": "tf", "eager_tracing": "tf"}
"""RLlib's keys that choose a framework, and which. tensorflow's updates are compiled, eager or not."""


@dataclass(frozen=True)
class AlgorithmConfig(Config):
    """Settings of every algorithm. Defaults that differ from RLlib's say so in their help."""

    ALIASES: ClassVar[dict[str, str]] = {"sample_batch_size": "rollout_fragment_length"}

    env: Any = option(
        None, "Gymnasium id, registered name, class or 'module:Class'", rebuild="learner"
    )
    env_config: dict[str, Any] = option(dict, "handed to the environment", rebuild="learner")
    framework: str = option(
        "auto", "what trains", choices=("auto", "torch", "tf", "jax"), rebuild="learner"
    )
    seed: int | None = option(
        None, "seed of everything; null draws one and records it", low=0, high=2**32 - 1
    )
    model: ModelConfig = option(ModelConfig, "the shape of the networks", rebuild="learner")
    vf_share_layers: bool = option(
        False, "value head on the policy's hidden layers", rebuild="learner"
    )

    lr: float = option(1e-3, "learning rate", low=0, coeff=True)
    lr_schedule: Schedule | None = option(
        None, "lr over timesteps: [[timesteps, lr], ...], linear between"
    )
    gamma: float = option(0.99, "discount factor", low=0, high=1, coeff=True)
    grad_clip: float | None = option(
        None, "largest norm of a gradient; null is off", above=0, coeff=True
    )
    adam_epsilon: float = option(1e-8, "Adam's epsilon", above=0, coeff=True)

    num_workers: int = option(
        0, "rollout actors; 0 samples in the trial's process (RLlib: 2)", low=0, rebuild="workers"
    )
    sample_async: bool = option(
        False,
        "rollout actors sample on while the trial's process learns, with the weights from before that update",
    )
    num_envs_per_worker: int = option(1, "environments stepped together in each worker", low=1)
    rollout_fragment_length: int | None = option(
        None,
        "steps per environment and sample; null fits train_batch_size (alias: sample_batch_size)",
        low=1,
    )
    train_batch_size: int = option(200, "rows per update", low=1)
    batch_mode: str = option(
        "truncate_episodes",
        "whether fragments may cut episodes",
        choices=("truncate_episodes", "complete_episodes"),
    )
    timesteps_per_iteration: int = option(0, "least env steps in an iteration", low=0)
    min_iter_time_s: float = option(0, "least seconds of an iteration; breaks repeatability", low=0)

    preprocessor_pref: str | None = option(
        "deepmind", "wrappers of Atari environments; null leaves them as they are",
        choices=("deepmind",), rebuild="learner",
    )  # fmt: skip
    observation_filter: str = option(
        "NoFilter", "normalises observations", choices=("NoFilter", "MeanStdFilter")
    )
    normalize_rewards: bool = option(
        False, "divides rewards by the running std of the discounted return"
    )
    clip_rewards: bool = option(False, "trains on the sign of rewards")
    clip_actions: bool = option(True, "clips actions to the bounds on their way to the environment")
    normalize_actions: bool = option(False, "maps actions from [-1, 1] to the bounds")

    num_gpus: float = option(
        0, "GPUs of the trial's process (0 or up to 1)", low=0, rebuild="learner"
    )
    num_cpus_for_driver: int = option(
        1, "cores (and threads) of the trial's process", low=1, rebuild="learner"
    )
    num_cpus_per_worker: float = option(1, "cores of each rollout actor", low=0, rebuild="workers")
    num_gpus_per_worker: float = option(
        0, "GPUs of each rollout actor; fractions allowed", low=0, rebuild="workers"
    )
    custom_resources_per_worker: dict[str, Any] = option(
        dict, "Ray resources of each rollout actor", rebuild="workers"
    )

    evaluation_interval: int | None = option(
        None, "iterations between evaluations; null is off", low=1
    )
    evaluation_num_episodes: int = option(10, "episodes of an evaluation", low=1)
    evaluation_config: dict[str, Any] = option(
        dict, "keys that differ while evaluating: env_config, explore"
    )
    metrics_smoothing_episodes: int = option(
        100, "last episodes that episode_reward_mean covers", low=1
    )
    store_buffer_in_checkpoints: bool = option(
        False,
        "replay buffer in checkpoint files: exact continuation, larger files (in memory it is always kept)",
    )
    log_sys_usage: bool = option(True, "key perf: CPU and memory in use")
    log_level: str = option(
        "WARN", "of the trial's process", choices=("DEBUG", "INFO", "WARN", "ERROR")
    )
    callbacks: dict[str, Any] = option(
        dict, "on_train_result: called with {'trainer', 'result'} before logging"
    )

    @classmethod
    def translate(cls, raw: dict[str, Any], problems: list[str]) -> dict[str, Any]:
        for key in [key for key in raw if key in OBSOLETE]:
            raw.pop(key)
            _warn_obsolete(key)
        for alias, key in cls.ALIASES.items():
            if alias in raw:
                if key in raw:
                    problems.append(f"'{alias}' is an alias of '{key}'; give one of them")
                raw[key] = raw.pop(alias)
        for key, framework in SWITCHES.items():
            asked = raw.pop(key, False)
            if not isinstance(asked, bool):
                problems.append(f"{key!r} is {asked!r}; it must be true or false")
            elif asked and raw.setdefault("framework", framework) not in (framework, "auto"):
                problems.append(f"{key!r} contradicts framework {raw['framework']!r}")
            elif asked:
                _say_framework(key, raw["framework"])
        return raw

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        yield from self._schedule_problems()
        yield from self._mapping_problems()
        if self.num_gpus > 1:
            yield f"'num_gpus' is {self.num_gpus}; a trial's process uses at most one GPU"
        if self.sample_async and not self.num_workers:
            yield "'sample_async' needs rollout actors: 'num_workers' is 0"
        if self.clip_rewards and self.normalize_rewards:
            yield "'clip_rewards' and 'normalize_rewards' exclude each other"

    def _schedule_problems(self) -> Iterator[str]:
        """`X_schedule` replaces X from timestep 0 on, within the bounds of X."""
        known = self.fields_by_key()
        for key in known:
            points: Schedule | None = (
                getattr(self, key, None) if key.endswith("_schedule") else None
            )
            for i, (timesteps, value) in enumerate(points or ()):
                if i == 0 and timesteps != 0:
                    yield f"'{key}' must begin at timestep 0"
                yield from range_problems(
                    known[key.removesuffix("_schedule")], f"{key} at {timesteps:.0f}", value
                )

    def _mapping_problems(self) -> Iterator[str]:
        for key, value in self.custom_resources_per_worker.items():
            if isinstance(value, bool) or not isinstance(value, Real) or not float(value) >= 0:
                yield f"'custom_resources_per_worker.{key}' is {value!r}; it must be a number of at least 0"
        for key, value in self.evaluation_config.items():
            if key not in ("env_config", "explore"):
                yield f"Unknown key 'evaluation_config.{key}'; it may hold 'env_config' and 'explore'"
            elif not isinstance(value, bool if key == "explore" else dict):
                expected = "true or false" if key == "explore" else "a mapping"
                yield f"'evaluation_config.{key}' is {value!r}; it must be {expected}"
        for key, value in self.callbacks.items():
            if key != "on_train_result":
                yield f"Unknown callback 'callbacks.{key}'; there is 'on_train_result'"
            elif not callable(value):
                yield f"'callbacks.{key}' is {value!r}; it must be a function"

    @property
    def share_layers(self) -> bool:
        """An explicit `model.vf_share_layers` wins over the top-level key."""
        return (
            self.vf_share_layers
            if self.model.vf_share_layers is None
            else self.model.vf_share_layers
        )

    @property
    def num_envs(self) -> int:
        """Environments over all rollout workers."""
        return max(self.num_workers, 1) * self.num_envs_per_worker


@cache
def _warn_obsolete(key: str) -> None:
    """Once per process: a config is read several times."""
    logger.warning("config key %r changes nothing: %s", key, OBSOLETE[key])


@cache
def _say_framework(key: str, framework: str) -> None:
    """Once per process, as above."""
    logger.warning("config key %r means framework %s", key, framework)
