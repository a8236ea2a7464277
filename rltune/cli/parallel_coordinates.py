"""`rltune parallel-coordinates`: an experiment as a page on which trials can be picked out."""

from __future__ import annotations

from pathlib import Path

import click

from rltune.checkpoint import write_atomically
from rltune.cli.inspect import HELP, mistakes
from rltune.tune import parallel_coordinates as plot
from rltune.tune.visual_utils import load_results_to_df


@click.command("parallel-coordinates", context_settings=HELP)
@click.argument("experiment_dir", type=click.Path(exists=True, file_okay=False))
@click.option(
    "-o",
    "--output",
    default="parallel_coordinates.html",
    show_default=True,
    help="The page; it needs no network.",
)
@click.option(
    "--columns",
    default="",
    metavar="A,B",
    help="Axes from left to right, nested ones as a:b.  [default: what differs between trials]",
)
@click.option("--color", metavar="A", help="The number that colors the lines.")
def parallel_coordinates(experiment_dir: str, output: str, columns: str, color: str | None) -> None:
    """Draw the trials below EXPERIMENT_DIR: an axis per setting and metric, a line per trial.

    Dragging along an axis picks out trials, dragging its name moves it.
    """
    fields = [name.strip() for name in columns.split(",") if name.strip()]
    with mistakes():
        figure = plot.draw(load_results_to_df(experiment_dir), fields, color)
        write_atomically(Path(output), plot.page(figure).encode())
        click.echo(f"Output saved at: {output}")
