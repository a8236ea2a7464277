"""BayesOptSearch in 0.7's signature (T11.3)."""

from __future__ import annotations

from typing import Any

import pytest

from rltune import tune
from tests.tune.suggest.libraries import class_of, make, needs

pytestmark = needs("BayesOpt")
UTILITY = {"kind": "ucb", "kappa": 2.5, "xi": 0.0}


def test_t11_3_it_finds_the_greatest() -> None:
    made = class_of("BayesOpt")(
        {"x": (-10, 10)}, 1, None, "score", "max", utility_kwargs=UTILITY, random_state=2
    )
    seen = []
    for trial in range(12):
        seen.append(made._suggest(str(trial))["x"])
        made.on_trial_complete(str(trial), {"score": -((seen[-1] - 3) ** 2)})
    assert min(abs(x - 3) for x in seen) < 0.1


def test_t11_3_the_utility_must_be_given() -> None:
    with pytest.raises(AssertionError, match="utility_kwargs must say how"):
        class_of("BayesOpt")({"x": (0, 1)})


def test_trials_that_run_at_the_same_time_differ() -> None:
    made: Any = make("BayesOpt", space={"x": tune.uniform(0, 10)}, max_concurrent=5)
    for loss in (1.0, 3.0, 2.0):
        made._suggest("t")
        made.on_trial_complete("t", {"loss": loss})
    points = sorted(made._suggest(str(number))["x"] for number in range(4))
    assert all(after - before > 0.1 for before, after in zip(points, points[1:], strict=False))


def test_ranges_are_searched_as_numbers() -> None:
    """A point of the library's, and what it stands for, at the ends of the bounds too."""
    space = {
        "rate": tune.loguniform(1e-4, 1.0),
        "size": tune.randint(2, 4),
        "kind": tune.choice(["a", "b"]),
    }
    made: Any = make("BayesOpt", space=space)
    low, high = ({name: bounds[end] for name, bounds in made._bounds.items()} for end in (0, 1))
    assert made._config(low) == {"rate": pytest.approx(1e-4), "size": 2, "kind": "a"}
    assert made._config(high) == {"rate": 1.0, "size": 3, "kind": "b"}
    middle = made._config({name: (low[name] + high[name]) / 2 for name in low})
    assert middle == {"rate": pytest.approx(1e-2), "size": 3, "kind": "b"}
