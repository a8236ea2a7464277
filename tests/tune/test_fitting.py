"""Trials that never fit, and trials that wait for what others hold."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from rltune import tune
from rltune.resources import Resources
from rltune.tune.fitting import busy_text, why_never
from rltune.tune.ray_trial_executor import BUSY_PERIOD_S, RayTrialExecutor
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter

NODES = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 4.0}]


@pytest.mark.parametrize(
    ("needed", "may_grow", "words"),
    [
        ({"CPU": 7}, False, ["7 CPU of 6", "cpu or extra_cpu"]),
        ({"GPU": 2}, False, ["2 GPU of 1", "gpu or extra_gpu"]),
        ({"GPU": 2}, True, None),
        ({"hi": 1}, True, ["1 hi of 0", "custom_resources"]),
        ({"CPU": 5}, False, ["no single node has 5 CPU"]),
        ({"CPU": 3, "GPU": 1}, False, ["no single node has 3 CPU, 1 GPU"]),
        ({"CPU": 4}, False, None),
    ],
)
def test_what_never_fits(needed: Any, may_grow: bool, words: list[str] | None) -> None:
    why = why_never(needed, [needed], NODES, may_grow)
    if words is None:
        assert why is None
    else:
        assert why is not None and all(word in why for word in words)


def test_several_processes_may_be_on_several_nodes() -> None:
    assert why_never({"CPU": 6}, [{"CPU": 2}, {"CPU": 4}], NODES, False) is None


def test_who_holds_what_is_busy() -> None:
    tune.register_trainable("counter", Counter)
    holder = Trial("counter", experiment_tag="1", resources=Resources(3, 0))
    waiting = Trial("counter", experiment_tag="2", resources=Resources(2, 0))
    text = busy_text([waiting], [holder], {"CPU": 6}, {"CPU": 1})
    assert text.startswith("Waiting for resources: counter_2. ")
    assert "CPU: 1 of 6 free, held by counter_1 (3), others than this run (2)." in text


def test_a_notice_names_a_few_trials_and_the_number_of_the_others() -> None:
    tune.register_trainable("counter", Counter)
    trials = [Trial("counter", experiment_tag=str(i)) for i in range(20)]
    text = busy_text(trials[7:], trials[:7], {"CPU": 8}, {"CPU": 0})
    first = ", ".join(f"counter_{i}" for i in range(7, 12))
    assert text.startswith(f"Waiting for resources: {first}, 8 more. ")
    holders = ", ".join(f"counter_{i} (1)" for i in range(5))
    assert text.endswith(f"held by {holders}, 2 more, others than this run (1).")


class TestOnRay:
    pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

    def test_a_trial_that_never_fits_ends_a_run_in_which_others_train(self) -> None:
        class Sized(Counter):
            @classmethod
            def default_resource_request(cls, config: dict[str, Any]) -> Resources:
                return Resources(config["cpu"], 0)

        config = {"cpu": tune.grid_search([1, 100])}
        with pytest.raises(tune.TuneError, match="100 CPU of 4"):
            tune.run(Sized, config=config, stop={"count": 10**9}, verbose=0)

    def test_a_trial_that_waits_for_another_driver_says_so_once_a_minute(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        import ray

        @ray.remote(num_cpus=4)
        class Foreign:
            def ping(self) -> None:
                pass

        foreign = Foreign.remote()
        ray.get(foreign.ping.remote())
        now = [0.0]

        def clock() -> float:
            """A minute passes between two looks at it, until there has been a notice."""
            now[0] += BUSY_PERIOD_S
            if "Waiting for resources" in caplog.text:
                ray.kill(foreign)
                now[0] -= BUSY_PERIOD_S
            return now[0]

        with caplog.at_level(logging.WARNING):
            executor = RayTrialExecutor(clock=clock)
            [trial] = tune.run(
                Counter,
                stop={"count": 1},
                trial_executor=executor,
                scheduler=FIFOScheduler(),
                verbose=0,
            )
        assert trial.status == Trial.TERMINATED
        assert caplog.text.count("Waiting for resources") == 1
        assert "others than this run (4)" in caplog.text

    def test_t3_5_a_trial_that_is_not_started_yet_says_who_holds_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = [0.0]

        def clock() -> float:
            """A minute passes within a few looks after the start, and no second one."""
            now[0] = min(now[0] + 20, BUSY_PERIOD_S + 20.5)
            return now[0]

        trials = tune.run(
            Counter,
            num_samples=2,
            stop={"count": 60},
            resources_per_trial={"cpu": 3},
            trial_executor=RayTrialExecutor(clock=clock),
            trial_name_creator=lambda trial: f"number {trial.experiment_tag}",
            verbose=0,
        )
        assert len(trials) == 2
        assert caplog.text.count("Waiting") == 1
        assert ": number 1. CPU: 1 of 4 free, held by number 0 (3)." in caplog.text
