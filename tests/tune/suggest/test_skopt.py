"""SkOptSearch in 0.7's signature (T11.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tune.suggest.libraries import Trials, class_of, needs

pytestmark = needs("SkOpt")


def optimizer(**arguments: Any) -> Any:
    import skopt

    return skopt.Optimizer([(-10.0, 10.0), (1, 5)], **{"random_state": 3, **arguments})


def search(*args: Any, made: Any = None, **kwargs: Any) -> Any:
    return class_of("SkOpt")(made or optimizer(), ["x", "n"], *args, **kwargs)


def test_t11_3_points_without_rewards_are_tried_first() -> None:
    made = search(metric="loss", mode="min", points_to_evaluate=[[1.5, 2], [-1.5, 3]])
    assert made._suggest("a") == {"x": 1.5, "n": 2}
    assert made._suggest("b") == {"x": -1.5, "n": 3}
    third = made._suggest("c")
    assert type(third["x"]) is float and type(third["n"]) is int


@pytest.mark.parametrize(("mode", "told"), [("min", [4.0, 9.0]), ("max", [-4.0, -9.0])])
def test_t11_3_points_with_rewards_are_told_at_once(mode: str, told: list[float]) -> None:
    mine = optimizer()
    made = search(
        made=mine, metric="loss", mode=mode, points_to_evaluate=[[1.0, 2], [2.0, 2]],
        evaluated_rewards=[4.0, 9.0],
    )  # fmt: skip
    assert made._suggest("a")["x"] not in (1.0, 2.0)
    assert mine.yi == told  # in the user's own object
    made.on_trial_complete("a", {"loss": 1.0})
    assert mine.yi[2:] == [1.0 if mode == "min" else -1.0]


def test_t11_3_wrong_types_and_lengths() -> None:
    with pytest.raises(TypeError, match="points_to_evaluate must be a list"):
        search(points_to_evaluate=3)
    with pytest.raises(TypeError, match="parameter_names must be a list"):
        class_of("SkOpt")(optimizer(), "xn")
    with pytest.raises(TypeError, match="evaluated_rewards must be a list"):
        search(points_to_evaluate=[[1.0, 2]], evaluated_rewards=1.0)
    with pytest.raises(ValueError, match=r"point \[1.0\] must have values of x, n"):
        search(points_to_evaluate=[[1.0]])
    with pytest.raises(ValueError, match="2 evaluated_rewards for 1 points"):
        search(points_to_evaluate=[[1.0, 2]], evaluated_rewards=[1.0, 2.0])


def test_the_librarys_own_error_for_what_it_refuses() -> None:
    made = search(points_to_evaluate=[[99.0, 2]], metric="loss")
    made._suggest("a")
    with pytest.raises(ValueError, match="not within the bounds"):
        made.on_trial_complete("a", {"loss": 1.0})


def test_trials_that_run_at_the_same_time_differ_and_a_resumed_run_repeats_them() -> None:
    """Beyond the initial points, where the optimizer alone would give one point three times."""

    def make_one() -> Any:
        return search(3, made=optimizer(n_initial_points=3), metric="loss", mode="min")

    trials = Trials(make_one())
    trials.ask(6)
    resumed = trials.resumed(make_one())
    more = trials.ask(2)
    assert len({config["x"] for _, config in trials.live}) == 3
    assert resumed.ask(2) == more
