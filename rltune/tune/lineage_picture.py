"""A PBT run as a picture: scores and settings over time, a line per trial, broken by exploits.

One panel each for the score and every setting; a dotted line leads from the state that was copied
to the first result after the copy.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rltune.tune.error import TuneError
from rltune.tune.lineage import Life, Lineage, TrialHistory, number, score_in, short
from rltune.tune.parallel_coordinates import load_plotly, page

# Trials beyond the number of colors begin with the first again (Tableau 10).
COLORS = "#4e79a7 #f28e2b #e15759 #76b7b2 #59a14f #edc948 #b07aa1 #ff9da7 #9c755f #bab0ac".split()
PANEL_HEIGHT = 260  # pixels
WIDTH = 1000

Value = float | str | None
Point = tuple[float | None, Value]
Reader = Callable[[Life, dict[str, Any]], Value]


@dataclass(frozen=True)
class Line:
    """`copies` are pairs of points, with a gap (None) after each."""

    name: str
    color: str
    points: list[Point]
    copies: list[Point]


@dataclass(frozen=True)
class Panel:
    """`texts` are the values of a setting that is no number, else []."""

    title: str
    texts: list[str]
    logarithmic: bool
    lines: list[Line]


def panels(lineage: Lineage) -> list[Panel]:
    """What to draw. Raises TuneError if no trial has results to show."""
    readers: dict[str, Reader] = {name: _setting(name) for name in lineage.names}
    readers = {lineage.metric: lambda life, result: score_in(result, lineage.metric), **readers}
    drawn = [_panel(lineage, title, read) for title, read in readers.items()]
    if not any(line.points for line in drawn[0].lines):
        raise TuneError("There is nothing to draw: no trial has results.")
    return drawn


def save(lineage: Lineage, output: str) -> None:
    """Writes the picture as a page (`.html`, which needs no network) or an image (`.png`).

    Raises ValueError for another suffix, TuneError if there is nothing to draw, ImportError without
    plotly or matplotlib.
    """
    from rltune.checkpoint import write_atomically

    path = Path(output).expanduser()
    makers = {".html": _html, ".png": _png}
    if path.suffix not in makers:
        raise ValueError(f"{output}: a picture is {' or '.join(makers)}.")
    write_atomically(path, makers[path.suffix](panels(lineage), lineage.time_attr))


def _setting(name: str) -> Reader:
    def read(life: Life, result: dict[str, Any]) -> Value:
        value = life.values.get(name)
        return value if value is None or number(value) is not None else str(value)

    return read


def _panel(lineage: Lineage, title: str, read: Reader) -> Panel:
    lines = []
    for i, trial in enumerate(lineage.trials):
        points, copies = _points(trial, lineage.time_attr, read)
        lines.append(Line(short(trial.tag), COLORS[i % len(COLORS)], points, copies))
    values = [value for line in lines for _, value in line.points if value is not None]
    texts = sorted({str(value) for value in values})
    if not any(isinstance(value, str) for value in values):
        texts = []
    logarithmic = title != lineage.metric and not texts and _spans_decades(values)
    return Panel(title, texts, logarithmic, lines)


def _points(trial: TrialHistory, time_attr: str, read: Reader) -> tuple[list[Point], list[Point]]:
    points: list[Point] = []
    copies: list[Point] = []
    for life in trial.lives:
        here = [(score_in(result, time_attr), read(life, result)) for result in life.results]
        points += [*([(None, None)] if points else []), *here]
        if life.origin is not None and here:
            copied = life.origin.results[0]
            origin = score_in(copied, time_attr), read(life.origin, copied)
            copies += [origin, here[0], (None, None)]
    return points, copies


def _spans_decades(values: Sequence[Any]) -> bool:
    return bool(values) and min(values) > 0 and math.log10(max(values) / min(values)) > 1


def _html(drawn: Sequence[Panel], time_attr: str) -> bytes:
    graph_objects = load_plotly()
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=len(drawn), cols=1, shared_xaxes=True, subplot_titles=[panel.title for panel in drawn]
    )
    for row, panel in enumerate(drawn, start=1):
        for line in panel.lines:
            for points, dash in ((line.points, "solid"), (line.copies, "dot")):
                trace = graph_objects.Scatter(
                    x=[x for x, _ in points],
                    y=[y for _, y in points],
                    name=f"trial {line.name}",
                    legendgroup=line.name,
                    showlegend=row == 1 and dash == "solid",
                    mode="lines",
                    line={"color": line.color, "dash": dash},
                )
                figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(type="log" if panel.logarithmic else None, row=row, col=1)
    figure.update_xaxes(title_text=time_attr, row=len(drawn), col=1)
    figure.update_layout(height=PANEL_HEIGHT * (len(drawn) + 1))
    return page(figure).encode()


def _png(drawn: Sequence[Panel], time_attr: str) -> bytes:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("A .png needs matplotlib: pip install rltune[plot]") from error
    dpi = 100
    size = (WIDTH / dpi, PANEL_HEIGHT * len(drawn) / dpi)
    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, drawn, strict=True):
        axis.set_title(panel.title)
        axis.set_yscale("log" if panel.logarithmic else "linear")
        for line in panel.lines:
            for points, style in ((line.points, "-"), (line.copies, ":")):
                x = [math.nan if x is None else x for x, _ in points]
                y = [_height(y, panel.texts) for _, y in points]
                axis.plot(x, y, style, color=line.color, label=f"trial {line.name}")
        if panel.texts:
            axis.set_yticks(range(len(panel.texts)), panel.texts)
    axes[-1].set_xlabel(time_attr)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::2], labels[::2], loc="outside right upper")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def _height(value: Value, texts: Sequence[str]) -> float:
    if value is None:
        return math.nan
    return texts.index(str(value)) if texts else float(value)
