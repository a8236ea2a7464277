"""The status block on a terminal (T5.3): redrawn in place, with what others print above it."""

from __future__ import annotations

import io
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from rltune.tune.live_block import LiveBlock, can_redraw


class Screen(io.StringIO):
    """Understands what LiveBlock sends: line feeds, cursor up, erase below."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        return rendered(self.getvalue())


def rendered(text: str) -> list[str]:
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[\d+A\r?|\x1b\[J|\r?\n)", text):
        if up := re.fullmatch(r"\x1b\[(\d+)A\r?", part):
            row -= int(up[1])
            assert row >= 0
        elif part == "\x1b[J":
            lines[row:] = [""]
        elif part in ("\n", "\r\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        else:
            lines[row] += part
    return lines


@contextmanager
def terminal() -> Iterator[Screen]:
    screen = Screen()
    with redirect_stdout(screen), redirect_stderr(screen):
        yield screen


def test_t5_3_a_block_replaces_the_one_before() -> None:
    with terminal() as screen:
        block = LiveBlock()
        block.open()
        block.show("one\ntwo\nthree")
        block.show("four\nfive")
        assert screen.lines() == ["four", "five", ""]
        block.close()
        assert screen.lines() == [""] and sys.stdout is screen and sys.stderr is screen


def test_t5_3_what_others_print_goes_above() -> None:
    with terminal() as screen:
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger().addHandler(handler)
        block = LiveBlock()
        block.open()
        block.show("block\nof two")
        print("printed")
        print("error", file=sys.stderr)
        logging.getLogger("x").warning("logged")
        assert screen.lines() == ["printed", "error", "logged", "block", "of two", ""]
        print("half ", end="")
        assert screen.lines() == ["printed", "error", "logged", "half "]
        print("a line")
        block.show("new")
        assert screen.lines()[3:] == ["half a line", "new", ""]
        block.close()
        logging.getLogger().removeHandler(handler)
        assert handler.stream is screen


def test_t5_3_lines_are_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "4")
    with terminal() as screen:
        block = LiveBlock()
        block.open()
        block.show("a\tb\n" + "x" * 50)
        assert screen.lines() == ["a       b", "x" * 9, ""]
        block.show("1\n2\n3\n4\n5")
        assert screen.lines() == ["1", "2", "...", ""]
        block.close()


def test_only_a_terminal_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert can_redraw(Screen()) and not can_redraw(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not can_redraw(Screen())


RUN = """
from rltune import tune
from rltune.tune import console
from tests.tune.trainables import Counter
console.PERIOD_S = 0.0
tune.run(Counter, stop={"training_iteration": 4}, num_samples=2, trial_executor="local", verbose=1)
"""


def test_t5_3_a_run_on_a_terminal_leaves_one_block(results_dir: Path) -> None:
    mine, its = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    environ["TUNE_RESULT_DIR"] = str(results_dir)
    process = subprocess.Popen([sys.executable, "-c", RUN], stdout=its, stderr=its, env=environ)
    os.close(its)
    output = b""
    try:
        while data := os.read(mine, 65536):
            output += data
    except OSError:  # how the end of a terminal reads
        os.close(mine)
    assert process.wait() == 0, output
    text = output.decode()
    lines = rendered(text)
    assert text.count("== Status ==") > 4 and lines.count("== Status ==") == 1
    assert "Progress: 12 %" in text and "Progress: 100 %" in lines
    assert sum(line.startswith(" - Counter") for line in lines) == 2
