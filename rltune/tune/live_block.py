"""A block of lines at the end of a terminal's output, redrawn in place."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from typing import Any, TextIO


def can_redraw(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


class LiveBlock:
    """From `open` to `close`, `show` replaces the block, and what anyone prints goes above it.

    sys.stdout, sys.stderr and the root logger's handlers that write there are taken over for that
    time. Lines are cut to the terminal's width and height, so that they can be found again.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lines: list[str] = []
        self._drawn = 0
        self._streams: dict[str, TextIO] = {}

    def open(self) -> None:
        for name in ("stdout", "stderr"):
            stream = self._streams[name] = getattr(sys, name)
            above: Any = _Above(self, stream)
            setattr(sys, name, above)
            _redirect_handlers(stream, above)

    def show(self, text: str) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = [line.expandtabs()[: columns - 1] for line in text.splitlines()]
        with self._lock:
            self._erase()
            self._lines = lines if len(lines) < rows else [*lines[: rows - 2], "..."]
            self._draw()

    def close(self) -> None:
        """Removes the block and gives the streams back."""
        with self._lock:
            self._erase()
            self._lines = []
        for name, stream in self._streams.items():
            _redirect_handlers(getattr(sys, name), stream)
            setattr(sys, name, stream)

    def write_above(self, stream: TextIO, text: str) -> int:
        """Puts others' text where the block was; the block follows when the line is complete."""
        with self._lock:
            self._erase()
            written = stream.write(text)
            if text.endswith("\n"):
                stream.flush()
                self._draw()
            return written

    def _draw(self) -> None:
        terminal = self._streams["stdout"]
        terminal.write("".join(f"{line}\n" for line in self._lines))
        terminal.flush()
        self._drawn = len(self._lines)

    def _erase(self) -> None:
        if self._drawn:
            self._streams["stdout"].write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._streams["stdout"].flush()
            self._drawn = 0


class _Above:
    """A stream whose text goes above the block."""

    def __init__(self, block: LiveBlock, stream: TextIO):
        self._block, self._stream = block, stream

    def write(self, text: str) -> int:
        return self._block.write_above(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _redirect_handlers(old: Any, new: Any) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)
