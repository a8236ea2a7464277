"""`rltune list-trials`, `list-experiments` and `add-note`: what experiments have left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from rltune.cli.outcome import bad_input
from rltune.tune import commands
from rltune.tune.error import TuneError
from rltune.tune.listing import OPERATORS, SUFFIXES, UnknownColumn

HELP = {"help_option_names": ["-h", "--help"]}
TRUTH_VALUES = click.BOOL


class DescendingCommand(click.Command):
    """`--desc` may have a value, as in Tune: one that is no truth value is the next argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for i, arg in enumerate(args):
            if arg == "--desc":
                has_value = i + 1 < len(args) and _is_truth(args[i + 1])
                value = args[i + 1] if has_value else "true"
                args = [*args[:i], f"--desc={value}", *args[i + 1 + has_value :]]
                break
        return super().parse_args(ctx, args)


def _is_truth(text: str) -> bool:
    try:
        TRUTH_VALUES.convert(text, None, None)
    except click.BadParameter:
        return False
    return True


def listing_options(function: Callable[..., None]) -> Callable[..., None]:
    """The flags that both lists have."""
    for option in reversed(
        [
            click.option("--sort", metavar="A,B", help="Columns to sort by."),
            click.option(
                "--filter",
                "filter_op",
                metavar="'COLUMN OPERATOR VALUE'",
                help=f"Rows to keep; the operator is one of {' '.join(OPERATORS)}.",
            ),
            click.option(
                "-o",
                "--output",
                metavar="FILE",
                help=f"Save the rows with all chosen columns: {', '.join(SUFFIXES)}.",
            ),
            click.option("--columns", "info_keys", metavar="A,B", help="Columns to choose."),
            click.option("--limit", type=click.IntRange(min=1), help="Rows to keep."),
            click.option("--desc", type=TRUTH_VALUES, default=False, help="Sort downwards."),
        ]
    ):
        function = option(function)
    return function


@click.command("list-trials", cls=DescendingCommand, context_settings=HELP)
@click.argument("experiment_dir")
@listing_options
@click.option("--result-columns", "result_keys", metavar="X,Y", help="Fields of the last result.")
def list_trials(experiment_dir: str, **options: Any) -> None:
    """List the trials of an experiment.

    Columns are fields of the trials: status, logdir, config:lr, last_result:time_total_s.
    Sorting and filtering use the chosen columns; a field of the last result needs no prefix.
    """
    with mistakes():
        commands.list_trials(experiment_dir, **options)


@click.command("list-experiments", cls=DescendingCommand, context_settings=HELP)
@click.argument("project_dir")
@listing_options
def list_experiments(project_dir: str, **options: Any) -> None:
    """List the experiments that are directories in PROJECT_DIR, e.g. ~/ray_results."""
    with mistakes():
        commands.list_experiments(project_dir, **options)


@click.command("add-note", context_settings=HELP)
@click.argument("path")
@click.option("--filename", default="note.txt", show_default=True, help="The note's file.")
def add_note(path: str, filename: str) -> None:
    """Open $EDITOR on a note in the directory PATH."""
    with mistakes():
        commands.add_note(path, filename)


@contextmanager
def mistakes() -> Iterator[None]:
    """Errors as one message: exit code 2 for what the user typed, 1 for what is not there."""
    try:
        with bad_input(ValueError, UnknownColumn, OSError), _open_ended_output():
            yield
    except (TuneError, ImportError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _open_ended_output() -> Iterator[None]:
    """Nothing is wrong when the reader of the output, such as `head`, has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
