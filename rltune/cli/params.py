"""Parameter types of the flags: JSON text that says where it is wrong, and lists."""

from __future__ import annotations

import json
from typing import Any

import click


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} is given twice")
    return dict(pairs)


class JsonObject(click.ParamType):
    """A JSON object, e.g. '{"training_iteration": 3}'."""

    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            parsed = json.loads(value, object_pairs_hook=_no_duplicates)
        except json.JSONDecodeError as error:
            self.fail(
                f"not JSON at position {error.pos} ({error.msg}):\n{_pointer(value, error)}",
                param,
                ctx,
            )
        except ValueError as error:
            self.fail(f"{error}: {value}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f"it must be a JSON object like '{{\"key\": 1}}', not {value}", param, ctx)
        return parsed


def _pointer(text: str, error: json.JSONDecodeError) -> str:
    """The line that is not JSON, with a mark under the place."""
    line = text.splitlines()[error.lineno - 1] if text.strip() else text
    start = max(0, error.colno - 60)
    return f"  {line[start : error.colno + 40]}\n  {' ' * (error.colno - 1 - start)}^"


class Words(click.ParamType):
    """Words, comma separated."""

    name = "words"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        if isinstance(value, list):
            return value
        return [word.strip() for word in value.split(",") if word.strip()]
