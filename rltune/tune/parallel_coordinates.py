"""Parallel coordinates of an experiment's trials, with plotly: an axis each, a line per trial."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rltune import result as keys
from rltune.config import nearest
from rltune.tune.error import TuneError
from rltune.tune.visual_utils import generate_plotly_dim_dict

if TYPE_CHECKING:
    import pandas as pd

METRICS = (
    keys.EPISODE_REWARD_MEAN,
    keys.MEAN_ACCURACY,
    keys.MEAN_LOSS,
    keys.TRAINING_ITERATION,
)
# What every result has and tells nothing about how good its trial is.
BOOKKEEPING = frozenset(
    (
        keys.DONE,
        keys.HOSTNAME,
        keys.NEG_MEAN_LOSS,
        keys.NODE_IP,
        keys.PID,
        keys.TRIAL_ID,
        keys.TIME_THIS_ITER_S,
        "date",
        "experiment_id",
        "iterations_since_restore",
        "time_since_restore",
        "timestamp",
        "timesteps_since_restore",
    )
)

log = logging.getLogger(__name__)


def default_fields(frame: pd.DataFrame) -> list[str]:
    """The columns that differ between trials, of the usual metrics and what all trials have."""
    return [
        field
        for field in frame.columns
        if (field in METRICS or frame[field].notna().all())
        and field not in BOOKKEEPING
        and frame[field].map(str).nunique() > 1
    ]


def draw(frame: pd.DataFrame, fields: Sequence[str] = (), color: str | None = None) -> Any:
    """A plotly figure with an axis for each of the fields, which are columns of `frame`.

    Args:
        frame: one row per trial, as `load_results_to_df` makes it. Trials without a value of one
            of the fields, such as a diverged loss, are left out with a warning.
        fields: the axes from left to right; by default `default_fields(frame)`.
        color: the number that colors the lines; by default the first usual metric there is.

    Raises TuneError for fields that do not exist and when there is nothing to draw, ImportError
    without plotly.
    """
    graph_objects = load_plotly()
    if frame.empty:
        raise TuneError("There is nothing to draw: no trial has results.")
    fields = list(fields) or default_fields(frame)
    if color is None:
        color = next((metric for metric in METRICS if metric in frame), None)
    named = list(dict.fromkeys([*fields, *([color] if color else [])]))
    _check(frame, named)
    drawn = frame.dropna(subset=named)
    if drawn.empty or not fields:
        raise TuneError(f"There is nothing to draw: {len(frame)} trials, axes {fields}")
    if len(drawn) < len(frame):
        log.warning("Trials left out without a value of %s: %d", named, len(frame) - len(drawn))
    line = {}
    if color:
        values = _axis(drawn, color)["values"]
        line = {"color": values, "showscale": True, "colorbar": {"title": color}}
    axes = [_axis(drawn, field) for field in fields]
    return graph_objects.Figure(graph_objects.Parcoords(dimensions=axes, line=line))


def page(figure: Any) -> str:
    """The figure as an HTML page that needs nothing else, also without a network."""
    html: str = figure.to_html(include_plotlyjs=True)
    return html


def _check(frame: pd.DataFrame, fields: Sequence[str]) -> None:
    for field in fields:
        if field not in frame:
            near = nearest(field, frame.columns)
            hint = f"; nearest: {near!r}" if near else ""
            raise TuneError(f"No trial has {field!r}{hint}. There are: {', '.join(frame.columns)}")


def _axis(frame: pd.DataFrame, field: str) -> dict[str, Any]:
    """Values that are neither numbers nor texts are shown by their text."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    column = frame[field]
    if is_bool_dtype(column) or not is_numeric_dtype(column):
        frame = frame.assign(**{field: column.map(str)})
    return generate_plotly_dim_dict(frame, field)


def load_plotly() -> Any:
    """`plotly.graph_objects`. Raises ImportError, saying what to install."""
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise ImportError("This needs plotly: pip install rltune[plot]") from error
    return graph_objects
