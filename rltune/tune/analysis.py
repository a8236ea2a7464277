"""Reading back what trials wrote: `progress.csv` and `params.json` of each, as pandas frames."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rltune import result as keys
from rltune.config import nearest
from rltune.tune.error import TuneError

if TYPE_CHECKING:
    import pandas as pd

STATE_FILES = "experiment_state-*.json"
CONFIG_PREFIX = "config:"

log = logging.getLogger(__name__)


class Analysis:
    """All trials below a directory, which may hold several experiments.

    Raises ValueError if it is no directory and TuneError if it holds no trial. The frames need
    pandas (`pip install rltune[analysis]`).
    """

    def __init__(self, experiment_dir: str):
        directory = os.path.expanduser(experiment_dir)
        if not os.path.isdir(directory):
            raise ValueError(f"{experiment_dir} is not a directory.")
        self._directory = Path(directory)
        if not self._trial_paths:
            raise TuneError(f"No trials found in {experiment_dir}: no {keys.EXPR_PROGRESS_FILE}.")

    @cached_property
    def _trial_paths(self) -> list[str]:
        found = self._directory.rglob(keys.EXPR_PROGRESS_FILE)
        return sorted(str(path.parent) for path in found)

    @cached_property
    def trial_dataframes(self) -> dict[str, pd.DataFrame]:
        """`progress.csv` by trial directory; trials without a readable one are left out."""
        pandas, frames = load_pandas(), {}
        for path in self._trial_paths:
            try:
                frames[path] = pandas.read_csv(os.path.join(path, keys.EXPR_PROGRESS_FILE))
            except (OSError, ValueError) as error:
                log.warning("%s is left out: %s", path, error)
        return frames

    def get_all_configs(self, prefix: bool = False) -> dict[str, dict[str, Any]]:
        """`params.json` by trial directory; with `prefix` its keys become `config:<key>`."""
        configs = {}
        for path in self._trial_paths:
            try:
                config = json.loads(Path(path, keys.EXPR_PARAM_FILE).read_bytes())
            except (OSError, ValueError) as error:
                log.warning("The config of %s is left out: %s", path, error)
                continue
            configs[path] = {CONFIG_PREFIX + k: v for k, v in config.items()} if prefix else config
        return configs

    def dataframe(self, metric: str | None = None, mode: str | None = None) -> pd.DataFrame:
        """One row per trial: the last, or the one where `metric` is best ("max" or "min").

        Further columns are `config:<key>` and `logdir`. Trials where the metric never is a finite
        number are left out.
        """
        _check_mode(mode)
        configs = self.get_all_configs(prefix=True)
        table: pd.DataFrame = load_pandas().DataFrame(
            [
                {**row, **configs.get(path, {}), "logdir": path}
                for path, row in self._rows(metric, mode).items()
            ]
        )
        return table

    def get_best_config(self, metric: str, mode: str | None = "max") -> dict[str, Any]:
        """The config of the trial with the best value of `metric`, over its whole history.

        With mode None last values are compared, higher is better. Values that are not finite
        never win. Raises TuneError if no trial has a finite one.
        """
        _check_mode(mode)
        best = self._best_path(metric, self._rows(metric, mode), mode)
        return self.get_all_configs()[best]

    def get_best_logdir(self, metric: str, mode: str | None = "max") -> str:
        """The directory of the trial whose **last** value of `metric` is best.

        `get_best_config` looks at the whole history, so the two may differ. Raises TuneError if no
        trial has a finite last value.
        """
        _check_mode(mode)
        return self._best_path(metric, self._rows(None, None), mode)

    def _rows(self, metric: str | None, mode: str | None) -> dict[str, dict[Any, Any]]:
        rows = {}
        for path, frame in self.trial_dataframes.items():
            if frame.empty:
                continue
            if metric is None or mode is None:
                rows[path] = frame.iloc[-1].to_dict()
                continue
            best = _best_row(frame, metric, mode)
            if best is not None:
                rows[path] = frame.iloc[best].to_dict()
        return rows

    def _best_path(
        self, metric: str, rows: Mapping[str, Mapping[Any, Any]], mode: str | None
    ) -> str:
        frame = load_pandas().DataFrame(rows.values())
        best = _best_row(frame, metric, mode)
        if best is None:
            known = {str(c) for f in self.trial_dataframes.values() for c in f.columns}
            near = None if metric in known else nearest(metric, known)
            hint = f"; did you mean {near!r}?" if near else ""
            raise TuneError(f"No trial has a finite value of {metric!r}{hint}")
        return list(rows)[best]


class ExperimentAnalysis(Analysis, Sequence[Any]):
    """The trials of one run: what `tune.run` returns. It is also the sequence of its trials.

    Args:
        path: an experiment directory, of which the newest state file is read, or a state file.
        trials: the Trial objects of the run that just ended; then the state is read when asked for.

    Raises TuneError if there is no state file, or one that lists no `checkpoints`.
    """

    def __init__(self, path: str, trials: Sequence[Any] | None = None):
        self._path = Path(os.path.expanduser(path))
        self._directory = self._path if self._path.is_dir() else self._path.parent
        self._from_state = trials is None
        self.trials: list[Any] = list(trials or [])
        if self._from_state:
            self._records()

    def stats(self) -> dict[str, Any]:
        """When the run began and when its state was written: `start_time`, `timestamp`."""
        return dict(self._state["stats"])

    def runner_data(self) -> dict[str, Any]:
        """What the runner noted about itself."""
        return dict(self._state["runner_data"])

    def __len__(self) -> int:
        return len(self.trials)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self.trials[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.trials)

    @cached_property
    def _state(self) -> dict[str, Any]:
        path = self._path
        if path.is_dir():
            path = max(path.glob(STATE_FILES), default=path / STATE_FILES)
        try:
            state: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TuneError(f"No experiment state can be read from {path}: {error}") from error
        return state

    def _records(self) -> list[dict[str, Any]]:
        if "checkpoints" not in self._state:
            raise TuneError(f"The experiment state in {self._path} lists no trials.")
        records: list[dict[str, Any]] = self._state["checkpoints"]
        return records

    @cached_property
    def _trial_paths(self) -> list[str]:
        """Directories of the run's trials that hold results, also where the experiment moved."""
        if self._from_state:
            logdirs = [record["logdir"] for record in self._records()]
        else:
            logdirs = [trial.logdir for trial in self.trials]
        paths = [self._here(logdir) for logdir in logdirs if logdir]
        return [path for path in paths if os.path.exists(f"{path}/{keys.EXPR_PROGRESS_FILE}")]

    def _here(self, logdir: str) -> str:
        return logdir if os.path.isdir(logdir) else str(self._directory / os.path.basename(logdir))


def load_pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("This needs pandas: pip install rltune[analysis]") from error
    return pandas


def _check_mode(mode: str | None) -> None:
    assert mode in ("max", "min", None), f"mode is 'max' or 'min', not {mode!r}."


def _best_row(frame: pd.DataFrame, metric: str, mode: str | None) -> int | None:
    """The position of the best finite number of a column; None if it has none or does not exist."""
    import numpy as np

    if metric not in frame:
        return None
    values = load_pandas().to_numeric(frame[metric], errors="coerce").to_numpy(float)
    if not np.isfinite(values).any():
        return None
    better = -values if mode == "min" else values
    return int(np.where(np.isfinite(values), better, -np.inf).argmax())
