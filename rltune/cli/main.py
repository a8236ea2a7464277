"""The command `rltune`: a group whose subcommands are imported only when they run."""

from __future__ import annotations

import importlib
from typing import NoReturn

import click

from rltune.cli.outcome import run_command
from rltune.config import nearest
from rltune.version import __version__

COMMANDS = {
    "train": (
        "rltune.cli.train:train",
        "Train algorithms, from flags or a YAML file of experiments.",
    ),
    "rollout": ("rltune.cli.rollout:rollout", "Run a checkpoint's policy in its environment."),
    "config": (
        "rltune.cli.config:config",
        "Show every setting of an algorithm, and where it comes from.",
    ),
    "list-trials": ("rltune.cli.inspect:list_trials", "List an experiment's trials (alias ls)."),
    "list-experiments": (
        "rltune.cli.inspect:list_experiments",
        "List the experiments in a directory (alias lsx).",
    ),
    "add-note": ("rltune.cli.inspect:add_note", "Write a note into an experiment's directory."),
    "parallel-coordinates": (
        "rltune.cli.parallel_coordinates:parallel_coordinates",
        "Draw an experiment's trials as an interactive page.",
    ),
    "pbt": (
        "rltune.cli.pbt:pbt",
        "Show who copied whom in a run of PBT.",
    ),
}
"""Name -> where the command is, and the line that `rltune --help` shows for it."""

ALIASES = {"ls": "list-trials", "lsx": "list-experiments"}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = ALIASES.get(args[0], args[0])
        if name not in COMMANDS and not name.startswith("-"):
            guess = nearest(name, COMMANDS)
            ctx.fail(f"No command '{name}'" + (f"; nearest: '{guess}'" if guess else ""))
        return super().resolve_command(ctx, [name, *args[1:]])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rltune", message="%(prog)s %(version)s")
def cli() -> None:
    """Reinforcement learning algorithms, and the runner that tunes them."""


def main(args: list[str] | None = None) -> NoReturn:
    """Entry point of the console script `rltune`; `args` default to `sys.argv`."""
    run_command(cli, args, prog_name="rltune")
