"""HyperOptSearch in 0.7's signature (T11.3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tune.scripted import make_scripted
from tests.tune.suggest.libraries import class_of, make, needs

pytestmark = needs("HyperOpt")


def search(space: Any, *args: Any, **kwargs: Any) -> Any:
    return class_of("HyperOpt")(space, *args, **kwargs)


def branches() -> dict[str, Any]:
    from hyperopt import hp

    return {
        "net": hp.choice("net", [{"kind": "small"}, {"kind": "big", "size": hp.randint("size", 5, 9)}]),
        "lr": hp.loguniform("lr", -10, 0),
    }  # fmt: skip


def test_t11_3_check_thirty_samples_find_the_least_of_a_parabola() -> None:
    """And no more than `max_concurrent` are ever unfinished."""
    from hyperopt import hp

    made = search({"x": hp.uniform("x", -10, 10)}, 4, None, "score", "min", None, 1)
    most: list[int] = []

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        most.append(sum(not trial.is_finished() for trial in runner.get_trials()))
        return {"score": (config["x"] - 3) ** 2}

    runner = make_scripted(
        None, curve, n=30, slots=8, search_alg=made, stop={"training_iteration": 1}
    )
    runner.run()
    trials = runner.get_trials()
    assert len(trials) == 30 and max(most) == 4
    assert min(abs(trial.config["x"] - 3) for trial in trials) < 1


def test_a_space_with_branches() -> None:
    """A branch that is not taken has no values, also after a resume."""
    made = search(branches(), max_concurrent=100, seed=1)
    configs = [made._suggest(str(number)) for number in range(40)]
    nets = [config["net"] for config in configs]
    assert {"kind": "small"} in nets
    assert all(net["kind"] == "small" or 5 <= net["size"] < 9 for net in nets)
    for number, net in enumerate(nets):
        reward = float(net.get("size", 0))
        made.on_trial_complete(str(number), {"episode_reward_mean": reward})
    resumed = search(branches(), max_concurrent=100)
    resumed.set_state(made.get_state())
    more = [made._suggest(f"a{number}") for number in range(20)]
    assert [resumed._suggest(f"b{number}") for number in range(20)] == more
    assert sum(config["net"]["kind"] == "big" for config in more) > 10


def test_t11_3_points_to_evaluate_are_first_with_choices_by_index() -> None:
    points = [{"net": 1, "size": 6, "lr": 0.5}, {"net": 0, "lr": 0.25}]
    made = search(branches(), points_to_evaluate=points)
    assert made._suggest("a") == {"net": {"kind": "big", "size": 6}, "lr": 0.5}
    assert made._suggest("b") == {"net": {"kind": "small"}, "lr": 0.25}
    assert made._suggest("c")["lr"] not in (0.5, 0.25)


def test_points_to_evaluate_of_ranges_are_configs() -> None:
    made = make("HyperOpt", points_to_evaluate=[{"x": 1.0, "kind": [1, 2]}])
    config = made._suggest("a")
    assert config is not None and config["x"] == 1.0 and config["kind"] == [1, 2]
    assert set(config["inner"]) == {"rate", "size"}  # drawn


def test_a_trial_in_error_is_left_out_and_one_stopped_early_counts() -> None:
    import hyperopt

    made = make("HyperOpt")
    for trial_id in "abc":
        made._suggest(trial_id)
    made.on_trial_complete("a", error=True)
    made.on_trial_result("b", {"loss": 4.0})
    made.on_trial_complete("b", early_terminated=True)
    _, done, live = made._trials._dynamic_trials  # type: ignore[attr-defined]
    assert [t["tid"] for t in made._trials.trials] == [1, 2]  # type: ignore[attr-defined]
    assert done["result"] == {"loss": 4.0, "status": hyperopt.STATUS_OK}
    assert live["state"] == hyperopt.JOB_STATE_NEW


def test_t11_3_the_old_name_of_the_metric(caplog: pytest.LogCaptureFixture) -> None:
    made = search(branches(), reward_attr="mean_accuracy", mode="min")
    assert (made.metric, made.mode) == ("mean_accuracy", "max")
    assert "reward_attr is old: use metric='mean_accuracy', mode='max'" in caplog.text
