"""NevergradSearch in 0.7's signature (T11.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltune import tune
from tests.tune.suggest.libraries import Trials, class_of, needs

pytestmark = needs("Nevergrad")


def optimizer(kind: str = "array") -> Any:
    import nevergrad as ng

    scalars = {"x": ng.p.Scalar(lower=-5, upper=5), "n": ng.p.Scalar(lower=1, upper=9)}
    scalars["n"].set_integer_casting()
    space = {
        "array": 2,
        "instrumentation": ng.p.Instrumentation(**scalars),
        "dict": ng.p.Dict(**scalars),
        "positional": ng.p.Instrumentation(scalars["x"]),
        "tuple": ng.p.Tuple(scalars["x"]),
    }[kind]
    return ng.optimizers.TwoPointsDE(parametrization=space, budget=40, num_workers=3)


NAMES: dict[str, Any] = {"array": ["x", "n"], "instrumentation": None, "dict": None}


@pytest.mark.parametrize("kind", NAMES)
def test_t11_3_every_kind_of_space_and_a_resumed_run_of_it(kind: str) -> None:
    """Without a seed of the user's, too."""

    def make() -> Any:
        return class_of("Nevergrad")(optimizer(kind), NAMES[kind], 3, None, "loss", "min")

    trials = Trials(make())
    configs = trials.ask(36)
    assert all(set(config) == {"x", "n"} for config in configs)
    if kind != "array":
        assert all(type(config["n"]) is int for config in configs)
    resumed = trials.resumed(make())
    assert resumed.ask(4) == trials.ask(4)


@pytest.mark.parametrize("kind", NAMES)
def test_an_optimizer_that_does_not_repeat_itself_keeps_what_it_was_told(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def make(seed: int) -> Any:
        made = optimizer(kind)
        made.parametrization.random_state = np.random.RandomState(seed)
        return class_of("Nevergrad")(made, NAMES[kind], 3, None, "loss", "min")

    trials = Trials(make(1))
    trials.ask(9)
    while trials.live:
        trials.end_oldest()
    resumed = trials.resumed(make(2))
    assert "9 of 9 suggestions differ" in caplog.text
    best = [t.search._optimizer.provide_recommendation() for t in (trials, resumed)]  # type: ignore[attr-defined]
    assert np.allclose(best[0].get_standardized_data(reference=best[0]), 0)
    assert best[1].loss == best[0].loss


def test_the_users_optimizer_is_the_one_that_learns() -> None:
    mine = optimizer("dict")
    made = class_of("Nevergrad")(mine, None, 3, None, "loss", "max")
    made._suggest("a")
    made.on_trial_complete("a", {"loss": 4.0})
    assert mine.num_tell == 1 and mine.pareto_front is not None
    assert mine.current_bests["minimum"].mean == -4.0


@pytest.mark.parametrize(
    ("kind", "names", "message"),
    [
        ("array", ["x"], "an array of 2 numbers: parameter_names must name each"),
        ("array", None, "an array of 2 numbers"),
        ("dict", ["x", "n"], "parameter_names must be None"),
        ("instrumentation", ["x", "n"], "parameter_names must be None"),
        ("positional", None, "must have keywords only"),
        ("tuple", None, "over an Instrumentation, a Dict or an array"),
    ],
)
def test_t11_3_names_that_do_not_fit(kind: str, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_of("Nevergrad")(optimizer(kind), names)


def test_an_optimizer_is_named_in_a_file() -> None:
    for_ranges = class_of("Nevergrad").for_ranges
    made = for_ranges({"x": tune.uniform(0, 1)}, optimizer="PSO", budget=10)
    assert 0 <= made._suggest("a")["x"] <= 1
    with pytest.raises(ValueError, match="no optimizer 'OnePlusTwo'; nearest: "):
        for_ranges({"x": tune.uniform(0, 1)}, optimizer="OnePlusTwo")
