"""A trial: names and directories (T6), its states, and its record."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.resources import Resources
from rltune.tune import json_encoding
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter

run = partial(tune.run, trial_executor="local", verbose=0)


def train_func(config: dict[str, Any], reporter: Any) -> None:
    reporter(x=1)


@pytest.fixture(autouse=True)
def registered() -> None:
    tune.register_trainable("Counter", Counter)


def test_t6_1_names() -> None:
    [trial] = run(train_func, config={"lr": tune.grid_search([0.2]), "momentum": 1})
    assert str(trial) == "train_func_0_lr=0.2"
    assert [str(trial) for trial in run(train_func, num_samples=2)] == [
        "train_func_0",
        "train_func_1",
    ]
    assert str(Trial("Counter", {"env": "a/b"}, experiment_tag="3_x=1")) == "Counter_a_b_3_x=1"
    assert str(Trial("Counter", {"env": Counter})) == "Counter_Counter"


@pytest.mark.parametrize("wrap", [tune.function, lambda function: function])
def test_t6_2_a_name_of_ones_own(wrap: Any) -> None:
    creator = wrap(lambda trial: f"mine-{trial.trainable_name}-{trial.config['x']}")
    [trial] = run(train_func, config={"x": tune.grid_search([7])}, trial_name_creator=creator)
    assert str(trial) == "mine-train_func-7"
    assert Path(trial.logdir).name.startswith("mine-train_func-7_")


def test_t6_3_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    [trial] = run(train_func)
    assert re.fullmatch(r"train_func_0_\d{4}(-\d\d){2}_\d\d(-\d\d){2}.{8}", Path(trial.logdir).name)
    long = {"a": tune.grid_search(["x" * 50]), "b": tune.grid_search(["y" * 300])}
    assert run(train_func, config=long)[0].status == "TERMINATED"
    wide = {"a": tune.grid_search(["\N{GRINNING FACE}" * 100])}  # four bytes each
    assert run(train_func, config=wide)[0].status == "TERMINATED"
    monkeypatch.setenv("MAX_LEN_IDENTIFIER", "1000")
    assert run(train_func, config=long)[0].status == "TERMINATED"
    monkeypatch.setenv("MAX_LEN_IDENTIFIER", "5")
    assert Path(run(train_func)[0].logdir).name.startswith("train_2")


def test_only_legal_moves() -> None:
    trial = Trial("Counter")
    for status in ("RUNNING", "PAUSED", "PENDING", "RUNNING", "TERMINATED"):
        trial.status = status
    assert trial.is_finished()
    with pytest.raises(tune.TuneError, match="cannot become RUNNING: it is TERMINATED"):
        trial.status = "RUNNING"
    with pytest.raises(tune.TuneError):
        trial.status = "PAUSED"
    with pytest.raises(ValueError):
        trial.status = "SLEEPING"


def test_t3_1_a_class_that_says_what_it_needs() -> None:
    class Needs(Counter):
        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> Resources:
            return Resources(cpu=config["n"], gpu=0)

    tune.register_trainable("Needs", Needs)
    assert Trial("Needs", {"n": 3}).resources == Resources(3, 0)
    with pytest.raises(ValueError, match="clear the resources_per_trial option"):
        run(Needs, config={"n": 3}, resources_per_trial={"cpu": 1})
    assert Trial("Counter").resources == Resources(1, 0)
    with pytest.raises(tune.TuneError, match="extra_cpu and extra_gpu"):
        run(Counter, resources_per_trial={"driver_cpu_limit": 1})


def test_t4_6_a_record_holds_all_that_a_resume_needs(tmp_path: Path) -> None:
    trial = Trial(
        "Counter",
        {"f": tune.function(lambda: 5), "env": "X"},
        local_dir=str(tmp_path),
        experiment_tag="1_x=1",
        resources=Resources(2, 0.5, 1, 0, {"hi": 1}),
        stopping_criterion={"count": 3},
        checkpoint_freq=2,
        keep_checkpoints_num=3,
        checkpoint_score_attr="min-count",
        restore_path="/a/b",
        max_failures=4,
        trial_name_creator=lambda trial: "named",
        loggers=[],
    )
    trial.status = "RUNNING"
    trial.num_failures = 1
    trial.keeper.add("/a/b", {"count": 7})
    record = json_encoding.loads(json_encoding.dumps(trial.to_record()))
    back = Trial.from_record(record)
    assert back.status == "PENDING" and back.config["f"]() == 5
    assert back.checkpoint.value == "/a/b" and str(back) == "named"
    same = trial.to_record()
    for key in ("config", "status"):
        del record[key], same[key]
    assert record == same
    assert {k: v for k, v in back.to_record().items() if k in same} == same
