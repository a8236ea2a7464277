"""Schedulers, search algorithms and reused actors, from flags and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltune.cli.checks import MISTAKES
from rltune.cli.experiments import build_experiments
from rltune.cli.named import find_class
from rltune.cli.plan import Plan, make_plan
from rltune.cli.schedulers import SCHEDULERS
from rltune.cli.searches import SEARCH_ALGS
from rltune.cli.train import train
from rltune.tune.schedulers import FIFOScheduler, PopulationBasedTraining, TrialScheduler
from rltune.tune.suggest import BasicVariantGenerator, SearchAlgorithm

PPO = ("--run", "PPO", "--env", "CartPole-v1")
COUNTER = ("--run", "tests.cli.trainables:Counter")


def plan(*args: str) -> Plan:
    flags = train.make_context("train.py", list(args)).params
    experiments, _ = build_experiments(flags)
    return make_plan(experiments, flags)


def refusal(*args: str) -> str:
    with pytest.raises(MISTAKES) as caught:
        plan(*args)
    return str(caught.value)


def pbt(mutations: dict[str, Any], **others: Any) -> tuple[str, ...]:
    arguments = {"hyperparam_mutations": mutations, **others}
    return ("--scheduler", "PBT", "--scheduler-config", json.dumps(arguments))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_t10_1_every_scheduler_has_a_class(name: str) -> None:
    assert issubclass(find_class("scheduler", name.lower(), SCHEDULERS), TrialScheduler)


@pytest.mark.parametrize("name", SEARCH_ALGS)
def test_t11_3_every_search_algorithm_has_a_class(name: str) -> None:
    assert issubclass(find_class("search_alg", name.upper(), SEARCH_ALGS), SearchAlgorithm)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("Optuna", "optuna"),
        ("HyperOpt", "hyperopt"),
        ("BayesOpt", "bayes_opt"),
        ("Nevergrad", "nevergrad"),
        ("Ax", "ax"),
        ("SkOpt", "skopt"),
    ],
)
def test_t11_3_every_search_algorithm_is_made_from_ranges(name: str, library: str) -> None:
    pytest.importorskip(library)
    config = '{"step": {"randint": [1, 9]}, "x": {"loguniform": [0.1, 1]}}'
    args = ("--search-alg", name, "--config", config, "--search-config", '{"metric": "count"}')
    search_alg = plan(*COUNTER, *args).tuning["default"].search_alg
    assert type(search_alg).__name__ == f"{name}Search"
    assert search_alg.metric == "count"


def test_flags_make_objects() -> None:
    nothing = plan(*COUNTER).tuning["default"]
    assert (nothing.scheduler, nothing.search_alg, nothing.reuse_actors) == (None, None, False)
    args = ("--scheduler", "fifo", "--search-alg", "basicvariant", "--reuse-actors")
    tuning = plan(*COUNTER, *args).tuning["default"]
    assert isinstance(tuning.scheduler, FIFOScheduler)
    assert isinstance(tuning.search_alg, BasicVariantGenerator)
    assert tuning.reuse_actors is True
    said = ", scheduler FIFOScheduler, search BasicVariantGenerator, actors reused"
    assert tuning.describe() == said


def test_each_experiment_of_a_file_has_its_own(tmp_path: Path) -> None:
    file = tmp_path / "three.yaml"
    file.write_text(
        "a: {run: PG, env: CartPole-v1, scheduler: FIFO, reuse_actors: true}\n"
        "b: {run: PG, env: CartPole-v1, scheduler: PBT, scheduler_config: "
        "{hyperparam_mutations: {lr: {loguniform: [1e-5, 1e-2]}}}}\n"
        "c: {run: PG, env: CartPole-v1}\n"
    )
    tunings = plan("-f", str(file)).tuning
    assert [type(tunings[name].scheduler) for name in "abc"] == [
        FIFOScheduler,
        PopulationBasedTraining,
        type(None),
    ]
    assert [tunings[name].reuse_actors for name in "abc"] == [True, False, False]
    tunings = plan("-f", str(file), "--scheduler", "FIFO").tuning
    assert {type(tuning.scheduler) for tuning in tunings.values()} == {FIFOScheduler}
    assert tunings["a"].scheduler is not tunings["b"].scheduler


def test_t10_6_mutations_as_json_are_ranges() -> None:
    tuning = plan(*PPO, *pbt({"lr": {"loguniform": [1e-5, 1e-2]}, "gamma": [0.9, 0.99]}))
    assert isinstance(tuning.tuning["default"].scheduler, PopulationBasedTraining)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (pbt({"lrr": [1, 2]}), ["hyperparam_mutations", "'lrr'", "nearest: 'lr'"]),
        (pbt({"lr": {"loguniforn": [1e-5, 1]}}), ["lr", "nearest: 'loguniform'"]),
        (pbt({"lr": {"loguniform": [0, 1]}}), ["PopulationBasedTraining", "lr", "above 0"]),
        (pbt({"lr": {"uniform": [2, 1]}}), ["lr", "below"]),
        (pbt({"gamma": {"uniform": [0.9, 1.5]}}), ["gamma 1.5", "at most 1"]),
        (pbt({"clip_param": [0.1, "x"]}), ["clip_param 'x'", "must be a number"]),
        (pbt({"model": {"fcnet_hidens": [[8]]}}), ["fcnet_hidens", "fcnet_hiddens"]),
        (pbt({"lr": 3}), ["lr", "must be a list, a range"]),
        (pbt({"lr": [1, 2]}, perturbation_intervall=3), ["nearest: 'perturbation_interval'"]),
        (pbt({"lr": [1, 2]}, quantile_fraction=0.7), ["refuses", "quantile_fraction"]),
        (("--scheduler", "PBT"), ["refuses", "hyperparam_mutations"]),
        (
            (*pbt({"lr": [1, 2]}), "--config", '{"lr_schedule": [[0, 1]]}'),
            ["'lr'", "lr_schedule"],
        ),
    ],
)
def test_t10_6_mistakes_in_mutations(args: tuple[str, ...], words: list[str]) -> None:
    message = refusal(*PPO, *args)
    assert all(word in message for word in words), message


def test_every_mistake_in_mutations_is_told_at_once() -> None:
    message = refusal(*PPO, *pbt({"gamma": [2, 3], "lrr": [1]}))
    assert all(word in message for word in ("gamma 2", "gamma 3", "'lrr'")), message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"lr": {"loguniforn": [1e-5, 1]}}, ["'lr' is", "nearest: 'loguniform'"]),
        ({"lr": {"uniform": 3}}, ["'lr' is", "'uniform' takes a list"]),
        ({"lr": {"uniform": [3, 2]}}, ["config.lr", "below"]),
        ({"gamma": {"uniform": [0, 2]}}, ["'gamma' is 2", "at most 1"]),
        ({"gamma": {"choice": [0.5, 7]}}, ["'gamma' is 7", "at most 1"]),
        ({"model": {"fcnet_hiddens": [{"randint": [-1, 8]}]}}, ["fcnet_hiddens"]),
    ],
)
def test_t1_8_ranges_are_tried_at_their_ends(config: dict[str, Any], words: list[str]) -> None:
    message = refusal(*PPO, "--config", json.dumps(config))
    assert all(word in message for word in words), message


class Space(SearchAlgorithm):
    """Keeps what it is made with."""

    space: dict[str, Any]
    metric: str

    @classmethod
    def for_ranges(cls, space: dict[str, Any], metric: str = "reward") -> Space:
        assert metric != "none", "that is no metric"
        made = cls()
        made.space, made.metric = space, metric
        return made


@pytest.fixture
def searching(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Space, dict[str, Any]]]:
    """Plans a search of a config: the algorithm, and what is left of the config."""
    monkeypatch.setitem(SEARCH_ALGS, "Space", f"{__name__}:Space")

    def search(config: dict[str, Any], *args: str) -> tuple[Space, dict[str, Any]]:
        made = plan(*COUNTER, "--search-alg", "space", "--config", json.dumps(config), *args)
        search_alg = made.tuning["default"].search_alg
        assert isinstance(search_alg, Space)
        return search_alg, made.experiments[0].spec["config"]

    return search


def test_t11_1_the_ranges_of_the_config_are_the_space(searching: Any) -> None:
    config = {
        "lr": {"loguniform": [1e-5, 1]},
        "model": {"act": {"choice": ["relu", "tanh"]}, "size": 3},
        "step": 2,
    }
    search_alg, rest = searching(config, "--search-config", '{"metric": "loss"}')
    assert repr(search_alg.space) == (
        "{'lr': tune.loguniform(1e-05, 1), 'model': {'act': tune.choice(['relu', 'tanh'])}}"
    )
    assert search_alg.metric == "loss"
    assert rest == {"model": {"size": 3}, "step": 2}


def test_t11_1_mistakes_in_a_search(searching: Any) -> None:
    for config, args, words in (
        ({"step": 3}, [], "no range"),
        ({"n": {"randint": [1, 3]}, "m": {"grid_search": [1, 2]}}, [], "holds a grid_search"),
        ({"sizes": [{"randint": [1, 3]}]}, [], "'sizes' holds a range within a list"),
        ({"n": {"randint": [1, 3]}}, ["--search-config", '{"metrik": "x"}'], "nearest: 'metric'"),
        ({"n": {"randint": [1, 3]}}, ["--search-config", '{"space": {}}'], "no argument 'space'"),
        ({"n": {"randint": [1, 3]}}, ["--search-config", '{"metric": "none"}'], "that is no"),
    ):
        with pytest.raises(MISTAKES, match=words):
            searching(config, *args)
