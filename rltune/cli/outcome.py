"""How a command ends: its exit code, and one message for what the user can mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

SUCCESS, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class BadInput(click.ClickException):
    """Input that cannot be run; shown as one message."""

    exit_code = BAD_INPUT


@contextmanager
def bad_input(*errors: type[Exception]) -> Iterator[None]:
    """Within it, `errors` are the user's to mend: they become a `BadInput` with their own text."""
    try:
        yield
    except errors as error:
        raise BadInput(str(error)) from error


def run_command(
    command: click.Command, args: list[str] | None = None, prog_name: str | None = None
) -> NoReturn:
    """Runs `command` on `args` (default: `sys.argv`) and exits.

    With the code that it returns, 2 for bad input, 130 for Ctrl-C.
    """
    try:
        code = command.main(args, prog_name=prog_name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    sys.exit(code or SUCCESS)
