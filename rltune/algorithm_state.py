"""What an algorithm remembers: its state, its checkpoints, and what of another's it may go on with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rltune import checkpoint as checkpoints
from rltune.config import ConfigError
from rltune.effective import Use, check_values
from rltune.envs.filters import NoFilter, RewardNormalizer
from rltune.envs.space_json import space_to_dict
from rltune.learner import Learner
from rltune.metrics import EpisodeMetrics, Timers
from rltune.policy import Policy
from rltune.rollout.evaluation import Evaluator
from rltune.rollout.worker_set import WorkerSet
from rltune.schedules import piecewise_linear
from rltune.trainable import Trainable

STATISTICS = ("observation_filter", "normalize_rewards")
"""Keys that decide what statistics a checkpoint holds, so that they cannot change with it."""


class AlgorithmState(Trainable):
    """The parts that `Algorithm` builds, as a state to keep and to take over.

    A checkpoint is restored to go on exactly; it is inherited to go on from what another trial has learned. The
    config is this trial's own in both cases.
    """

    cfg: Any
    """The typed config; `config` is the dict it was read from."""
    workers: WorkerSet
    policy: Policy
    learner: Learner
    metrics: EpisodeMetrics
    timers: Timers
    observation_space: Any
    action_space: Any
    num_steps_sampled: int
    num_steps_trained: int
    adapted: dict[str, float]
    """The coefficients that training itself changes, as they are now."""
    _reward_filter: RewardNormalizer | NoFilter
    _learner_rng: np.random.Generator
    _evaluator: Evaluator | None
    _exact: bool
    """Whether this is what training without a break would have come to: nothing had to start afresh since the
    beginning of what the last checkpoint was restored or inherited from."""

    # Checkpoints: see `rltune.checkpoint`.

    def save_into(self, directory: Path, whole: bool = False) -> str:
        """Writes the checkpoint and returns its directory; what `restore` and `rltune rollout` take."""
        manifest = {
            "algorithm": type(self).__name__,
            "config": _jsonable({**self.cfg.to_dict(), "callbacks": {}}),  # functions are not kept
            "framework": self.learner.framework,
            "observation_space": space_to_dict(self.observation_space),
            "action_space": space_to_dict(self.action_space),
            "counters": self.get_counters(),
            "exact": self._exact,
        }
        checkpoints.write_checkpoint(directory, manifest, self.get_state(whole))
        return str(directory)

    def restore(self, checkpoint_path: str) -> None:
        """Goes on from a checkpoint of the same algorithm. Raises CheckpointError, or ValueError if it does not fit."""
        manifest, state = self._read(checkpoint_path)
        self.set_state(state)
        self._go_on(manifest, "restoring a checkpoint")

    def inherit(self, checkpoint_path: str) -> None:
        """Goes on with what another trial has learned: weights, optimiser, filters, counters, replay, reward window.

        Config, seed, random streams and environments stay this trial's own, so that the two part from here on. Raises
        as `restore` does.
        """
        manifest, state = self._read(checkpoint_path)
        self.inherit_state(state)
        self._go_on(manifest, "inheriting a checkpoint")

    def _read(self, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
        manifest, state = checkpoints.read_checkpoint(path)
        self._check_algorithm(manifest, path)
        for key in STATISTICS:
            saved, mine = manifest["config"][key], getattr(self.cfg, key)
            if saved != mine:
                raise checkpoints.CheckpointError(
                    f"{path} was trained with '{key}' {saved!r}, this config has {mine!r}, and the weights fit only "
                    f"what they were trained on: set '{key}' to {saved!r}, or train from the beginning"
                )
        return manifest, state

    def _go_on(self, manifest: dict[str, Any], after: str) -> None:
        self._exact = self._exact and manifest["exact"]
        self.set_counters(manifest["counters"])
        self.check_values(after)

    @classmethod
    def _check_algorithm(cls, manifest: dict[str, Any], path: str | Path) -> None:
        if manifest["algorithm"] != cls.__name__:
            raise checkpoints.CheckpointError(
                f"{path} is a checkpoint of {manifest['algorithm']}, not of {cls.__name__}"
            )

    def delete_checkpoint(self, checkpoint_path: str) -> None:
        checkpoints.remove_checkpoint(checkpoint_path)

    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        """`checkpoint`: as `save` writes it. `model`: the policy's parameters and filter alone, as safetensors."""
        exported = {}
        for name in export_formats:
            directory = os.path.join(export_dir, name)
            if name == "checkpoint":
                exported[name] = self.save(directory)
            elif name == "model":
                params = self.learner.get_weights()
                parts = {"params": params, "filter": self.policy.filter.get_state()}
                checkpoints.write_checkpoint(
                    directory, {"algorithm": type(self).__name__}, {"policy": parts}
                )
                exported[name] = directory
            else:
                raise ConfigError(
                    [f"export format {name!r} is not known; there are 'checkpoint' and 'model'"]
                )
        return exported

    # States.

    def get_state(self, whole: bool = False) -> dict[str, Any]:
        """Nested states by file; subclasses add theirs. `whole`: also what only checkpoints in memory always have."""
        evaluator = None if self._evaluator is None else self._evaluator.get_state()
        start = self.cfg.adaptive()
        return {
            "learner": self.learner.get_state(),
            "algorithm": {
                "num_steps_sampled": self.num_steps_sampled,
                "num_steps_trained": self.num_steps_trained,
                "adapted": {key: [start[key], now] for key, now in self.adapted.items()},
                "learner_rng": self._learner_rng.bit_generator.state,
                "filter": self.policy.filter.get_state(),
                "reward_filter": self._reward_filter.get_state(),
                "metrics": self.metrics.get_state(),
                "evaluator": evaluator,
            },
            "workers": self.workers.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The inverse of `get_state`."""
        self._take_over(state)
        own = state["algorithm"]
        self._learner_rng.bit_generator.state = own["learner_rng"]
        if self._evaluator is not None:
            self._evaluator.stop()
        self._evaluator = None if own["evaluator"] is None else Evaluator(self.cfg)
        if self._evaluator is not None:
            self._evaluator.set_state(own["evaluator"])
        self._exact = self.workers.set_state(state["workers"])

    def inherit_state(self, state: dict[str, Any]) -> None:
        """Takes over what was learned and counted, and leaves the random streams and environments as they are."""
        self._take_over(state)
        self.workers.drop()
        self.workers.num_restarts = state["workers"]["num_restarts"]
        self._exact = True

    def _take_over(self, state: dict[str, Any]) -> None:
        """What `set_state` and `inherit_state` have in common; subclasses add theirs."""
        self.learner.set_state(state["learner"])
        own = state["algorithm"]
        self.num_steps_sampled = own["num_steps_sampled"]
        self.num_steps_trained = own["num_steps_trained"]
        self.adapted = self.cfg.adaptive()
        for key, (start, now) in own["adapted"].items():
            if self.adapted[key] == start:  # another one was chosen for this trial: it wins
                self.adapted[key] = now
        self.policy.filter.set_state(own["filter"])
        self._reward_filter.set_state(own["reward_filter"])
        self.metrics.set_state(own["metrics"])
        self._sync_policy()

    def _sync_policy(self) -> None:
        with self.timers.measure("weights_s"):
            self.policy.set_weights(self.learner.get_weights(), self.learner.weights_version)

    # The numbers that training uses.

    def coeffs(self) -> dict[str, float]:
        """Every number that may change while training, as it is now: schedules and adaptation applied."""
        return self._coeffs_of(self.cfg)

    def _coeffs_of(self, config: Any) -> dict[str, float]:
        values: dict[str, float] = config.coeffs()
        for key in values:
            schedule = getattr(config, f"{key}_schedule", None)
            if schedule is not None:
                values[key] = piecewise_linear(schedule, self.num_steps_sampled)
        return {**values, **self.adapted}

    def values_in_use(self) -> list[Use]:
        """What the next update and the next sample will use, asked of whoever uses it; subclasses add theirs."""
        uses: list[Use] = [("the next update", key, value) for key, value in self.coeffs().items()]
        uses.append(("the reward window", "metrics_smoothing_episodes", self.metrics.smoothing))
        if isinstance(self._reward_filter, RewardNormalizer):
            uses.append(("the reward filter", "gamma", self._reward_filter.gamma))
        for number, values in enumerate(self.workers.values_in_use()):
            uses += [(f"rollout worker {number}", key, value) for key, value in values.items()]
        return uses

    def wanted_values(self) -> dict[str, Any]:
        """What the config, as results show it, asks for now."""
        config: Any = type(self.cfg).from_dict(self.config)
        return {**config.to_dict(), **self._coeffs_of(config)}

    def check_values(self, after: str) -> None:
        """Raises EffectiveValueError where a value in use is not the config's."""
        check_values(self.values_in_use(), self.wanted_values(), after)


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
