"""AxSearch in 0.7's signature (T11.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tune.suggest.libraries import class_of, needs

pytestmark = [needs("Ax"), pytest.mark.filterwarnings("ignore")]


def client(sequential: bool = False, **experiment: Any) -> Any:
    from ax.service.ax_client import AxClient
    from ax.service.utils.instantiation import ObjectiveProperties

    made = AxClient(
        enforce_sequential_optimization=sequential, random_seed=1, verbose_logging=False
    )
    made.create_experiment(
        parameters=[{"name": "x", "type": "range", "bounds": [-10.0, 10.0]}],
        objectives={"loss": ObjectiveProperties(minimize=True)},
        **experiment,
    )
    return made


def test_t11_3_the_client_says_what_is_optimized() -> None:
    mine = client(outcome_constraints=["cost <= 3"], tracking_metric_names=["cost"])
    made = class_of("Ax")(mine, max_concurrent=3)
    assert (made.metric, made.mode) == ("loss", "min")
    for trial_id in "abc":
        made._suggest(trial_id)
    made.on_trial_complete("a", {"loss": 1.0, "cost": 2.0})
    made.on_trial_result("b", {"loss": 3.0, "cost": 1.0})
    made.on_trial_complete("b", early_terminated=True)
    made.on_trial_complete("c", error=True)
    assert [t.status.name for t in mine.experiment.trials.values()] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
    ]
    table = mine.experiment.fetch_data().df
    means = {(row.trial_index, row.metric_name): row["mean"] for _, row in table.iterrows()}
    assert means == {(0, "loss"): 1.0, (0, "cost"): 2.0, (1, "loss"): 3.0, (1, "cost"): 1.0}


def test_t11_3_sequential_means_one_at_a_time() -> None:
    made = class_of("Ax")(client(sequential=True), max_concurrent=5)
    assert made._suggest("a") and made._suggest("b") is None
    made.on_trial_complete("a", {"loss": 1.0})
    assert made._suggest("b")


def test_what_was_told_is_kept_if_the_client_does_not_repeat_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = class_of("Ax")(client(), max_concurrent=3)
    told = {}
    for trial_id in "ab":
        told[trial_id] = made._suggest(trial_id)["x"]
        made.on_trial_complete(trial_id, {"loss": told[trial_id]})
    other = client()
    other._random_seed = 7
    other.generation_strategy._nodes[0].generator_specs[0].generator_kwargs["seed"] = 7
    resumed = class_of("Ax")(other, max_concurrent=3)
    resumed.set_state(made.get_state())
    done = [t for t in other.experiment.trials.values() if t.status.name == "COMPLETED"]
    assert [t.arm.parameters["x"] for t in done] == list(told.values())
    assert "2 of 2 suggestions differ" in caplog.text
