"""`rltune config` shows every setting with its value and origin."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agents.ppo import PPOConfig
from rltune.cli.config import config

TWO = """
one:
    run: PPO
    env: CartPole-v1
    config: {sample_batch_size: 50, lr: 1e-3, model: {fcnet_hiddens: [8]}}
two:
    run: PG
    config: {lr: {grid_search: [0.1, 0.2]}}
"""


def show(*args: str) -> Result:
    return CliRunner().invoke(config, list(args))


def rows(*args: str) -> dict[str, list[str]]:
    """Key -> [value, origin] of what is shown."""
    result = show(*args)
    assert result.exit_code == 0, result.output
    table = [line.split(maxsplit=1) for line in result.stdout.splitlines()[1:]]
    return {key: rest.split("  ", 1)[0].split() + rest.split()[1:2] for key, rest in table}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    return str(path)


def test_every_key_with_its_default_and_help() -> None:
    shown = show("PPO").stdout
    table = rows("PPO")
    for key, field in PPOConfig.fields_by_key().items():
        assert field.metadata["help"] in shown or key == "model"
        assert key == "model" or key in table
    assert table["lr"] == [str(PPOConfig().lr), "default"]
    assert table["model.fcnet_activation"] == ["tanh", "default"]


def test_origins(file: str) -> None:
    overrides = '{"lr": 0.5, "model": {"fcnet_activation": "relu"}}'
    shown = show("-f", file, "PPO", "--config", overrides)
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert lines["lr"].split()[1:3] == ["0.5", "flag"]
    assert lines["rollout_fragment_length"].split()[1:3] == ["50", "yaml"]
    assert lines["model.fcnet_hiddens"].split()[1:3] == ["[8]", "yaml"]
    assert lines["model.fcnet_activation"].split()[1:3] == ["relu", "flag"]
    assert lines["env"].split()[1:3] == ["CartPole-v1", "yaml"]
    assert lines["gamma"].split()[2] == "default"


def test_a_grid_is_shown_as_it_is(file: str) -> None:
    assert '{"grid_search": [0.1, 0.2]}' in show("-f", file, "--experiment-name", "two").stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "name an algorithm"),
        (["PPOO"], "PPO"),
        (["PPO", "--config", '{"lrr": 1}'], "nearest: 'lr'"),
        (["PPO", "--config", '{"lr": {"grid_search": [1, "x"]}}'], "'lr' is 'x'"),
        (["-f", "FILE"], "2 experiments"),
        (["-f", "FILE", "DQN"], "no experiment"),
        (["tests.cli.trainables:Counter"], "no declared settings"),
    ],
)
def test_mistakes(args: list[str], words: str, file: str) -> None:
    result = show(*[file if arg == "FILE" else arg for arg in args])
    assert result.exit_code == 2
    assert words in result.stderr
