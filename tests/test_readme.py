"""The README does what it says: its snippets run, and CI runs its two commands as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = ROOT / ".ci" / "run"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """Runs a snippet in an empty folder, where `rltune` is this checkout's; returns its output."""
    tools = folder / "bin"
    tools.mkdir()
    shim = tools / "rltune"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rltune "$@"\n')
    shim.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "REPO": str(ROOT),
        "TUNE_RESULT_DIR": str(folder / "results"),
    }
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.ray
@pytest.mark.parametrize("snippet", blocks("python"), ids=lambda text: text.splitlines()[0])
def test_python_snippets_run(snippet: str, tmp_path: Path) -> None:
    assert run([sys.executable, "-c", snippet], tmp_path).strip()


@pytest.mark.parametrize("snippet", blocks("console"), ids=lambda text: text.splitlines()[0])
def test_console_snippets_run(snippet: str, tmp_path: Path) -> None:
    assert run(["bash", "-ec", snippet], tmp_path).strip()


def test_the_two_commands_are_lines_of_their_own() -> None:
    commands = blocks("bash")
    assert len(commands) == 2
    for command in commands:
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert "-c constraints.txt" in command
    assert commands[0].endswith("train.py -f configs/cartpole-ppo.yaml\n")
    assert commands[1].endswith("-m pytest\n")


def test_ci_runs_the_two_commands_as_they_stand(tmp_path: Path) -> None:
    """The part of .ci/run that reads the README, run with the commands only printed."""
    script = CI.read_text(encoding="utf-8")
    reading = re.search(r"^mapfile .*?^done$", script, re.MULTILINE | re.DOTALL)
    assert reading is not None
    harmless = reading.group().replace('bash -c "$command"', 'printf "%s\\n" "$command" >> ran')
    assert harmless != reading.group()
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    subprocess.run(["bash", "-euo", "pipefail", "-c", harmless], cwd=tmp_path, check=True)
    assert (tmp_path / "ran").read_text(encoding="utf-8") == "".join(blocks("bash"))


def test_ci_stops_where_something_fails() -> None:
    lines = CI.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert not [line for line in lines if "|| true" in line]
