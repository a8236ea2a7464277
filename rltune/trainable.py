"""Trainable: what is trained one iteration at a time.

Tune's class API: `_setup`, `_train`, `_save`, `_restore`.
"""

from __future__ import annotations

import copy
import inspect
import logging
import os
import pickle
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from rltune import packing
from rltune import result as keys
from rltune.checkpoint import in_passing, write_atomically
from rltune.resources import Resources
from rltune.scratch import Scratch
from rltune.system_usage import UsageMonitor

METADATA_SUFFIX = ".tune_metadata"
SLOW_SETUP_S = 10.0
LARGE_OBJECT_BYTES = 10_000_000

logger = logging.getLogger(__name__)


class _Iteration:
    """The property `iteration`, which an attribute of that name in a subclass may hide."""

    def __get__(self, owner: Trainable, kind: type[Trainable] | None = None) -> int:
        return owner._iteration


class Trainable:
    """Base of everything that a trial runs. Subclasses override the methods with a leading
    underscore.

    `config` is the resolved config. Constructed directly, it makes a directory under the results
    directory when it first needs one and logs there with the default loggers;
    `logger_creator(config)` makes another logger.
    """

    _iteration: int
    _timesteps_total: float | None
    _timesteps_since_restore: float
    _episodes_total: float | None

    def __init__(
        self,
        config: dict[str, Any] | None = None,
        logger_creator: Callable[[dict[str, Any]], Any] | None = None,
    ):
        self.config: dict[str, Any] = config or {}
        self._result_logger = logger_creator(self.config) if logger_creator else None
        self._logdir: str | None = getattr(self._result_logger, "logdir", None)
        self._usage: UsageMonitor | None = None
        self._scratch = Scratch()
        self._start_over()
        start = time.monotonic()
        self._call_setup(copy.deepcopy(self.config))
        elapsed = time.monotonic() - start
        if elapsed > SLOW_SETUP_S:
            logger.info(
                "_setup took %.1f s. If trials start often, reuse_actors=True with a reset_config "
                "saves that time.",
                elapsed,
            )

    # What subclasses override.

    def _setup(self, config: dict[str, Any]) -> None:
        """Called once, with a deep copy of `self.config`. An override may take no argument."""

    def _train(self) -> dict[str, Any]:
        """One logical iteration; returns its metrics."""
        raise NotImplementedError

    def _save(self, checkpoint_dir: str) -> str | dict[str, Any]:
        """Saves into `checkpoint_dir`; returns a path in it (a prefix will do) or a dict that
        holds everything.
        """
        raise NotImplementedError

    def _restore(self, checkpoint: Any) -> None:
        """Takes back what `_save` returned: the path, or the dict with `tune_checkpoint_path`
        added.
        """
        raise NotImplementedError

    def _stop(self) -> None:
        """Releases what the trainable holds."""

    def _log_result(self, result: dict[str, Any]) -> None:
        if self._result_logger is None:
            unified: Any = import_module("rltune.tune.logger").UnifiedLogger
            self._result_logger = unified(self.config, self.logdir)
        self._result_logger.on_result(result)

    def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
        """Exports into `export_dir`; returns format -> path."""
        return {}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes on another config in place and returns True, or returns False if it cannot."""
        return False

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Resources | None:
        """What a trial with this config needs; None leaves it to `resources_per_trial`."""
        return None

    @classmethod
    def resource_help(cls, config: dict[str, Any]) -> str:
        """What to change when the cluster is too small: added to that error."""
        return ""

    @classmethod
    def validate_config(cls, config: dict[str, Any]) -> None:
        """Raises ConfigError with every problem of a resolved config.

        Called before anything starts.
        """

    @classmethod
    def clip_config(cls, config: dict[str, Any]) -> dict[str, Any]:
        """`config` with the numbers that are out of their range moved into it; here nothing is known of ranges."""
        return config

    # What runners and users call.

    def train(self) -> dict[str, Any]:
        """Runs one iteration; returns its metrics and the fields that every result has."""
        start = time.monotonic()
        result = self._train()
        assert isinstance(result, dict), f"_train() must return a dict, not {result!r}."
        if keys.RESULT_DUPLICATE in result:
            return result
        result = dict(result)
        self._iteration += 1
        self._iterations_since_restore += 1
        self._count_time(result, time.monotonic() - start)
        self._count_steps(result)
        self._describe(result)
        self._log_result(result)
        return result

    def save(self, checkpoint_dir: str | None = None) -> str:
        """Saves under `<checkpoint_dir or logdir>/checkpoint_<iteration>`; returns the path that
        `restore` takes.

        The checkpoint exists once its last file, `<path>.tune_metadata`, does. Raises ValueError
        if `_save` returns neither a dict nor a path in the directory it was given.
        """
        return self.save_into(self.checkpoint_directory(checkpoint_dir))

    def save_into(self, directory: Path, whole: bool = False) -> str:
        """As `save`, into this directory, which exists. `whole`: with what is left out of files for their size."""
        for stale in directory.rglob(f"*{METADATA_SUFFIX}"):
            stale.unlink()
        saved = self._save(str(directory))
        if isinstance(saved, dict):
            path = str(directory / "checkpoint")
            write_atomically(Path(path), pickle.dumps(saved))
        elif isinstance(saved, str) and _is_inside(saved, directory):
            path = saved
        else:
            raise ValueError(
                f"_save() must return a dict or a path in {directory}, not {saved!r}. "
                "Write into the checkpoint_dir it is given."
            )
        metadata = {**self.get_counters(), "saved_as_dict": isinstance(saved, dict)}
        write_atomically(Path(path + METADATA_SUFFIX), pickle.dumps(metadata))
        return path

    def restore(self, checkpoint_path: str) -> None:
        """Goes on from what `save` returned; the counters go on too, those since the restore
        begin at 0.
        """
        with open(checkpoint_path + METADATA_SUFFIX, "rb") as file:
            metadata = pickle.load(file)
        self.set_counters(metadata)
        if metadata["saved_as_dict"]:
            with open(checkpoint_path, "rb") as file:
                checkpoint = pickle.load(file)
            self._restore({**checkpoint, "tune_checkpoint_path": checkpoint_path})
        else:
            self._restore(checkpoint_path)

    def save_to_object(self) -> bytes:
        """A checkpoint as bytes: every file that `save` writes, at least."""
        with self._scratch.use() as directory:
            with in_passing():
                path = self.save_into(Path(directory, Scratch.INNER), whole=True)
            packed = packing.pack(directory, os.path.relpath(path, directory))
        if len(packed) > LARGE_OBJECT_BYTES:
            logger.info("A checkpoint of %.1f MB is kept in memory.", len(packed) / 1e6)
        return packed

    def restore_from_object(self, packed: bytes) -> None:
        """Goes on from what `save_to_object` returned."""
        with self._files_of(packed) as path:
            self.restore(path)

    @contextmanager
    def _files_of(self, packed: bytes) -> Iterator[str]:
        """A checkpoint of `save_to_object` as a path, for as long as the block runs."""
        with self._scratch.use() as directory:
            yield os.path.join(directory, packing.unpack(packed, directory))

    def inherit(self, checkpoint_path: str) -> None:
        """Goes on from another trial's checkpoint. As `restore`, for a subclass that keeps nothing of its own; one
        that does (its random streams, say) overrides this.
        """
        self.restore(checkpoint_path)

    def inherit_from_object(self, packed: bytes) -> None:
        """As `inherit`, from what the other trial's `save_to_object` returned."""
        with self._files_of(packed) as path:
            self.inherit(path)

    def delete_checkpoint(self, checkpoint_path: str) -> None:
        """Removes the `checkpoint_<n>` directory of a path that `save` returned."""
        path = Path(checkpoint_path)
        directory = path if path.is_dir() else path.parent
        Path(f"{directory}{METADATA_SUFFIX}").unlink(missing_ok=True)
        shutil.rmtree(directory)

    def export_model(
        self, export_formats: list[str], export_dir: str | None = None
    ) -> dict[str, str]:
        """Exports in each format into `export_dir` (default: logdir); returns format -> path."""
        return self._export_model(export_formats, export_dir or self.logdir)

    def stop(self) -> None:
        """Ends the trainable; it cannot be used afterwards."""
        if self._usage:
            self._usage.stop()
        self._stop()
        self._scratch.close()
        if self._result_logger is not None:
            self._result_logger.close()

    def move_to(self, logdir: str) -> None:
        """Saves from now on under `logdir`: the trainable serves another trial."""
        self._logdir = logdir
        if self._result_logger is not None:
            self._result_logger.logdir = logdir

    def checkpoint_directory(self, parent: str | None = None) -> Path:
        """`checkpoint_<iteration>` under `parent` (default: logdir), made if missing."""
        directory = Path(parent or self.logdir, f"checkpoint_{self._iteration}")
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def get_counters(self) -> dict[str, Any]:
        """What a checkpoint keeps of the past."""
        return {
            "experiment_id": self._experiment_id,
            "iteration": self._iteration,
            "timesteps_total": self._timesteps_total,
            "time_total": self._time_total,
            "episodes_total": self._episodes_total,
        }

    def set_counters(self, counters: dict[str, Any]) -> None:
        """Takes over `get_counters()` of a checkpoint; counters since the restore begin at 0."""
        self._experiment_id = counters["experiment_id"]
        self._iteration = counters["iteration"]
        self._timesteps_total = counters["timesteps_total"]
        self._time_total = counters["time_total"]
        self._episodes_total = counters["episodes_total"]
        self._zero_since_restore()

    def current_ip(self) -> str:
        return node_ip()

    def get_config(self) -> dict[str, Any]:
        return self.config

    @property
    def logdir(self) -> str:
        """The directory of this trainable; the first use makes it where no logger gave one."""
        if self._logdir is None:
            parent = keys.default_results_dir()
            os.makedirs(parent, exist_ok=True)
            self._logdir = tempfile.mkdtemp(prefix=f"{date_text()}_", dir=parent)
        return self._logdir

    iteration = _Iteration()
    """Iterations done, over all restores. A subclass may keep a count of its own there."""

    # How a result is filled in.

    def _call_setup(self, config: dict[str, Any]) -> None:
        if inspect.signature(self._setup).parameters:
            self._setup(config)
        else:
            self._setup()  # type: ignore[call-arg]

    def _start_over(self) -> None:
        """Nothing has been trained yet, with the config that is there now."""
        self._experiment_id = uuid.uuid4().hex
        if self._usage:
            self._usage.stop()
        self._usage = UsageMonitor() if self.config.get("log_sys_usage") else None
        self._iteration = 0
        self._time_total = 0.0
        self._timesteps_total = None
        self._episodes_total = None
        self._zero_since_restore()

    def _zero_since_restore(self) -> None:
        self._time_since_restore = 0.0
        self._timesteps_since_restore = 0
        self._iterations_since_restore = 0

    def _count_time(self, result: dict[str, Any], measured: float) -> None:
        if result.get(keys.TIME_THIS_ITER_S) is None:
            result[keys.TIME_THIS_ITER_S] = measured
        elapsed = float(result[keys.TIME_THIS_ITER_S])
        self._time_total += elapsed
        self._time_since_restore += elapsed
        result[keys.TIME_TOTAL_S] = self._time_total

    def _count_steps(self, result: dict[str, Any]) -> None:
        """Totals are the user's own where given, else sums of the increments, else None."""
        timesteps = _plain(result.get(keys.TIMESTEPS_THIS_ITER))
        if timesteps is not None:
            self._timesteps_total = (self._timesteps_total or 0) + timesteps
            self._timesteps_since_restore += timesteps
        episodes = _plain(result.get(keys.EPISODES_THIS_ITER))
        if episodes is not None:
            self._episodes_total = (self._episodes_total or 0) + episodes
        result.setdefault(keys.TIMESTEPS_TOTAL, self._timesteps_total)
        result.setdefault(keys.EPISODES_TOTAL, self._episodes_total)

    def _describe(self, result: dict[str, Any]) -> None:
        now = datetime.now()
        result.setdefault(keys.DONE, False)
        result.setdefault(keys.TRAINING_ITERATION, self._iteration)
        if result.get(keys.MEAN_LOSS):
            result.setdefault(keys.NEG_MEAN_LOSS, -result[keys.MEAN_LOSS])
        result.update(
            experiment_id=self._experiment_id,
            date=date_text(now),
            timestamp=int(now.timestamp()),
            pid=os.getpid(),
            hostname=socket.gethostname(),
            node_ip=node_ip(),
            config=self.config,
            time_since_restore=self._time_since_restore,
            timesteps_since_restore=self._timesteps_since_restore,
            iterations_since_restore=self._iterations_since_restore,
        )
        usage = self._usage.means() if self._usage else {}
        if usage:
            result["perf"] = {**result.get("perf", {}), **usage}


def date_text(moment: datetime | None = None) -> str:
    """`YYYY-MM-DD_HH-MM-SS`, as in the names of directories and files."""
    return (moment or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")


@cache
def node_ip() -> str:
    """The address of this machine that others reach it at; the loopback address without a
    network.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("8.8.8.8", 80))  # of a datagram socket: picks the route, sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _is_inside(path: str, directory: Path) -> bool:
    return os.path.abspath(path).startswith(os.path.abspath(directory))


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own number."""
    return value.item() if hasattr(value, "item") else value
