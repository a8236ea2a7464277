"""Trial: one resolved configuration, its state and what it has reached."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from rltune import result as keys
from rltune.resources import Resources, json_to_resources, resources_to_json
from rltune.trainable import Trainable, date_text
from rltune.tune import stopping
from rltune.tune.checkpoints import Checkpoint, CheckpointKeeper, iteration_of
from rltune.tune.error import TuneError
from rltune.tune.log_writer import LogWriter
from rltune.tune.logger import UnifiedLogger
from rltune.tune.registry import get_trainable_cls

__all__ = [
    "Checkpoint",
    "ExportFormat",
    "Resources",
    "Trial",
    "TrialStatus",
    "json_to_resources",
    "resources_to_json",
]


class TrialStatus(str, Enum):
    """The states of a trial; `_MOVES` are the legal changes."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    TERMINATED = "TERMINATED"
    ERROR = "ERROR"


# Of a directory's name, before its date and what makes it unique; file systems take 255 bytes.
NAME_BYTES = 200

_ENDS = {TrialStatus.TERMINATED, TrialStatus.ERROR}
_MOVES = {
    TrialStatus.PENDING: {TrialStatus.RUNNING, TrialStatus.PAUSED, *_ENDS},
    TrialStatus.RUNNING: {TrialStatus.PENDING, TrialStatus.PAUSED, *_ENDS},
    TrialStatus.PAUSED: {TrialStatus.PENDING, TrialStatus.RUNNING, *_ENDS},
    TrialStatus.TERMINATED: set[TrialStatus](),
    TrialStatus.ERROR: set[TrialStatus](),
}

# What a trial is made of and keeps over a resume, by its own attribute names.
_RECORDED = (
    "trainable_name",
    "trial_id",
    "config",
    "local_dir",
    "logdir",
    "experiment_tag",
    "stopping_criterion",
    "checkpoint_freq",
    "checkpoint_at_end",
    "max_failures",
    "export_formats",
    "loggers",
    "sync_to_driver_fn",
    "custom_trial_name",
    "evaluated_params",
    "last_result",
    "last_update_time",
    "num_failures",
    "error_file",
    "restore_path",
    "seen",
    "seen_decision",
    "held",
    "perturbed",
    "donor",
)
# What states of earlier versions may lack.
_RECORDED_LATER = {
    "restore_path": None,
    "seen": 0,
    "seen_decision": None,
    "held": False,
    "perturbed": False,
    "donor": None,
    "inherits": False,
}


class ExportFormat:
    """What `export_formats` may hold, for trainables that export models."""

    CHECKPOINT = "checkpoint"
    MODEL = "model"

    @staticmethod
    def validate(export_formats: list[str]) -> None:
        """Lower-cases and strips the list in place. Raises TuneError for another format."""
        for i, text in enumerate(export_formats):
            export_formats[i] = text.strip().lower()
            if export_formats[i] not in (ExportFormat.CHECKPOINT, ExportFormat.MODEL):
                raise TuneError(f"Unsupported export format {text!r}: checkpoint or model.")


class Trial:
    """One configuration that is trained.

    `local_dir` is the experiment's directory, `logdir` the trial's own under it, made when the
    trial first starts. `resources` are the trainable's own request where it makes one.

    Raises TuneError for an unknown trainable or stopping criterion, ValueError when both the
    trainable and the caller say what resources it needs.
    """

    PENDING = TrialStatus.PENDING.value
    RUNNING = TrialStatus.RUNNING.value
    PAUSED = TrialStatus.PAUSED.value
    TERMINATED = TrialStatus.TERMINATED.value
    ERROR = TrialStatus.ERROR.value

    def __init__(
        self,
        trainable_name: str,
        config: dict[str, Any] | None = None,
        trial_id: str | None = None,
        local_dir: str | None = None,
        experiment_tag: str = "",
        resources: Resources | None = None,
        stopping_criterion: Mapping[str, Any] | None = None,
        checkpoint_freq: int = 0,
        checkpoint_at_end: bool = False,
        keep_checkpoints_num: int | None = None,
        checkpoint_score_attr: str | None = None,
        export_formats: list[str] | None = None,
        restore_path: str | None = None,
        trial_name_creator: Callable[[Trial], str] | None = None,
        loggers: Sequence[Any] | None = None,
        sync_to_driver_fn: Any = None,
        max_failures: int = 0,
        evaluated_params: dict[str, Any] | None = None,
    ):
        self.trainable_name = trainable_name
        self.trial_id = trial_id or self.generate_id()
        self.config = config or {}
        self.local_dir = local_dir or keys.default_results_dir()
        self.experiment_tag = experiment_tag
        self.evaluated_params = evaluated_params or {}
        self.resources = _resources(self.get_trainable_cls(), self.config, resources)
        self.stopping_criterion = dict(stopping_criterion or {})
        stopping.check(self.stopping_criterion)
        self.checkpoint_freq = checkpoint_freq
        self.checkpoint_at_end = checkpoint_at_end
        self.keeper = CheckpointKeeper(
            keep_checkpoints_num, checkpoint_score_attr or keys.TRAINING_ITERATION
        )
        self.export_formats = export_formats or []
        self.loggers = loggers
        self.sync_to_driver_fn = sync_to_driver_fn
        self.max_failures = max_failures

        self._status = TrialStatus.PENDING
        self.restore_path = restore_path
        self.checkpoint = Checkpoint(Checkpoint.DISK, restore_path)
        # The iteration that scheduler and search algorithm were shown last, and what was decided.
        self.seen = 0
        self.seen_decision: str | None = None
        self.held = False  # whether it is paused because a client wants that
        self.perturbed = False  # whether it has ever gone on from another trial's state
        self.donor: str | None = None  # the state on disk that other trials may copy
        self.obsolete = False  # whether what it goes on from is not what its process has
        self.catching_up = False  # whether it repeats what they were shown
        self.logdir: str | None = None
        self.last_result: dict[str, Any] = {}
        self.last_update_time: float | None = None
        self.num_failures = 0
        self.error_file: str | None = None
        self.runner: Any = None  # the executor's handle on the trial's process
        self.result_logger: UnifiedLogger | None = None
        self.custom_trial_name = trial_name_creator(self) if trial_name_creator else None

    @staticmethod
    def generate_id() -> str:
        return uuid.uuid4().hex[:8]

    @property
    def checkpoint(self) -> Checkpoint:
        """What the trial goes on from; `on_disk` is the newest one that outlives this process."""
        return self._checkpoint

    @checkpoint.setter
    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        if checkpoint.storage == Checkpoint.DISK:
            self.on_disk = checkpoint

    @property
    def status(self) -> str:
        return self._status._value_  # plain access: schedulers ask this very often

    @status.setter
    def status(self, status: str) -> None:
        new = TrialStatus(status)
        if new is not self._status and new not in _MOVES[self._status]:
            raise TuneError(f"{self} cannot become {new.value}: it is {self.status}.")
        self._status = new

    def is_finished(self) -> bool:
        return self._status in _ENDS

    def get_trainable_cls(self) -> type[Trainable]:
        return get_trainable_cls(self.trainable_name)

    def reopen(self) -> None:
        """A trial that has ended waits again: there is more to do for it."""
        self._status = TrialStatus.PENDING
        self.seen_decision = None

    def on_decision(self, result: dict[str, Any], decision: str) -> None:
        """A result was shown to those who decide."""
        self.seen, self.seen_decision = result[keys.TRAINING_ITERATION], decision
        self.catching_up = False

    def on_exploit(self, state: Checkpoint, on_disk: Checkpoint) -> None:
        """The trial goes on from another one's state, which it then has seen up to there."""
        self.checkpoint, self.on_disk = state, on_disk
        self.seen = iteration_of(on_disk.value)
        self.perturbed = self.obsolete = True

    def known_decision(self, result: dict[str, Any], default: str) -> str | None:
        """What was decided on a result that is repeated; None if it is new.

        What came before the last decision was `default`, since the trial went on.
        """
        iteration = result[keys.TRAINING_ITERATION]
        if not self.catching_up or iteration > self.seen:
            self.catching_up = False
            return None
        if iteration < self.seen:
            return default
        self.catching_up = False
        return self.seen_decision or default

    def has_checkpoint(self) -> bool:
        return self.checkpoint.value is not None

    def starts_as_the_user_says(self) -> bool:
        """Whether the checkpoint that it starts from is the one given as `restore`."""
        return self.restore_path is not None and self.checkpoint.value == self.restore_path

    def drop_checkpoint(self) -> None:
        """What the trial goes on from is no good: instead of a state in memory it takes the newest on
        disk; without one it begins anew the next time it starts.
        """
        if self.checkpoint is not self.on_disk and self.on_disk.value is not None:
            self.checkpoint = self.on_disk
            return
        self.checkpoint = Checkpoint(Checkpoint.DISK)
        self.keeper.rewind()

    def milestones(self) -> stopping.Milestones:
        """When it ends by itself, and when it is saved."""
        return stopping.Milestones(
            self.stopping_criterion, self.checkpoint_freq, self.checkpoint_at_end, self.seen
        )

    def should_stop(self, result: dict[str, Any]) -> bool:
        """Whether the result is done or fulfils a criterion. Raises TuneError if one of the
        criteria is missing from it.
        """
        return self.milestones().is_last(result)

    def should_checkpoint(self, result: dict[str, Any]) -> bool:
        """Whether to save after this result: by frequency, at the end, or as the result says."""
        return self.milestones().is_saved(result)

    def may_retry(self) -> bool:
        """Whether the failures noted so far leave another start."""
        return self.max_failures < 0 or self.num_failures <= self.max_failures

    def init_logger(self, writer: LogWriter | None = None) -> None:
        """Makes the trial's directory, unless it has one, and opens its loggers there. They work on
        the writer's thread, if there is one.
        """
        if self.logdir is None:
            os.makedirs(self.local_dir, exist_ok=True)
            longest = int(os.environ.get("MAX_LEN_IDENTIFIER") or 130)
            name = str(self)[:longest]
            while len(os.fsencode(name)) > NAME_BYTES:
                name = name[:-1]
            prefix = f"{name}_{date_text()}"
            self.logdir = tempfile.mkdtemp(prefix=prefix, dir=self.local_dir)
            os.chmod(self.logdir, 0o755)  # mkdtemp makes it private
        os.makedirs(self.logdir, exist_ok=True)
        if self.result_logger is None:
            self.result_logger = UnifiedLogger(
                self.config, self.logdir, self.loggers, self.sync_to_driver_fn, writer
            )

    def update_config(self, config: dict[str, Any], experiment_tag: str) -> None:
        self.config, self.experiment_tag = config, experiment_tag
        self.catching_up = False
        if self.result_logger is not None:
            self.result_logger.update_config(config)

    def on_result(self, result: dict[str, Any]) -> None:
        """Takes note of a result."""
        self.last_result = result
        self.last_update_time = time.time()

    def log_result(self) -> None:
        """Hands the last result to the loggers."""
        if self.result_logger is not None:
            self.result_logger.on_result(self.last_result)

    def close_logger(self) -> None:
        if self.result_logger is not None:
            self.result_logger.close()
            self.result_logger = None

    def write_error(self, text: str) -> None:
        """Notes a failure and writes it to a file of its own in the trial's directory."""
        self.num_failures += 1
        if self.logdir is None:
            return
        stem = f"error_{date_text()}"
        path, number = Path(self.logdir, f"{stem}.txt"), 1
        while path.exists():
            path, number = Path(self.logdir, f"{stem}_{number}.txt"), number + 1
        path.write_text(text)
        self.error_file = str(path)

    def to_record(self) -> dict[str, Any]:
        """What the experiment state keeps of the trial."""
        record = {name: getattr(self, name) for name in _RECORDED}
        record["last_result"] = {k: v for k, v in self.last_result.items() if k != "config"}
        record["checkpoint"], record["inherits"] = self.on_disk.value, self.on_disk.inherits
        record["status"] = self.status
        record["resources"] = resources_to_json(self.resources)
        record["keep_checkpoints_num"] = self.keeper.number
        record["checkpoint_score_attr"] = self.keeper.attribute
        record["checkpoint_best_score"] = self.keeper.best
        record["checkpoints_kept"] = list(self.keeper.kept)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Trial:
        """The trial of a record. One that ran is pending, and so is one that a client held."""
        trial = cls.__new__(cls)
        whole = {**_RECORDED_LATER, **record}
        for name in _RECORDED:
            setattr(trial, name, whole[name])
        trial.resources = json_to_resources(record["resources"]) or Resources(1, 0)
        saved = record["checkpoint"]
        trial.checkpoint = Checkpoint(Checkpoint.DISK, saved, inherits=whole["inherits"])
        trial.keeper = CheckpointKeeper(
            record["keep_checkpoints_num"],
            record["checkpoint_score_attr"],
            record["checkpoint_best_score"],
            list(record["checkpoints_kept"]),
        )
        status = TrialStatus(record["status"])
        ran = status is TrialStatus.RUNNING
        trial._status = TrialStatus.PENDING if ran or trial.held else status
        trial.held = False
        trial.runner = trial.result_logger = None
        trial.catching_up = trial.obsolete = False
        return trial

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """`<trainable>[_<env>][_<tag>]`, or the name that the user gave it."""
        if self.custom_trial_name is not None:
            return self.custom_trial_name
        env = self.config.get("env")
        name = env.__name__ if isinstance(env, type) else env
        parts = [self.trainable_name, name, self.experiment_tag]
        return "_".join(str(part) for part in parts if part not in (None, "")).replace("/", "_")


def _resources(
    trainable: type[Trainable], config: dict[str, Any], given: Resources | None
) -> Resources:
    own = trainable.default_resource_request(config)
    if own and given:
        raise ValueError(
            f"{trainable.__name__} says itself what it needs ({own.summary_string()}): clear the "
            "resources_per_trial option, and set its config instead. "
            + trainable.resource_help(config)
        )
    return own or given or Resources(cpu=1, gpu=0)
