"""Flags: their names, and types: JSON text that says where it is wrong, and lists of words."""

from __future__ import annotations

import json
from typing import Any

import click


def json_object(text: str | dict[str, Any]) -> dict[str, Any]:
    """A JSON object, e.g. '{"training_iteration": 3}'. Raises BadParameter showing the place."""
    if isinstance(text, dict):
        return text
    try:
        parsed = json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        place = f"not JSON at position {error.pos} ({error.msg}):\n{_pointer(text, error)}"
        raise click.BadParameter(place) from error
    except ValueError as error:
        raise click.BadParameter(f"{error}: {text}") from error
    if not isinstance(parsed, dict):
        raise click.BadParameter(f"it must be a JSON object like '{{\"key\": 1}}', not {text}")
    return parsed


def flag_name(parameter: str) -> str:
    """`num_samples` as it is typed: `--num-samples`."""
    return "--" + parameter.replace("_", "-")


def words(text: str | list[str]) -> list[str]:
    """Words, comma separated."""
    if isinstance(text, list):
        return text
    return [word.strip() for word in text.split(",") if word.strip()]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} is given twice")
    return dict(pairs)


def _pointer(text: str, error: json.JSONDecodeError) -> str:
    """The line that is not JSON, with a mark under the place."""
    line = text.splitlines()[error.lineno - 1] if text.strip() else text
    start = max(0, error.colno - 60)
    return f"  {line[start : error.colno + 40]}\n  {' ' * (error.colno - 1 - start)}^"
