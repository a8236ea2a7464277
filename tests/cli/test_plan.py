"""Where experiments run, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rltune.checkpoint import write_checkpoint
from rltune.cli.checks import MISTAKES
from rltune.cli.experiments import build_experiments
from rltune.cli.plan import RAY_FLAGS, Plan, make_plan
from rltune.cli.train import train
from rltune.tune.experiment_state import ExperimentState

COUNTER = ("--run", "tests.cli.trainables:Counter")


def plan(*args: str) -> Plan:
    flags = train.make_context("train.py", list(args)).params
    experiments, _ = build_experiments(flags)
    return make_plan(experiments, flags)


def refusal(*args: str) -> str:
    with pytest.raises(MISTAKES) as caught:
        plan(*args)
    return str(caught.value)


@pytest.mark.parametrize(
    ("args", "executor", "reason"),
    [
        ([], "local", "one trial without rollout actors"),
        (["--executor", "ray"], "ray", "--executor"),
        (["--num-samples", "2"], "ray", "several samples"),
        (["--num-samples", "2", "--executor", "local"], "local", "--executor"),
        (["--num-samples", "2", "--local-mode"], "local", "--local-mode"),
        (["--config", '{"step": {"grid_search": [1, 2]}}'], "ray", "several trials"),
        (
            ["--config", '{"step": {"grid_search": [1]}}'],
            "local",
            "one trial without rollout actors",
        ),
        (["--config", '{"actors": 1}'], "ray", "rollout actors"),
        (["--resources-per-trial", '{"cpu": 1, "extra_cpu": 1}'], "ray", "rollout actors"),
        (["--resources-per-trial", '{"cpu": 2}'], "local", "one trial without rollout actors"),
        (["--ray-num-cpus", "0"], "ray", "--ray-num-cpus"),
        (["--queue-trials"], "ray", "--queue-trials"),
        (["--no-ray-ui"], "local", "one trial without rollout actors"),
        (["--redis-address", "1.2.3.4:6379"], "ray", "--ray-address"),
    ],
)
def test_executor(args: list[str], executor: str, reason: str) -> None:
    made = plan(*COUNTER, *args)
    assert (made.executor, made.reason.split(";")[0]) == (executor, reason)


def test_a_local_ray_has_room_for_the_process_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """On two cores a trial with two rollout actors runs, one with three says that it does not fit."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ppo = ("--run", "PPO", "--env", "CartPole-v1", "--executor", "ray", "--config")
    two = (*ppo, '{"num_workers": 2}')
    assert plan(*two).cluster == {"num_cpus": 3}
    assert "Ray counts 3 cores for the 2" in plan(*two).reason
    assert plan(*two[:-1], '{"num_workers": 3}').cluster == {}
    assert plan(*two, "--ray-num-cpus", "5").cluster == {"num_cpus": 5}
    assert plan(*two, "--ray-address", "auto").cluster == {}


def test_an_algorithm_starts_its_rollout_actors_by_itself_where_they_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ppo = ("--run", "PPO", "--env", "CartPole-v1")
    assert plan(*ppo).reason == "one trial without rollout actors"
    fits = plan(*ppo, "--config", '{"num_workers": 2}')
    assert (fits.executor, fits.reason) == (
        "local",
        "one trial, whose rollout actors fit into this machine",
    )
    for config in (
        '{"num_workers": 3}',
        '{"num_workers": 1, "num_gpus_per_worker": 1}',
        '{"num_workers": 1, "custom_resources_per_worker": {"licence": 1}}',
    ):
        assert plan(*ppo, "--config", config).executor == "ray"
    monkeypatch.setenv("RAY_ADDRESS", "1.2.3.4:6379")  # that cluster is to run it
    assert plan(*ppo, "--config", '{"num_workers": 2}').executor == "ray"


def test_several_experiments_run_on_ray(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("a: {run: PG, env: CartPole-v1}\nb: {run: PPO, env: CartPole-v1}")
    made = plan("-f", str(file))
    assert made.executor == "ray"
    assert [experiment.name for experiment in made.experiments] == ["a", "b"]


@pytest.mark.parametrize(
    ("args", "cluster"),
    [
        (["--ray-num-cpus", "4"], {"num_cpus": 4}),
        (["--ray-num-gpus", "0"], {"num_gpus": 0}),
        (["--ray-memory", "1000000000"], {"memory": 10**9}),
        (["--ray-object-store-memory", "80000000"], {"object_store_memory": 80_000_000}),
        (["--ray-num-nodes", "3"], {"num_nodes": 3}),
        (["--ray-address", "auto"], {}),
        (["--queue-trials"], {}),
    ],
)
def test_cluster(args: list[str], cluster: dict[str, object]) -> None:
    made = plan(*COUNTER, *args)
    assert made.cluster == cluster
    assert made.ray_address == ("auto" if "--ray-address" in args else None)
    assert made.queue_trials == ("--queue-trials" in args)


@pytest.mark.parametrize("flag", RAY_FLAGS)
@pytest.mark.parametrize("local", [["--executor", "local"], ["--local-mode"]])
def test_ray_flags_contradict_the_local_executor(flag: str, local: list[str]) -> None:
    typed = "--" + flag.replace("_", "-")
    value = [] if flag == "queue_trials" else ["1"]
    assert typed in refusal(*COUNTER, typed, *value, *local)


def test_contradicting_flags_about_ray() -> None:
    assert "--ray-num-cpus" in refusal(*COUNTER, "--ray-address", "auto", "--ray-num-cpus", "1")
    assert "--local-mode" in refusal(*COUNTER, "--local-mode", "--executor", "ray")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--ray-redis-max-memory", "leave it out"),
    ],
)
def test_flags_that_ray_has_no_counterpart_for_say_what_to_do(flag: str, words: str) -> None:
    message = refusal(*COUNTER, flag, "1000")
    assert message.startswith(flag)
    assert words in message


@pytest.mark.parametrize(("args", "verbose"), [([], 1), (["-v"], 2), (["-vv"], 3)])
def test_verbosity(args: list[str], verbose: int) -> None:
    assert plan(*COUNTER, *args).verbose == verbose


def test_resume(tmp_path: Path) -> None:
    args = (*COUNTER, "--local-dir", str(tmp_path), "--experiment-name", "mine")
    assert plan(*args).resume == {"mine": False}
    assert plan(*args, "--resume", "prompt").resume == {"mine": "PROMPT"}
    assert plan(*args, "--resume=REMOTE", "--upload-dir", "/far").resume == {"mine": "REMOTE"}
    assert "--upload-dir" in refusal(*args, "--resume", "REMOTE")
    assert str(tmp_path / "mine") in refusal(*args, "--resume")
    ExperimentState(str(tmp_path / "mine"), period=0).write([], {})
    assert plan(*args, "--resume").resume == {"mine": True}


def test_experiments_that_have_not_begun_begin_on_resume(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("a: {run: PG, env: CartPole-v1}\nb: {run: PPO, env: CartPole-v1}")
    ExperimentState(str(tmp_path / "a"), period=0).write([], {})
    made = plan("-f", str(file), "--local-dir", str(tmp_path), "--resume")
    assert made.resume == {"a": True, "b": False}


def test_module_and_name_register_a_trainable() -> None:
    (experiment,) = plan(*COUNTER).experiments
    assert experiment.spec["run"] == "Counter"
    (experiment,) = plan("--run", "tests.cli.trainables:function").experiments
    assert experiment.spec["run"] == "function"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--run", "PPOO", "--env", "CartPole-v1"], ["PPOO", "PPO"]),
        (["--run", "no_such_module:X"], ["--run", "no_such_module"]),
        (["--run", "tests.cli.trainables:Conter"], ["Conter", "Counter"]),
        (["--run", "PPO"], ["--env"]),
        (["--run", "PPO", "--env", "CartPol-v1"], ["CartPol-v1", "CartPole-v1"]),
        (["--run", "PPO", "--env", "CartPole-v1", "--config", '{"lrr": 1}'], ["lrr", "'lr'"]),
        (["--run", "DQN", "--env", "Pendulum-v1"], ["DQN", "Discrete"]),
        ([*COUNTER, "--config", '{"step": "x"}'], ["'step' is 'x'"]),
        ([*COUNTER, "--config", '{"step": {"grid_search": 3}}'], ["grid_search", "3"]),
        ([*COUNTER, "--config", '{"a": {"eval": "spec.config.b"}}'], ["config.a"]),
        ([*COUNTER, "--stop", '{"count": "many"}'], ["count", "many"]),
        ([*COUNTER, "--resources-per-trial", '{"cpus": 1}'], ["resources_per_trial", "cpus"]),
        ([*COUNTER, "--export-formats", "pickle"], ["pickle"]),
        ([*COUNTER, "--restore", "nowhere"], ["--restore", "nowhere"]),
        ([*COUNTER, "--scheduler", "FIFOO"], ["scheduler FIFOO", "nearest: 'FIFO'"]),
        ([*COUNTER, "--scheduler", "FIFO", "--scheduler-config", '{"a": 1}'], ["FIFO", "'a'"]),
        ([*COUNTER, "--scheduler", "xyz"], ["there are FIFO, MedianStopping, Async"]),
        ([*COUNTER, "--scheduler-config", "{}"], ["--scheduler NAME"]),
        ([*COUNTER, "--search-alg", "Optun"], ["search_alg Optun", "nearest: 'Optuna'"]),
        ([*COUNTER, "--search-alg", "xyz"], ["there are BasicVariant, Optuna"]),
        ([*COUNTER, "--search-config", "{}"], ["--search-alg NAME"]),
        (
            [*COUNTER, "--search-alg", "BasicVariant", "--search-config", '{"shufle": true}'],
            ["BasicVariantGenerator has no argument 'shufle'", "nearest: 'shuffle'"],
        ),
        ([*COUNTER, "--search-alg", "Optuna"], ["search_alg Optuna", "no range", '"loguniform"']),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    args: list[str], words: list[str], tmp_path: Path
) -> None:
    message = refusal(*args, "--local-dir", str(tmp_path / "results"))
    assert all(word in message for word in words), message
    assert not (tmp_path / "results").exists()


def test_every_problem_of_every_trial_is_told_once() -> None:
    config = '{"step": {"grid_search": ["x", "y", 1]}, "other": {"grid_search": [1, 2]}}'
    message = refusal(*COUNTER, "--config", config)
    assert (message.count("'x'"), message.count("'y'")) == (1, 1)


def test_experiment_of_a_mistake_is_named(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text("good: {run: PG, env: CartPole-v1}\nbad: {run: PPO, env: CartPol-v1}")
    assert refusal("-f", str(file)).startswith("bad: ")
    file.write_text("bad: {run: PPO, env: CartPole-v1, scheduler: FIFOO}")
    assert refusal("-f", str(file)).startswith("bad: scheduler FIFOO")


def test_restore_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint_3.tune_metadata").touch()
    monkeypatch.chdir(tmp_path)
    (experiment,) = plan(*COUNTER, "--restore", "checkpoint_3").experiments
    assert experiment.spec["restore"] == str(tmp_path / "checkpoint_3")


def test_restore_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"algorithm": "PPO"}, {})
    args = ("--env", "CartPole-v1", "--restore", str(tmp_path))
    assert plan("--run", "PPO", *args).experiments[0].spec["restore"] == str(tmp_path)
    assert "saved by PPO, which DQN cannot read" in refusal("--run", "DQN", *args)
