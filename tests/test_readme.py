"""CI runs the README's two commands as they stand; its snippets run with those of docs/."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.docs.snippets import ROOT, snippets

README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = ROOT / ".ci" / "run"


def commands() -> list[str]:
    return [snippet.text for snippet in snippets("README.md", ("bash",))]


def test_the_two_commands_are_lines_of_their_own() -> None:
    set_up = commands()
    assert len(set_up) == 2
    for command in set_up:
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert "-c constraints.txt" in command
    assert set_up[0].endswith("train.py -f configs/cartpole-ppo.yaml\n")
    assert set_up[1].endswith("-m pytest\n")


def test_ci_runs_the_two_commands_as_they_stand(tmp_path: Path) -> None:
    """The part of .ci/run that reads the README, run with the commands only printed."""
    script = CI.read_text(encoding="utf-8")
    reading = re.search(r"^mapfile .*?^done$", script, re.MULTILINE | re.DOTALL)
    assert reading is not None
    harmless = reading.group().replace('bash -c "$command"', 'printf "%s\\n" "$command" >> ran')
    assert harmless != reading.group()
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    subprocess.run(["bash", "-euo", "pipefail", "-c", harmless], cwd=tmp_path, check=True)
    assert (tmp_path / "ran").read_text(encoding="utf-8") == "".join(commands())


def test_ci_stops_where_something_fails() -> None:
    lines = CI.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert not [line for line in lines if "|| true" in line]
