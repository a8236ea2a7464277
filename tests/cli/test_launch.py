"""Runs that really happen: what the flags change, what is printed, and the exit code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rltune.cli import launch
from rltune.cli.experiments import build_experiments
from rltune.cli.launch import resume_command
from rltune.cli.plan import make_plan
from rltune.cli.train import main, train

ROOT = Path(__file__).resolve().parents[2]
COUNTER = ("--run", "tests.cli.trainables:Counter")


class Runs:
    """Runs `train.py` in this process, below a directory of its own."""

    def __init__(self, local_dir: Path, capture: pytest.CaptureFixture[str]):
        self.local_dir, self._capture = local_dir, capture
        self.out = self.err = ""

    def __call__(self, *args: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main([*args, "--local-dir", str(self.local_dir)])
        self.out, self.err = self._capture.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code

    def trial_dirs(self, experiment: str = "default") -> list[Path]:
        return sorted(path for path in (self.local_dir / experiment).iterdir() if path.is_dir())

    def results(self, experiment: str = "default") -> list[dict[str, Any]]:
        (trial,) = self.trial_dirs(experiment)
        return self.results_of(trial)

    def results_of(self, trial: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (trial / "result.json").read_text().splitlines()]


@pytest.fixture
def runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runs:
    return Runs(tmp_path / "results", capsys)


def test_first_criterion_that_is_reached_stops(runs: Runs) -> None:
    assert runs(*COUNTER, "--stop", '{"count": 3, "training_iteration": 100}') == 0
    assert [result["count"] for result in runs.results()] == [1, 2, 3]
    assert f"default: Counter, results in {runs.local_dir}/default" in runs.out
    assert "executor: local (one trial without rollout actors)" in runs.out


def test_experiment_name_and_config(runs: Runs) -> None:
    args = ("--experiment-name", "mine", "--config", '{"step": 5}', "--stop", '{"count": 10}')
    assert runs(*COUNTER, *args) == 0
    assert [result["count"] for result in runs.results("mine")] == [5, 10]


def test_a_function_runs_too(runs: Runs) -> None:
    assert runs("--run", "tests.cli.trainables:function") == 0
    assert [result["count"] for result in runs.results()] == [1, 2, 3]
    assert "no --stop given" in runs.out


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["--checkpoint-freq", "2"], {2, 4}),
        (["--checkpoint-at-end"], {5}),
        (["--checkpoint-freq", "1", "--keep-checkpoints-num", "2"], {4, 5}),
        (
            ["--checkpoint-freq", "1", "--keep-checkpoints-num", "2"]
            + ["--checkpoint-score-attr", "min-count"],
            {1},
        ),
        ([], set()),
    ],
)
def test_checkpoints(args: list[str], kept: set[int], runs: Runs) -> None:
    assert runs(*COUNTER, "--stop", '{"count": 5}', *args) == 0
    (trial,) = runs.trial_dirs()
    assert {json.loads(p.read_text()) for p in trial.glob("checkpoint_*/count.json")} == kept


def test_restore(runs: Runs) -> None:
    runs(*COUNTER, "--stop", '{"count": 3}', "--checkpoint-at-end")
    (checkpoint,) = runs.trial_dirs()[0].glob("checkpoint_3/count.json")
    args = ("--restore", str(checkpoint), "--experiment-name", "more", "--stop", '{"count": 5}')
    assert runs(*COUNTER, *args) == 0
    assert [result["count"] for result in runs.results("more")] == [4, 5]


def test_export_formats(runs: Runs) -> None:
    assert runs(*COUNTER, "--stop", '{"count": 2}', "--export-formats", "model,checkpoint") == 0
    assert {path.name for path in runs.trial_dirs()[0].glob("exported_*")} == {
        "exported_model",
        "exported_checkpoint",
    }


def test_upload_dir_that_cannot_be_used(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert runs(*COUNTER, "--stop", '{"count": 1}', "--upload-dir", "s3://bucket") == 2
    assert "aws" in runs.err
    assert not runs.local_dir.exists()


@pytest.mark.parametrize(("retries", "failures"), [("0", 1), ("2", 3)])
def test_a_failed_trial_is_exit_code_1_with_its_own_traceback(
    retries: str, failures: int, runs: Runs
) -> None:
    args = ("--config", '{"fail_at": 2}', "--stop", '{"count": 5}', "--max-failures", retries)
    assert runs(*COUNTER, *args) == 1
    errors = list(runs.trial_dirs()[0].glob("error_*.txt"))
    assert len(errors) == failures
    assert "RuntimeError: the counter reached 2" in runs.err
    assert "trainables.py" in runs.err
    assert any(str(path) in runs.err for path in errors)


def test_experiments_of_a_file_run_one_after_another(runs: Runs, tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    spec = "{run: 'tests.cli.trainables:Counter', stop: {count: 2}, config: {step: 1}}"
    file.write_text(f"a: {spec}\nb: {spec}\n")
    code = runs("-f", str(file), "--config", '{"step": 2}', "--executor", "local")
    assert code == 0
    assert "a: --config overrides config.step (1 -> 2)" in runs.out
    assert [r["count"] for name in "ab" for r in runs.results(name)] == [2, 2]


def test_grid_in_one_process(runs: Runs) -> None:
    grid = '{"step": {"grid_search": [1, 2]}}'
    args = ("--config", grid, "--stop", '{"count": 2}', "--num-samples", "2")
    assert runs(*COUNTER, *args, "--executor", "local") == 0
    assert len(runs.trial_dirs()) == 4


def test_scheduler_is_used(runs: Runs) -> None:
    assert runs(*COUNTER, "--stop", '{"count": 1}', "--scheduler", "fifo") == 0
    assert "FIFO" in runs.out


def test_t10_4_a_scheduler_from_a_file_stops_trials(runs: Runs, tmp_path: Path) -> None:
    file = tmp_path / "asha.yaml"
    file.write_text(
        """
        default:
          run: tests.cli.trainables:Counter
          stop: {training_iteration: 4}
          config: {step: {grid_search: [2, 1]}}
          scheduler: AsyncHyperBand
          scheduler_config: {metric: count, grace_period: 1, reduction_factor: 2, max_t: 100}
        """
    )
    assert runs("-f", str(file), "--executor", "local") == 0
    assert "Counter, scheduler AsyncHyperBandScheduler, results in" in runs.out
    assert [len(runs.results_of(path)) for path in runs.trial_dirs()] == [4, 1]
    config = ("--scheduler-config", '{"mode": "min"}')  # beside the metric of the file
    assert runs("-f", str(file), "--executor", "local", *config, "--experiment-name", "min") == 0
    assert [len(runs.results_of(path)) for path in runs.trial_dirs("min")] == [4, 4]


def test_t11_3_a_search_without_python(runs: Runs) -> None:
    pytest.importorskip("optuna")
    arguments = {"metric": "count", "seed": 1, "points_to_evaluate": [{"step": 4}]}
    config = {"step": {"randint": [1, 9]}, "other": {"choice": ["a"]}, "fixed": 3}
    code = runs(
        *(*COUNTER, "--stop", '{"training_iteration": 1}', "--config", json.dumps(config)),
        *("--num-samples", "5", "--search-alg", "Optuna", "--executor", "local"),
        *("--search-config", json.dumps(arguments)),
    )
    assert code == 0
    assert "Counter, search OptunaSearch, results in" in runs.out
    made = [json.loads((path / "params.json").read_text()) for path in runs.trial_dirs()]
    assert made[0] == {"step": 4, "other": "a", "fixed": 3}
    assert len(made) == 5
    assert {config["step"] for config in made} <= set(range(1, 9))
    assert len({config["step"] for config in made}) > 1


@pytest.mark.parametrize("flag", [[], ["--reuse-actors"]])
def test_t10_9_pbt_without_python_and_reused_actors(flag: list[str], runs: Runs) -> None:
    arguments = {
        "time_attr": "training_iteration",
        "metric": "count",
        "perturbation_interval": 2,
        "hyperparam_mutations": {"step": {"randint": [1, 6]}},
    }
    code = runs(
        *("--run", "tests.cli.trainables:Reused", "--stop", '{"training_iteration": 12}'),
        *("--config", '{"step": {"grid_search": [5, 4, 3, 1]}}'),  # the last one is the worst
        *("--scheduler", "PBT", "--scheduler-config", json.dumps(arguments)),
        *("--executor", "local", *flag),
    )
    assert code == 0
    exploits = (runs.local_dir / "default" / "pbt_global.txt").read_text().splitlines()
    assert len(json.loads(exploits[0])) == 6
    results = [result for path in runs.trial_dirs() for result in runs.results_of(path)]
    assert {result["step"] for result in results} <= set(range(1, 6))
    assert (max(result["resets"] for result in results) > 0) is bool(flag)


@pytest.mark.parametrize(("args", "shown"), [([], False), (["-v"], True)])
def test_verbosity_shows_results(args: list[str], shown: bool, runs: Runs) -> None:
    runs(*COUNTER, "--stop", '{"count": 2}', *args)
    assert ("Result for Counter" in runs.out) is shown


def test_interrupt_and_resume(runs: Runs) -> None:
    config = '{"interrupt_at": 3}'
    args = [*COUNTER, "--config", config, "--stop", '{"count": 5}', "--checkpoint-freq", "1"]
    assert runs(*args) == 130
    assert resume_command(sys.argv) in runs.out
    assert runs.results()[-1]["count"] == 3
    assert runs(*args, "--resume") == 0
    assert [result["count"] for result in runs.results()] == [1, 2, 3, 4, 5]
    assert runs.results()[-1]["iterations_since_restore"] == 2


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["train.py", "--run", "PPO"], "python train.py --run PPO --resume"),
        (["/usr/bin/rltune", "train", "-f", "a b.yaml"], "rltune train -f 'a b.yaml' --resume"),
        (["/x/rltune/__main__.py", "train"], "python -m rltune train --resume"),
        (["train.py", "--resume=REMOTE"], "python train.py --resume=REMOTE"),
    ],
)
def test_resume_command(argv: list[str], command: str) -> None:
    assert resume_command(argv) == command


def test_flags_reach_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[bool, bool, dict[str, int]]] = []

    def executor(queue_trials: bool, reuse_actors: bool, **cluster: int) -> Any:
        made.append((queue_trials, reuse_actors, cluster))

    monkeypatch.setattr(launch, "RayTrialExecutor", executor)
    monkeypatch.setenv("RAY_ADDRESS", "other")  # so that it is put back afterwards
    monkeypatch.delenv("RAY_ADDRESS")
    make_executor(*COUNTER, "--ray-num-cpus", "3", "--ray-num-gpus", "0")
    make_executor(*COUNTER, "--queue-trials")
    make_executor(*COUNTER, "--executor", "ray", "--reuse-actors")
    assert made == [
        (False, False, {"num_cpus": 3, "num_gpus": 0}),
        (True, False, {}),
        (False, True, {}),
    ]
    assert "RAY_ADDRESS" not in os.environ
    make_executor(*COUNTER, "--ray-address", "1.2.3.4:6379")
    assert os.environ["RAY_ADDRESS"] == "1.2.3.4:6379"


def make_executor(*args: str) -> None:
    flags = train.make_context("train.py", list(args)).params
    experiments, _ = build_experiments(flags)
    plan = make_plan(experiments, flags)
    launch.make_executor(plan, plan.tuning["default"].reuse_actors)


@pytest.mark.ray
def test_trials_run_on_ray_when_asked_to(runs: Runs, ray_cluster: None) -> None:
    assert runs(*COUNTER, "--stop", '{"count": 2}', "--executor", "ray") == 0
    assert "executor: ray (--executor)" in runs.out
    assert {result["pid"] for result in runs.results()} != {os.getpid()}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_one_trial_with_rollout_actors_needs_no_process_beside_this_one(runs: Runs) -> None:
    config = '{"num_workers": 1, "train_batch_size": 64, "num_sgd_iter": 1}'
    stop = '{"training_iteration": 1}'
    assert runs("--run", "PPO", "--env", "CartPole-v1", "--config", config, "--stop", stop) == 0
    assert "executor: local (one trial, whose rollout actors fit into this machine)" in runs.out
    (result,) = runs.results()
    assert (result["num_healthy_workers"], result["pid"]) == (1, os.getpid())
