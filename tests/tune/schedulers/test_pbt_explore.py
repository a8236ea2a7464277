"""Explore (T10.8): where a config may go, and where it never goes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltune import tune
from rltune.tune.error import TuneError
from rltune.tune.schedulers.explore import check_config, checked, explore, mutated_values


def outcomes(value: Any, mutation: Any, probability: float = 0.0, draws: int = 200) -> set[Any]:
    """What `value` becomes in many explores."""
    rng = random.Random(0)
    mutations = checked({"v": mutation})
    return {explore({"v": value}, mutations, probability, None, rng)["v"] for _ in range(draws)}


@pytest.mark.parametrize(
    ("value", "expected"), [(4, {3, 8}), (3, {3, 4}), (10, {8, 10}), (7, {3, 4, 8, 10})]
)
def test_t10_8_a_list_moves_to_a_neighbour(value: int, expected: set[int]) -> None:
    """An end may stay; a value that is not in the list becomes any of it."""
    assert outcomes(value, [3, 4, 8, 10]) == expected
    assert outcomes(value, tune.choice([3, 4, 8, 10])) == expected
    assert outcomes(value, {"choice": [3, 4, 8, 10]}) == expected


def test_t10_8_a_list_is_drawn_from_anew() -> None:
    assert outcomes(4, [3, 4, 8, 10], probability=1.0) == {3, 4, 8, 10}


def test_t10_8_steps_go_either_way_equally_often() -> None:
    rng = random.Random(1)
    steps = [explore({"v": 4}, {"v": [3, 4, 8]}, 0.0, None, rng)["v"] for _ in range(1000)]
    assert 430 < steps.count(3) < 570


def test_t10_8_a_number_is_multiplied() -> None:
    assert outcomes(100, lambda: 7) == {80, 120}
    assert outcomes(1.0, lambda: 7.0) == {0.8, 1.2}
    assert outcomes(np.float64(1.0), lambda: 7.0) == {0.8, 1.2}


def test_t10_8_an_int_stays_one() -> None:
    for value in (100, np.int64(100)):
        kinds = {type(v) for v in outcomes(value, lambda: 7.9) | outcomes(value, lambda: 7.9, 1.0)}
        assert kinds == {int}
    assert outcomes(100, lambda: 7.9, probability=1.0) == {7}
    assert outcomes(33, lambda: 7) == {26, 39}  # cut off, not rounded


def test_t10_8_a_function_is_drawn_from_anew() -> None:
    assert outcomes(100.0, lambda: 7.5, probability=1.0) == {7.5}
    assert outcomes("adam", lambda: "sgd") == {"sgd"}  # a text cannot be multiplied
    assert outcomes(True, lambda: False) == {False}
    assert outcomes(None, tune.choice([1])) == {1}


def test_t10_8_ranges_are_drawn_from_and_clip() -> None:
    assert outcomes(1.0, tune.uniform(0.9, 1.1)) == {0.9, 1.1}
    assert outcomes(100, tune.randint(90, 111)) == {90, 110}
    drawn = outcomes(1.0, tune.loguniform(1e-4, 1e-2), probability=1.0)
    assert len(drawn) > 100
    assert all(1e-4 <= value <= 1e-2 for value in drawn)


def test_t10_8_nested_mutations() -> None:
    mutations = {"a": {"b": [3, 4, 8, 10], "c": {"d": lambda: 5.0}}}
    config = {"a": {"b": 4, "c": {"d": 1.0, "e": 1}, "f": 2}, "g": 3}
    rng = random.Random(0)
    explored = [explore(config, mutations, 0.0, None, rng) for _ in range(100)]
    assert {new["a"]["b"] for new in explored} == {3, 8}
    assert {new["a"]["c"]["d"] for new in explored} == {0.8, 1.2}
    new = explored[0]
    assert (new["a"]["c"]["e"], new["a"]["f"], new["g"]) == (1, 2, 3)
    assert config == {"a": {"b": 4, "c": {"d": 1.0, "e": 1}, "f": 2}, "g": 3}


def test_t10_8_a_key_that_the_config_lacks_is_drawn() -> None:
    new = explore({}, {"a": [1], "b": {"c": lambda: 2}}, 0.0, None, random.Random(0))
    assert new == {"a": 1, "b": {"c": 2}}


def test_t10_8_the_custom_function_has_the_last_word() -> None:
    def halve(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "v": config["v"] / 2}

    assert explore({"v": 1.0}, {"v": lambda: 4.0}, 1.0, halve) == {"v": 2.0}
    assert explore({"v": 1.0}, {}, 1.0, halve) == {"v": 0.5}
    with pytest.raises(AssertionError, match="must return the config"):
        explore({"v": 1.0}, {}, 1.0, lambda config: None)  # type: ignore[arg-type,return-value]


def test_explore_gives_the_custom_function_a_copy() -> None:
    config = {"layers": [1, 2]}

    def grow(new: dict[str, Any]) -> dict[str, Any]:
        new["layers"].append(3)
        return new

    assert explore(config, {}, 0.0, grow)["layers"] == [1, 2, 3]
    assert config == {"layers": [1, 2]}


def test_functions_draw_the_same_from_the_same_state() -> None:
    """Whatever was drawn before, and without any effect on what is drawn after."""

    def draw() -> float:
        return random.random() + float(np.random.uniform())

    def custom(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "w": random.random()}

    def once(seed: int) -> dict[str, Any]:
        return explore({"v": 1.0}, {"v": draw}, 1.0, custom, random.Random(seed))

    random.seed(1)
    np.random.seed(1)
    expected_after = (random.random(), np.random.uniform())
    first = once(5)
    random.seed(1)
    np.random.seed(1)
    assert once(5) == first
    assert (random.random(), np.random.uniform()) == expected_after
    assert once(6) != first


@pytest.mark.parametrize(
    ("mutations", "message"),
    [
        ({"lr": 0.1}, r"hyperparam_mutations\['lr'\] must be a list"),
        ({"lr": []}, r"hyperparam_mutations\['lr'\] is empty"),
        ({"a": {}}, r"hyperparam_mutations\['a'\] is empty"),
        ({"a": {"b": "x"}}, r"hyperparam_mutations\['a'\]\['b'\] must be a list"),
        ({"lr": {"uniform": [2, 1]}}, r"hyperparam_mutations\['lr'\]: .*lower bound"),
        ({"lr": {"grid_search": [2, 1]}}, "a grid is no mutation"),
    ],
)
def test_wrong_mutations_are_refused(mutations: dict[str, Any], message: str) -> None:
    with pytest.raises(TuneError, match=message):
        checked(mutations)


def test_a_mutation_that_could_have_no_effect_is_refused() -> None:
    schedule = {"lr": 0.1, "lr_schedule": [[0, 0.1], [1000, 0.0]]}
    with pytest.raises(TuneError, match=r"\['lr'\].*\['lr_schedule'\]"):
        check_config(schedule, {"lr": [0.1, 0.2]})
    with pytest.raises(TuneError, match=r"config\['a'\]\['lr_schedule'\]"):
        check_config({"a": schedule}, {"a": {"lr": [0.1, 0.2]}})
    check_config({**schedule, "lr_schedule": None}, {"lr": [0.1, 0.2]})
    check_config(schedule, {"gamma": [0.9]})
    with pytest.raises(TuneError, match="nearest: 'uniform'"):
        check_config({"lr": 0.1}, checked({"lr": {"unifrom": [0, 1]}}))


def test_mutated_values_are_named_by_their_path() -> None:
    mutations = {"lr": [1], "model": {"size": [2], "act": {"name": ["a"]}}}
    config = {"lr": 0.1, "model": {"size": np.int64(3)}, "other": 1}
    assert mutated_values(config, mutations) == {
        "lr": 0.1,
        "model/size": 3,
        "model/act/name": None,
    }


bounds = st.tuples(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3)).filter(lambda b: b[0] < b[1])
whole = st.tuples(st.integers(-50, 50), st.integers(-50, 50)).filter(lambda b: b[0] < b[1])
ranges = st.one_of(
    bounds.map(lambda b: tune.uniform(*b)),
    bounds.map(lambda b: tune.loguniform(*b)),
    whole.map(lambda b: tune.randint(*b)),
    st.lists(st.integers(-9, 9), min_size=1).map(tune.choice),
)


@settings(max_examples=100, deadline=None)
@given(range_=ranges, seed=st.integers(0, 10**6), probability=st.sampled_from([0.0, 0.25, 1.0]))
def test_t10_8_ten_thousand_explores_never_leave_the_range(
    range_: Any, seed: int, probability: float
) -> None:
    """100 chains of 100 explores each; what begins as an int stays one."""
    rng = random.Random(seed)
    config = {"v": range_.sample(rng)}
    kind = type(config["v"])
    for _ in range(100):
        config = explore(config, {"v": range_}, probability, None, rng)
        assert config["v"] == range_.clip(config["v"])
        assert type(config["v"]) is kind
