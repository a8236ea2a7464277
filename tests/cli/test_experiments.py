"""Flags and YAML become experiments: formats, merge rules, notes, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rltune.cli.experiments import SPEC_FLAGS, build_experiments
from rltune.cli.params import flag_name
from rltune.cli.train import train
from rltune.config import ConfigError

Flags = dict[str, Any]

# RLlib 0.7's tuned examples: env beside config, grids inside, 1e-4 (text in YAML 1.1).
CARTPOLE = """
cartpole-ppo:
    env: CartPole-v0
    run: PPO
    stop:
        episode_reward_mean: 150
        timesteps_total: 1e5
    config:
        gamma: 0.95
        lr: 1e-4
        model:
            fcnet_hiddens: [64]
            fcnet_activation: linear
"""
GRIDS = """
pendulum-sweep:
    env:
        grid_search: [Pendulum-v1, CartPole-v1]
    run: PPO
    num_samples: 2
    config:
        lr: {grid_search: [0.1, 0.01]}
        model:
            fcnet_hiddens:
                grid_search:
                    - [16]
                    - [32, 32]
dqn:
    run: DQN
    checkpoint_freq: 5
    resources_per_trial: {cpu: 2, extra_cpu: 1}
    config:
        env: CartPole-v1
        seed: {eval: "random.randint(1, 9)"}
"""


def parse(*args: str) -> tuple[dict[str, Any], list[str]]:
    """What the command line `train.py ARGS` makes of its flags."""
    return build_experiments(train.make_context("train.py", list(args)).params)


@pytest.fixture
def yaml_file(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "experiments.yaml"
        path.write_text(text)
        return str(path)

    return write


def problem(*args: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(*args)
    return str(caught.value)


def test_flags_alone() -> None:
    experiments, notes = parse(
        "--run", "PPO", "--env", "CartPole-v1", "--stop", '{"training_iteration": 3}'
    )
    assert experiments == {
        "default": {
            "run": "PPO",
            "stop": {"training_iteration": 3},
            "config": {"env": "CartPole-v1"},
        }
    }
    assert notes == []


@pytest.mark.parametrize(
    ("flag", "before", "text", "value"),
    [
        ("num_samples", 2, "3", 3),
        ("resources_per_trial", {"gpu": 1}, '{"cpu": 2}', {"cpu": 2}),
        ("checkpoint_freq", 5, "0", 0),
        ("keep_checkpoints_num", 1, "2", 2),
        ("checkpoint_score_attr", "loss", "min-loss", "min-loss"),
        ("export_formats", ["model"], "checkpoint,model", ["checkpoint", "model"]),
        ("max_failures", 3, "0", 0),
        ("restore", "other", "some/path", "some/path"),
        ("local_dir", "other", "results", "results"),
        ("upload_dir", "other", "s3://bucket", "s3://bucket"),
        ("scheduler", "HyperBand", "PBT", "PBT"),
        ("search_alg", "Ax", "Optuna", "Optuna"),
    ],
)
def test_flag_reaches_the_spec_and_replaces_the_file(
    flag: str, before: Any, text: str, value: Any, yaml_file
) -> None:
    assert flag in SPEC_FLAGS
    experiments, _ = parse("--run", "PPO", flag_name(flag), text)
    assert experiments["default"][flag] == value
    path = yaml_file(json.dumps({"a": {"run": "PPO", flag: before}, "b": {"run": "DQN"}}))
    experiments, notes = parse("-f", path, flag_name(flag), text)
    assert experiments["a"][flag] == experiments["b"][flag] == value
    assert len(notes) == 1
    assert notes[0].startswith(f"a: {flag_name(flag)} overrides {flag} (")


def test_every_spec_flag_is_tried_above() -> None:
    marks = test_flag_reaches_the_spec_and_replaces_the_file.pytestmark
    tried = {row[0] for row in marks[0].args[1]}
    elsewhere = {"run", "checkpoint_at_end", "reuse_actors", "scheduler_config", "search_config"}
    assert tried | elsewhere == set(SPEC_FLAGS)


@pytest.mark.parametrize(
    ("key", "on", "off"),
    [
        ("checkpoint_at_end", "--checkpoint-at-end", "--no-checkpoint-at-end"),
        ("reuse_actors", "--reuse-actors", "--no-reuse-actors"),
    ],
)
def test_switches_go_on_and_off(key: str, on: str, off: str, yaml_file) -> None:
    assert key not in parse("--run", "PPO")[0]["default"]
    assert parse("--run", "PPO", on)[0]["default"][key] is True
    path = yaml_file(f"a: {{run: PPO, {key}: true}}")
    assert parse("-f", path)[0]["a"][key] is True
    experiments, notes = parse("-f", path, off)
    assert experiments["a"][key] is False
    assert notes == [f"a: {on} overrides {key} (true -> false)"]


@pytest.mark.parametrize(
    ("key", "flag", "arguments", "typed"),
    [
        ("scheduler", "--scheduler", "scheduler_config", "--scheduler-config"),
        ("search_alg", "--search-alg", "search_config", "--search-config"),
    ],
)
def test_arguments_merge_by_key_unless_another_class_is_named(
    key: str, flag: str, arguments: str, typed: str, yaml_file
) -> None:
    path = yaml_file(f"a: {{run: PPO, {key}: Ab, {arguments}: {{x: 1, y: {{uniform: [0, 1]}}}}}}")
    added = (typed, '{"x": 2, "y": {"choice": [3]}}')
    assert parse("--run", "PPO", *added)[0]["default"][arguments] == {"x": 2, "y": {"choice": [3]}}
    experiments, notes = parse("-f", path, typed, '{"y": {"choice": [3]}}', flag, "ab")
    assert experiments["a"][arguments] == {"x": 1, "y": {"choice": [3]}}
    assert (
        f'a: {typed} overrides {arguments}.y ({{"uniform": [0, 1]}} -> {{"choice": [3]}})' in notes
    )
    experiments, notes = parse("-f", path, flag, "Other")
    assert arguments not in experiments["a"]
    assert f"a: {flag} Other: {arguments} of Ab is left out" in notes
    assert parse("-f", path, flag, "Other", typed, '{"z": 1}')[0]["a"][arguments] == {"z": 1}


@pytest.mark.parametrize("name", ["uniform", "loguniform", "randint", "choice"])
def test_ranges_are_replaced_whole(name: str, yaml_file) -> None:
    path = yaml_file(f"a: {{run: PPO, config: {{lr: {{{name}: [1, 2]}}}}}}")
    for new in ("3", '{"uniform": [0, 1]}'):
        experiments, _ = parse("-f", path, "--config", f'{{"lr": {new}}}')
        assert experiments["a"]["config"]["lr"] == json.loads(new)


def test_run_replaces_that_of_the_file(yaml_file) -> None:
    experiments, notes = parse("-f", yaml_file(CARTPOLE), "--run", "PG")
    assert experiments["cartpole-ppo"]["run"] == "PG"
    assert notes == ["cartpole-ppo: --run overrides run (PPO -> PG)"]


def test_tuned_example_as_it_is(yaml_file) -> None:
    experiments, notes = parse("-f", yaml_file(CARTPOLE))
    assert experiments == {
        "cartpole-ppo": {
            "run": "PPO",
            "stop": {"episode_reward_mean": 150, "timesteps_total": 100000.0},
            "config": {
                "env": "CartPole-v0",
                "gamma": 0.95,
                "lr": 0.0001,
                "model": {"fcnet_hiddens": [64], "fcnet_activation": "linear"},
            },
        }
    }
    assert notes == []


def test_grids_and_several_experiments(yaml_file) -> None:
    experiments, _ = parse("-f", yaml_file(GRIDS))
    assert list(experiments) == ["pendulum-sweep", "dqn"]
    config = experiments["pendulum-sweep"]["config"]
    assert config["env"] == {"grid_search": ["Pendulum-v1", "CartPole-v1"]}
    assert config["model"]["fcnet_hiddens"] == {"grid_search": [[16], [32, 32]]}


def test_config_merges_deeply_and_stop_per_key(yaml_file) -> None:
    config = '{"lr": 0.01, "model": {"fcnet_hiddens": [8]}, "num_workers": 1}'
    stop = '{"timesteps_total": 10, "training_iteration": 1}'
    experiments, notes = parse("-f", yaml_file(CARTPOLE), "--config", config, "--stop", stop)
    spec = experiments["cartpole-ppo"]
    assert spec["stop"] == {
        "episode_reward_mean": 150,
        "timesteps_total": 10,
        "training_iteration": 1,
    }
    assert spec["config"]["model"] == {"fcnet_hiddens": [8], "fcnet_activation": "linear"}
    assert (spec["config"]["gamma"], spec["config"]["num_workers"]) == (0.95, 1)
    assert notes == [
        "cartpole-ppo: --config overrides config.lr (0.0001 -> 0.01)",
        "cartpole-ppo: --config overrides config.model.fcnet_hiddens ([64] -> [8])",
        "cartpole-ppo: --stop overrides stop.timesteps_total (100000.0 -> 10)",
    ]


def test_flags_reach_every_experiment_and_replace_searches_whole(yaml_file) -> None:
    experiments, notes = parse(
        "-f", yaml_file(GRIDS), "--env", "Acrobot-v1", "--seed", "7", "--config", '{"lr": 1}'
    )
    assert [spec["config"]["env"] for spec in experiments.values()] == ["Acrobot-v1"] * 2
    assert [spec["config"]["seed"] for spec in experiments.values()] == [7, 7]
    assert experiments["pendulum-sweep"]["config"]["lr"] == 1
    assert 'dqn: --seed overrides config.seed ({"eval": "random.randint(1, 9)"} -> 7)' in notes


def test_resources_are_replaced_whole(yaml_file) -> None:
    experiments, _ = parse("-f", yaml_file(GRIDS), "--resources-per-trial", '{"cpu": 1}')
    assert experiments["dqn"]["resources_per_trial"] == {"cpu": 1}


def test_env_flag_wins_over_config_flag() -> None:
    experiments, notes = parse("--run", "PPO", "--config", '{"env": "A"}', "--env", "B")
    assert experiments["default"]["config"]["env"] == "B"
    assert notes == ["default: --env overrides config.env (A -> B)"]


@pytest.mark.parametrize(
    ("args", "framework"),
    [
        (["--framework", "jax"], "jax"),
        (["--torch"], "torch"),
        (["--torch", "--framework", "torch"], "torch"),
        (["--eager"], "tf"),
        (["--eager", "--trace"], "tf"),
    ],
)
def test_framework(args: list[str], framework: str) -> None:
    experiments, notes = parse("--run", "PPO", *args)
    assert experiments["default"]["config"] == {"framework": framework}
    assert len(notes) == ("--eager" in args)


def test_contradicting_frameworks() -> None:
    assert problem("--run", "PPO", "--trace") == "--trace needs --eager"
    assert "--torch" in problem("--run", "PPO", "--torch", "--framework", "jax")
    assert "--eager" in problem("--run", "PPO", "--torch", "--eager")


@pytest.mark.parametrize(
    ("args", "level"), [(["-v"], "INFO"), (["-vv"], "DEBUG"), (["-v", "-v", "-v"], "DEBUG")]
)
def test_verbosity_sets_the_log_level(args: list[str], level: str) -> None:
    assert parse("--run", "PPO", *args)[0]["default"]["config"] == {"log_level": level}


def test_a_flag_that_changes_nothing_says_so() -> None:
    assert parse("--run", "PPO", "--no-ray-ui")[1] == [
        "--no-ray-ui: Ray's dashboard is never started"
    ]


def test_every_flag_is_tried() -> None:
    """A new flag needs a test that shows its effect."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tried = {flag_name(flag) for flag in SPEC_FLAGS}
    for option in train.params:
        assert tried & set(option.opts) or any(f'"{name}' in tests for name in option.opts)


def test_experiment_name(yaml_file) -> None:
    assert list(parse("--run", "PPO", "--experiment-name", "mine")[0]) == ["mine"]
    assert list(parse("-f", yaml_file(CARTPOLE), "--experiment-name", "mine")[0]) == ["mine"]
    assert "holds 2: pendulum-sweep, dqn" in problem(
        "-f", yaml_file(GRIDS), "--experiment-name", "mine"
    )


def test_run_is_required(yaml_file) -> None:
    assert "--run" in problem("--env", "CartPole-v1")
    assert problem("-f", yaml_file("a: {env: CartPole-v1}")).startswith(
        "a: no algorithm given; use --run"
    )
    assert parse("-f", yaml_file("a: {env: CartPole-v1}"), "--run", "PG")[0]["a"]["run"] == "PG"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: {run: PPO, chekpoint_freq: 1}",
            "a: unknown key 'chekpoint_freq'; nearest: 'checkpoint_freq'",
        ),
        (
            "a: {run: PPO, zzz: 1}",
            "a: unknown key 'zzz'; settings belong under `config`",
        ),
        ("run: PPO\nenv: CartPole-v1", "run is 'PPO'; each experiment name must map to a spec"),
        (
            "a: {run: PPO, env: A, config: {env: B}}",
            "a: 'env' is 'A' but 'config.env' is 'B'; give one",
        ),
        ("a: {run: PPO, num_samples: two}", "a: 'num_samples' is 'two'; it must be a whole number"),
        ("a: {run: PPO, checkpoint_at_end: 1}", "is 1; it must be true or false"),
        ("a: {run: PPO, loggers: [x]}", "it must be []"),
        ("a: {run: PPO, shceduler: PBT}", "unknown key 'shceduler'; nearest: 'scheduler'"),
        ("a: {run: PPO, scheduler: 3}", "'scheduler' is 3; it must be text"),
        ("a: {run: PPO, search_alg: []}", "'search_alg' is []; it must be text"),
        ("a: {run: PPO, search_config: x}", "'search_config' is 'x'; it must be a mapping"),
        ("a: {run: PPO, scheduler_config: [1]}", "'scheduler_config' is [1]; it must be a mapping"),
        ("a: {run: PPO, reuse_actors: 1}", "'reuse_actors' is 1; it must be true or false"),
        ("a: {run: PPO, config: [1]}", "a: 'config' is [1]; it must be a mapping"),
        ("a: {run: PPO}\na: {run: DQN}", "the key 'a' is given twice"),
        ("a: {run: PPO", "is not YAML"),
        ("", "must map experiment names to specs"),
        ("- a", "must map experiment names to specs"),
    ],
)
def test_mistakes_in_the_file(text: str, message: str, yaml_file) -> None:
    assert message in problem("-f", yaml_file(text))


def test_every_mistake_of_the_file_is_told_at_once(yaml_file) -> None:
    message = problem("-f", yaml_file("a: {run: PPO, stopp: 1}\nb: {run: PPO, confg: {}}"))
    assert "nearest: 'stop'" in message
    assert "nearest: 'config'" in message


def test_file_that_does_not_exist(tmp_path: Path) -> None:
    assert "--config-file" in problem("-f", str(tmp_path / "none.yaml"))


def test_empty_sections_and_merge_keys(yaml_file) -> None:
    text = "base: &base\n  run: PPO\n  stop:\n  config:\nother:\n  <<: *base\n  run: DQN\n"
    experiments, _ = parse("-f", yaml_file(text))
    assert experiments["base"] == {"run": "PPO", "stop": {}, "config": {}}
    assert experiments["other"]["run"] == "DQN"
