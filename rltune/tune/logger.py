"""What writes a trial's results to its directory. All loggers run in the driver, those of a run
beside its loop.

A result is what `Trainable.train()` returned; its `config` is left out of every line and file but
`params.json` and `params.pkl`, which hold it once.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rltune import result as keys
from rltune.checkpoint import write_atomically
from rltune.tune.append_file import AppendFile
from rltune.tune.event_file import EventFile
from rltune.tune.flatten import flatten_dict
from rltune.tune.log_writer import LogWriter
from rltune.tune.plain import plain
from rltune.tune.syncer import get_log_syncer

log = logging.getLogger(__name__)

Result = Mapping[str, Any]


class Logger:
    """Receives the results of one trial. Subclass it and override `on_result`.

    Args:
        config: the trial's resolved config.
        logdir: the trial's directory, which exists.
    """

    def __init__(self, config: dict[str, Any], logdir: str):
        self.config = config
        self.logdir = logdir
        self._init()

    def _init(self) -> None:
        """Called once, at the end of construction."""

    def on_result(self, result: dict[str, Any]) -> None:
        """Called with every result."""
        raise NotImplementedError

    def update_config(self, config: dict[str, Any]) -> None:
        """The trial goes on with another config."""

    def close(self) -> None:
        """No result will follow."""

    def flush(self) -> None:
        """Puts what is held back on disk."""


class NoopLogger(Logger):
    """Writes nothing: the logger inside a trial's own process."""

    def on_result(self, result: dict[str, Any]) -> None:
        pass


class JsonLogger(Logger):
    """`params.json`, `params.pkl`, and `result.json`: one JSON object per line.

    NaN and infinities are written as null, since JSON has no such numbers and strict readers
    refuse them. Lines are appended to an existing file.
    """

    def _init(self) -> None:
        self.update_config(self.config)
        self._file = AppendFile(Path(self.logdir, keys.EXPR_RESULT_FILE))

    def on_result(self, result: dict[str, Any]) -> None:
        line = json.dumps(plain(_without_config(result)), allow_nan=False)
        self._file.append(line.encode() + b"\n")

    def update_config(self, config: dict[str, Any]) -> None:
        import cloudpickle

        self.config = config
        text = json.dumps(plain(config), indent=2, sort_keys=True)
        write_atomically(Path(self.logdir, keys.EXPR_PARAM_FILE), text.encode())
        try:
            pickled = cloudpickle.dumps(config)
        except Exception as error:
            log.warning(
                "%s is not written: the config cannot be pickled (%s).",
                keys.EXPR_PARAM_PICKLE_FILE,
                error,
            )
        else:
            write_atomically(Path(self.logdir, keys.EXPR_PARAM_PICKLE_FILE), pickled)

    def close(self) -> None:
        self._file.close()


class CSVLogger(Logger):
    """`progress.csv`: a row per result, nested keys as `a/b`.

    A key that first appears in a later result widens the file: it is rewritten with one more
    column, whole or not at all. An existing file is continued under its own header.
    """

    def _init(self) -> None:
        self._path = Path(self.logdir, keys.EXPR_PROGRESS_FILE)
        self._file = AppendFile(self._path)
        with open(self._path, newline="", encoding="utf-8") as file:
            self._columns = dict.fromkeys(next(csv.reader(file), []))

    def on_result(self, result: dict[str, Any]) -> None:
        row = flatten_dict(_without_config(result))
        new = [key for key in row if key not in self._columns]
        if new and self._columns:
            self._widen(new)
        elif new:
            self._columns = dict.fromkeys(new)
            self._file.append(_csv_lines([new]))
        self._file.append(_csv_lines([[row.get(key) for key in self._columns]]))

    def close(self) -> None:
        self._file.close()

    def _widen(self, new: list[str]) -> None:
        with open(self._path, newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        self._columns |= dict.fromkeys(new)
        padding = [""] * len(new)
        data = _csv_lines([list(self._columns), *(row + padding for row in rows)])
        self._file.close()
        write_atomically(self._path, data)
        self._file = AppendFile(self._path)


class TFLogger(Logger):
    """TensorBoard events: `ray/tune/<key>` at step `timesteps_total` or `training_iteration`.

    Keys of nested results are joined by `/`; what is no number is left out. `close` adds the config
    to the HParams page, and raises ImportError where tensorboardX, which that takes, is missing.
    """

    PREFIX = "ray/tune/"
    LEFT_OUT = frozenset({keys.PID, "timestamp", keys.TIME_TOTAL_S})

    def _init(self) -> None:
        self._file = EventFile(self.logdir)
        self._tags: list[str] = []

    def on_result(self, result: dict[str, Any]) -> None:
        scalars = {
            self.PREFIX + key: value
            for key, value in flatten_dict(_without_config(result)).items()
            if _is_scalar(value) and key not in self.LEFT_OUT
        }
        step = result.get(keys.TIMESTEPS_TOTAL) or result[keys.TRAINING_ITERATION]
        self._file.write(scalars, int(step))
        self._tags = list(scalars)

    def update_config(self, config: dict[str, Any]) -> None:
        self.config = config

    def close(self) -> None:
        hparams = {
            key: value
            for key, value in flatten_dict(plain(self.config)).items()
            if isinstance(value, bool | int | float | str)
        }
        try:
            if hparams and self._tags:
                self._file.write_hparams(hparams, self._tags)
        finally:
            self._file.close()


DEFAULT_LOGGERS: tuple[type[Logger], ...] = (JsonLogger, CSVLogger, TFLogger)


class UnifiedLogger(Logger):
    """Hands everything on to several loggers, and keeps their errors away from the run.

    Args:
        config: the trial's resolved config.
        logdir: the trial's directory.
        loggers: Logger classes; None means DEFAULT_LOGGERS. One that cannot be constructed is
            skipped with a warning; one that raises later is warned about once and still called.
        sync_function: how to pull the directory from the node where the trial runs, if that is
            another one: a template, a function (source, target), or False for not at all.
        writer: what constructs and calls the loggers, in order but later; None does it at once.
    """

    def __init__(
        self,
        config: dict[str, Any],
        logdir: str,
        loggers: Sequence[type[Logger]] | None = None,
        sync_function: str | Callable[[str, str], Any] | bool | None = None,
        writer: LogWriter | None = None,
    ):
        self._guarded = [_Guarded(cls) for cls in (DEFAULT_LOGGERS if loggers is None else loggers)]
        self._syncer = get_log_syncer(logdir, sync_function)
        self._writer = writer if self._guarded else None
        super().__init__(config, logdir)

    def _init(self) -> None:
        self._each(_Guarded.construct, self.config, self.logdir)

    def on_result(self, result: dict[str, Any]) -> None:
        self.log(result)
        self._syncer.set_worker_ip(result.get(keys.NODE_IP))
        self._syncer.sync_down_if_needed()

    def log(self, result: dict[str, Any]) -> None:
        """Hands a result to the loggers, wherever it came from."""
        self._each(_Guarded.call, "on_result", _copied(result) if self._writer else result)

    def update_config(self, config: dict[str, Any]) -> None:
        self.config = config
        self._each(_Guarded.call, "update_config", config)

    def close(self) -> None:
        self._each(_Guarded.call, "close")
        self._syncer.wait()  # the last pull begins when the one before has ended
        self._syncer.sync_down()
        self._syncer.wait()

    def flush(self) -> None:
        self._each(_Guarded.call, "flush")

    def sync_results_to_new_location(self, worker_ip: str) -> None:
        """Pushes the directory to another node, where the trial goes on."""
        self._syncer.sync_to_new_location(worker_ip)

    def _each(self, method: Callable[..., None], *args: Any) -> None:
        if self._writer is not None:
            self._writer.submit([(g.cls, partial(method, g, *args)) for g in self._guarded])
            return
        for guarded in self._guarded:
            method(guarded, *args)


class _Guarded:
    """A logger whose errors become warnings: that it is skipped, or the first one later on."""

    def __init__(self, cls: type[Logger]):
        self.cls = cls
        self._logger: Logger | None = None
        self._warned = False

    def construct(self, config: dict[str, Any], logdir: str) -> None:
        try:
            self._logger = self.cls(config, logdir)
        except (Exception, SystemExit) as error:
            log.warning("%s is skipped: %s", getattr(self.cls, "__name__", self.cls), error)

    def call(self, method: str, *args: Any) -> None:
        if self._logger is None:
            return
        try:
            getattr(self._logger, method)(*args)
        except (Exception, SystemExit):
            if not self._warned:
                self._warned = True
                log.warning(
                    "%s.%s failed in %s; the run goes on, later errors of it are not shown.",
                    type(self._logger).__name__,
                    method,
                    self._logger.logdir,
                    exc_info=True,
                )


def pretty_print(result: Result) -> str:
    """A result as YAML for people: keys sorted, without the config and what is None."""
    import yaml

    shown = {key: value for key, value in _without_config(result).items() if value is not None}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        plain(shown, keep_non_finite=True), Dumper=dumper, default_flow_style=False
    )
    return text


def _copied(value: Any) -> Any:
    """A copy whose containers are its own: the trainable may change what it reported."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value.copy() if isinstance(value, np.ndarray) else value


def _without_config(result: Result) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "config"}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _csv_lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
