"""JSON flags say which flag is wrong, where, and show the text."""

from __future__ import annotations

import click
import pytest

from rltune.cli.train import train


def complaint(*args: str) -> str:
    with pytest.raises(click.UsageError) as caught:
        train.make_context("train.py", list(args))
    return caught.value.format_message()


@pytest.mark.parametrize(
    "flag", ["--config", "--stop", "--resources-per-trial", "--scheduler-config"]
)
def test_the_place_is_shown(flag: str) -> None:
    message = complaint(flag, "{\"a\": 1, 'b': 2}")
    assert flag in message
    assert "position 9" in message
    text, mark = message.splitlines()[-2:]
    assert text[mark.index("^")] == "'"


def test_a_long_text_is_shown_around_the_place() -> None:
    message = complaint("--config", '{"a": "' + "x" * 500 + '", b}')
    text, mark = message.splitlines()[-2:]
    assert text[mark.index("^")] == "b"
    assert len(text) < 120


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "it must be a JSON object"),
        ("3", "it must be a JSON object"),
        ("", "not JSON at position 0"),
        ('{"lr": 1, "lr": 2}', "'lr' is given twice"),
    ],
)
def test_what_is_no_object(text: str, words: str) -> None:
    message = complaint("--config", text)
    assert "--config" in message
    assert words in message


def test_words() -> None:
    context = train.make_context("train.py", ["--export-formats", "checkpoint, model"])
    assert context.params["export_formats"] == ["checkpoint", "model"]
