"""The schedule that PBT found, run again by one trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.config import ConfigError
from rltune.tune.error import TuneError
from rltune.tune.schedulers import PopulationBasedTrainingReplay
from tests.tune.schedulers.population import new_pbt
from tests.tune.scripted import Scripted, make_scripted, run_scripted


class Sum(Scripted):
    """The sum of all lr so far, and the config of each iteration."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.sum = 0.0

    def _train(self) -> dict[str, Any]:
        self.sum += self.config["lr"]
        return {"score": self.sum, **self.config}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"sum": self.sum}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.sum = checkpoint["sum"]


def line(loser: int, donor: int, step: int, donor_step: int, old: Any, new: Any) -> list[Any]:
    return [f"{loser}_x", f"{donor}_x", step, donor_step, old, new]


def policy(tmp_path: Path, *lines: list[Any]) -> str:
    path = tmp_path / "pbt_policy_2.txt"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    return str(path)


def lrs(scheduler: PopulationBasedTrainingReplay, steps: int = 8, **more: Any) -> list[float]:
    """The lr of each iteration of a replay."""
    seen: list[float] = []

    class Watched(Sum):
        def _train(self) -> dict[str, Any]:
            seen.append(self.config["lr"])
            return super()._train()

    arguments = {"config": {"lr": 9.0, "seed": 7}, "stop": {"training_iteration": steps}}
    runner = run_scripted(scheduler, Watched, **{**arguments, **more})
    (trial,) = runner.get_trials()
    assert trial.last_result["training_iteration"] == steps
    assert trial.last_result["score"] == pytest.approx(sum(seen))  # nothing is lost or done twice
    assert trial.config.get("seed") == 7
    return seen


def test_configs_change_at_the_donors_iterations(tmp_path: Path) -> None:
    first, second = {"lr": 0.2, "seed": 1}, {"lr": 0.3, "seed": 2}
    path = policy(
        tmp_path,
        line(1, 0, 5, 3, {"lr": 0.1, "seed": 0}, first),
        line(2, 1, 4, 6, first, second),
    )
    scheduler = PopulationBasedTrainingReplay(path)
    assert scheduler.config == {"lr": 0.1, "seed": 0}
    assert lrs(scheduler) == [0.1] * 3 + [0.2] * 3 + [0.3] * 2
    assert scheduler.debug_string().startswith("PopulationBasedTrainingReplay: 2 of 2 changes")


def test_what_is_no_part_of_the_lineage_is_left_out(tmp_path: Path) -> None:
    """Ray 0.7 keeps lines of a former life where the donor has no file."""
    path = policy(
        tmp_path,
        line(2, 5, 2, 2, {"lr": 5.0}, {"lr": 6.0}),
        line(2, 0, 4, 3, {"lr": 0.1}, {"lr": 0.2}),
    )
    assert lrs(PopulationBasedTrainingReplay(path), steps=5) == [0.1] * 3 + [0.2] * 2


def test_the_winner_of_a_run_is_replayed(tmp_path: Path) -> None:
    """A trainable without randomness reaches the very score of the member."""
    pbt = new_pbt(
        metric="score",
        perturbation_interval=3,
        hyperparam_mutations={"lr": tune.loguniform(1e-3, 1.0)},
        log_config=True,
    )
    grid = tune.sample_from(lambda spec: 0.5 ** (spec.config.index + 1))
    stop = {"training_iteration": 20}
    population = run_scripted(
        pbt, Sum, n=6, stop=stop, config={"lr": grid}, directory=tmp_path, slots=1
    )
    files = sorted((tmp_path / "scripted").glob("pbt_policy_*.txt"))
    assert len(files) >= 3
    for path in files:
        number = int(path.stem.removeprefix("pbt_policy_"))
        replay = run_scripted(PopulationBasedTrainingReplay(str(path)), Sum, n=1, stop=stop)
        winner, again = population.get_trials()[number], replay.get_trials()[0]
        assert again.last_result["score"] == pytest.approx(winner.last_result["score"])
        assert again.config["lr"] == winner.config["lr"]


def test_what_the_log_has_as_text_is_the_trials_own(tmp_path: Path) -> None:
    logged = {"lr": 0.1, "env": "<class 'dict'>", "model": {"fn": "<function f>", "size": 2}}
    path = policy(tmp_path, line(1, 0, 3, 3, logged, {**logged, "lr": 0.2}))
    config = {"lr": 9.0, "env": dict, "model": {"fn": tune.function(len), "size": 1}}
    runner = run_scripted(
        PopulationBasedTrainingReplay(path), Sum, config=config, stop={"training_iteration": 5}
    )
    reached = runner.get_trials()[0].config
    assert reached["env"] is dict
    assert reached["model"] == {"fn": config["model"]["fn"], "size": 2}  # type: ignore[index]
    assert reached["lr"] == 0.2


@pytest.mark.parametrize("steps", [1, 3, 4, 6, 7])
def test_a_resumed_replay_goes_on_where_it_was(tmp_path: Path, steps: int) -> None:
    path = policy(
        tmp_path,
        line(1, 0, 5, 3, {"lr": 0.1}, {"lr": 0.2}),
        line(2, 1, 4, 6, {"lr": 0.2}, {"lr": 0.3}),
    )
    arguments: dict[str, Any] = {"stop": {"training_iteration": 8}, "directory": tmp_path}
    runner = make_scripted(PopulationBasedTrainingReplay(path), Sum, **arguments)
    for _ in range(steps):
        runner.step()
    assert runner.state is not None
    runner.state.close()
    resumed = run_scripted(PopulationBasedTrainingReplay(path), Sum, resume=True, **arguments)
    (trial,) = resumed.get_trials()
    assert trial.last_result["score"] == pytest.approx(3 * 0.1 + 3 * 0.2 + 2 * 0.3)


def test_more_than_one_trial_is_refused(tmp_path: Path) -> None:
    path = policy(tmp_path, line(1, 0, 3, 3, {"lr": 0.1}, {"lr": 0.2}))
    with pytest.raises(TuneError, match="replayed by one trial"):
        run_scripted(PopulationBasedTrainingReplay(path), Sum, n=2, config={"lr": 1.0})


def test_a_config_that_the_trainable_refuses_is_an_error_at_once(tmp_path: Path) -> None:
    class Strict(Sum):
        @classmethod
        def validate_config(cls, config: dict[str, Any]) -> None:
            if "lrr" in config:
                raise ConfigError(["lrr: unknown"])

    path = policy(tmp_path, line(1, 0, 3, 3, {"lrr": 0.1}, {"lrr": 0.2}))
    with pytest.raises(ConfigError, match="lrr"):
        run_scripted(PopulationBasedTrainingReplay(path), Strict, config={"lr": 1.0})


@pytest.mark.parametrize(
    "text", [None, "", "[1, 2]\n", "no json\n", '["a", "b", 1, "x", {}, {}]\n']
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "file.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TuneError, match="cannot be replayed"):
        PopulationBasedTrainingReplay(str(path))
