"""Ranges: T1.8's samplers as objects that are drawn, clipped, written and read."""

from __future__ import annotations

import pickle
import random
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltune import tune
from rltune.config import ConfigError
from rltune.tune import json_encoding
from rltune.tune.error import TuneError
from rltune.tune.experiment import Experiment
from rltune.tune.ranges import (
    Choice,
    LogUniform,
    RandInt,
    Range,
    Uniform,
    range_of_dict,
    with_hints,
)
from rltune.tune.suggest.variant_generator import generate_variants
from rltune.tune.trial_factory import create_trial

ALL: list[Range] = [Uniform(0, 1), LogUniform(1e-5, 1e-2), RandInt(3, 9), Choice(1, "a", None)]
each = pytest.mark.parametrize("space", ALL, ids=repr)


def configs(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["config"] for _, spec in generate_variants({"run": "f", "config": config})]


def test_t1_8_the_samplers_of_tune_are_ranges() -> None:
    made = [tune.uniform(0, 1), tune.loguniform(1e-5, 1e-2), tune.randint(3, 9)]
    assert [*made, tune.choice([1, "a", None])] == ALL
    assert all(isinstance(space, tune.sample_from) for space in made)


@pytest.mark.parametrize(
    ("made", "meant"),
    [
        (tune.randint(10), RandInt(0, 10)),
        (tune.randint(low=2, high=4), RandInt(2, 4)),
        (tune.choice(3), RandInt(0, 3)),
        (tune.choice((1, 2)), Choice(1, 2)),
        (tune.choice(np.array([1, 2])), Choice(1, 2)),
        (tune.uniform(), Uniform(0, 1)),
        (tune.uniform(np.float32(0.5)), Uniform(0.5, 1)),
    ],
)
def test_t1_8_numpy_s_argument_forms_that_have_bounds(made: Any, meant: Range) -> None:
    assert made == meant


@pytest.mark.parametrize(
    ("made", "draw"),
    [
        (tune.uniform(100), lambda: np.random.uniform(100)),
        (tune.uniform(1, 2, 3), lambda: np.random.uniform(1, 2, 3)),
        (tune.uniform(size=2, high=4), lambda: np.random.uniform(0, 4, 2)),
        (tune.uniform([1, 2], 3), lambda: np.random.uniform([1, 2], 3)),
        (tune.randint(10, size=(2, 2)), lambda: np.random.randint(10, size=(2, 2))),
        (tune.randint(5, dtype="int8"), lambda: np.random.randint(5, dtype="int8")),
        (tune.choice(9, 2, False), lambda: np.random.choice(9, 2, False)),
        (tune.choice(3, p=[0, 0.5, 0.5]), lambda: np.random.choice(3, p=[0, 0.5, 0.5])),
        (tune.choice([5, 6], p=[0.5, 0.5]), lambda: np.random.choice([5, 6], p=[0.5, 0.5])),
    ],
)
def test_t1_8_numpy_s_other_argument_forms(made: Any, draw: Any) -> None:
    np.random.seed(7)
    drawn = configs({"x": made})[0]["x"]
    np.random.seed(7)
    assert np.array_equal(drawn, draw())
    assert not isinstance(made, Range)


@each
def test_t1_8_numpy_s_seed_settles_the_draws(space: Range) -> None:
    draws = []
    for _ in range(2):
        np.random.seed(5)
        draws.append([space(), space(None), configs({"x": space})[0]["x"]])
    assert draws[0] == draws[1]


@each
def test_a_generator_of_one_s_own_draws_too(space: Range) -> None:
    state = str(np.random.get_state())
    draws = [space.sample(random.Random(1)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert str(np.random.get_state()) == state
    rng = random.Random(2)
    assert len({space.sample(rng) for _ in range(100)}) >= 3


def test_draws_stay_within_and_reach_everything() -> None:
    rng = random.Random(0)
    assert {RandInt(3, 6).sample(rng) for _ in range(100)} == {3, 4, 5}
    assert {Choice("a", "b").sample(rng) for _ in range(100)} == {"a", "b"}
    exponents = [np.log10(LogUniform(1e-4, 1).sample(rng)) for _ in range(1000)]
    assert -4 <= min(exponents) < max(exponents) <= 0
    assert np.mean(exponents) == pytest.approx(-2, abs=0.2)  # the middle is that of the magnitudes


@given(
    low=st.floats(1e-6, 1e3),
    width=st.floats(1e-3, 1e3),
    value=st.one_of(st.floats(allow_nan=False), st.integers()),
    kind=st.sampled_from([Uniform, LogUniform, RandInt]),
)
def test_a_clipped_value_is_the_nearest_within(
    low: float, width: float, value: float, kind: Any
) -> None:
    space = RandInt(int(low), int(low + width) + 1) if kind is RandInt else kind(low, low + width)
    least, most = space.ends
    clipped = space.clip(value)
    assert least <= clipped <= most
    if least <= value <= most:
        assert clipped == (int(value) if kind is RandInt else value)
    assert space.clip(clipped) == clipped


def test_ints_stay_ints_and_floats_floats() -> None:
    assert [type(Uniform(1, 10).clip(value)) for value in (0, 0.5, 11, 11.5)] == [int, float] * 2
    assert Uniform(0.5, 2.5).clip(3) == 2
    assert Uniform(0.2, 0.8).clip(1) == 0.8
    assert [RandInt(2, 5).clip(value) for value in (1.9, 3.7, float("inf"))] == [2, 3, 4]


def test_a_choice_clips_to_the_nearest_number() -> None:
    assert Choice(16, 32, 64).clip(50) == 64
    assert Choice("relu", "tanh").clip("tanh") == "tanh"
    with pytest.raises(TuneError, match="'rele' is none of"):
        Choice("relu", "tanh").clip("rele")


@each
def test_a_range_reads_like_its_call_and_travels(space: Range) -> None:
    assert eval(repr(space), {"tune": tune}) == space
    assert range_of_dict(space.as_dict()) == space
    for module in (pickle, cloudpickle):
        assert module.loads(module.dumps(space)) == space
    assert json_encoding.loads(json_encoding.dumps({"x": space})) == {"x": space}


def test_ranges_of_two_kinds_differ() -> None:
    assert Uniform(1, 2) != LogUniform(1, 2)
    assert Uniform(1, 2) != Uniform(1, 3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tune.uniform(2, 1), r"tune\.uniform\(2, 1\): the lower bound must be below"),
        (lambda: tune.uniform(1, 1), "below"),
        (lambda: tune.randint(0), r"tune\.randint\(0, 0\): .*below"),
        (lambda: tune.randint(0.5, 3), "whole numbers"),
        (lambda: tune.loguniform(0, 1), r"tune\.loguniform\(0, 1\): both .* above 0"),
        (lambda: LogUniform("a", 1), "'a' is no finite number"),  # type: ignore[arg-type]
        (lambda: Uniform(float("nan"), 1), "nan is no finite number"),
        (lambda: Uniform(False, 1), "False is no finite number"),
        (lambda: tune.choice([]), "nothing to choose from"),
    ],
)
def test_wrong_bounds(make: Any, words: str) -> None:
    with pytest.raises(TuneError, match=words):
        make()


def test_t1_8_ranges_as_dicts() -> None:
    space = {
        "lr": {"loguniform": [1e-5, 1e-2]},
        "nested": {"layers": [{"randint": [4, 6]}, {"choice": ["relu"]}]},
        "x": tune.grid_search([{"uniform": [0, 1]}, 5]),
        "copy": tune.sample_from(lambda spec: spec.config.lr),
    }
    drawn, other = configs(space)
    assert 1e-5 <= drawn["lr"] <= 1e-2
    assert drawn["copy"] == drawn["lr"] != other["lr"]
    assert drawn["nested"]["layers"][0] in (4, 5)
    assert drawn["nested"]["layers"][1] == "relu"
    assert 0 <= drawn["x"] <= 1
    assert other["x"] == 5


@pytest.mark.parametrize(
    "config",
    [
        {"choice": [1, 2]},  # a config, not a value of one
        {"x": {"uniform": True}},
        {"x": {"uniform": [0, 1], "more": 1}},
        {"x": {"uniformly": [0, 1]}},
    ],
)
def test_dicts_that_are_no_ranges_are_left_alone(config: dict[str, Any]) -> None:
    assert configs(config) == [config]
    reading = {"y": tune.sample_from(lambda spec: spec.config.keys())}
    assert configs({**config, **reading})[0].keys() == {*config, "y"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"uniform": [1]}, r"config\.a\.b: .*uniform takes a list of two numbers"),
        ({"uniform": [2, 1]}, r"config\.a\.b: tune\.uniform\(2, 1\): .*below"),
        ({"loguniform": [0, 1]}, r"config\.a\.b: .*above 0"),
        ({"randint": ["x", 3]}, r"config\.a\.b: .*'x' is no finite number"),
    ],
)
def test_wrong_bounds_name_their_place(value: dict[str, Any], words: str) -> None:
    with pytest.raises(TuneError, match=words):
        configs({"a": {"b": value}})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"loguniforn": [1, 2]}, "; nearest: 'loguniform'"),
        ({"gridsearch": [1, 2]}, "; nearest: 'grid_search'"),
        ({"uniform": 3}, "; 'uniform' takes a list"),
        ({"zzz": [1, 2]}, ""),
        ({"uniforn": 1, "b": 2}, ""),
        ("loguniforn", ""),
    ],
)
def test_a_refused_value_may_be_a_misspelt_range(value: Any, words: str) -> None:
    problem = f"'a.lr' is {value}; it must be a number"
    for config in ({"a": {"lr": value}}, {"a": {"lr": value, "uniforn": 1}, "lr": {"uniforn": 1}}):
        assert with_hints([problem, "'a' is odd"], config) == [problem + words, "'a' is odd"]


def test_a_trial_with_a_misspelt_range_is_refused() -> None:
    experiment = Experiment("e", "PPO", config={"env": "CartPole-v1", "lr": {"loguniforn": [1, 2]}})
    with pytest.raises(ConfigError, match=r"^'lr' is .* a number; nearest: 'loguniform'$"):
        create_trial(experiment.spec, "/tmp", "")
