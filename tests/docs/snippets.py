"""The fenced blocks of Markdown files, and which of them are programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = ("python", "console")
BACKGROUND = "<!-- test: runs beside the next ones -->"

_FENCE = re.compile(
    rf"^(?P<mark>{re.escape(BACKGROUND)}\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Snippet(NamedTuple):
    """`line` is where its text begins; `background`: the next snippets do not wait for it."""

    document: str
    line: int
    language: str
    text: str
    background: bool

    @property
    def name(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[str]:
    """The Markdown files whose snippets are executed, as paths within the repository."""
    return ["README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]


def snippets(document: str, languages: tuple[str, ...] = EXECUTED) -> list[Snippet]:
    """The blocks of these languages, in order."""
    content = (ROOT / document).read_text(encoding="utf-8")
    return [
        Snippet(
            document,
            content.count("\n", 0, match.start("text")) + 1,
            match["language"],
            match["text"],
            match["mark"] is not None,
        )
        for match in _FENCE.finditer(content)
        if match["language"] in languages
    ]
