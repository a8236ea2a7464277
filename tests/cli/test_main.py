"""The group: lazy commands, nearest names, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rltune.cli.main import COMMANDS, cli, main
from rltune.version import __version__

ROOT = Path(__file__).resolve().parents[2]


def exit_code(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(args))
    code = stop.value.code
    assert isinstance(code, int)
    return code


def test_every_command_exists_under_its_name() -> None:
    for name in COMMANDS:
        command = cli.get_command(None, name)
        assert command is not None
        assert command.name == name


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown and summary.split(",")[0] in shown for name, (_, summary) in COMMANDS.items()
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"rltune {__version__}\n"


def test_misspelt_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("trian") == 2
    assert "nearest: 'train'" in capsys.readouterr().err


def test_misspelt_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("train", "--num-sample", "3") == 2
    assert "--num-samples" in capsys.readouterr().err


@pytest.mark.parametrize("args", [["--help"], ["train", "--help"], ["rollout", "--help"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = """if True:
        import sys
        from rltune.cli.main import main
        try:
            main(sys.argv[1:])
        except SystemExit:
            heavy = {"torch", "tensorflow", "jax", "ray", "pandas", "gymnasium"}
            print("HEAVY", sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("command", [["-m", "rltune", "train"], ["train.py"]])
def test_bad_input_is_one_message_and_exit_code_2(command: list[str], tmp_path: Path) -> None:
    args = ["--run", "PPO", "--env", "CartPol-v1", "--local-dir", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, *command, *args], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
