"""FIFO (T10.2)."""

from __future__ import annotations

from typing import Any

from rltune.tune.schedulers import FIFOScheduler
from tests.tune.scripted import make_scripted, run_scripted


def test_t10_2_in_order_and_to_the_end() -> None:
    """Whatever they report."""
    started: list[int] = []

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        started.append(config["index"])
        return {"episode_reward_mean": -1e9 if config["index"] else float("nan")}

    runner = run_scripted(FIFOScheduler(), curve, n=4, slots=1, stop={"training_iteration": 3})
    assert started == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert runner.scheduler_alg.debug_string() == "Using FIFO scheduling algorithm."


def test_t10_2_pending_ones_first_then_paused_ones_each_in_order() -> None:
    class Pausing(FIFOScheduler):
        def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
            order.append((trial.config["index"], result["training_iteration"]))
            return self.PAUSE if result["training_iteration"] == 1 else self.CONTINUE

    order: list[tuple[int, int]] = []
    scheduler = Pausing()
    runner = make_scripted(scheduler, lambda *_: {}, n=3, slots=1, stop={"training_iteration": 3})
    runner.step()  # the first trial reports and is paused
    assert scheduler.choose_trial_to_run(runner) is runner.get_trials()[1]
    assert scheduler.choose_trial_to_run(runner) is runner.get_trials()[1]  # asking changes nothing
    runner.run()
    assert order == [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]


def test_t10_2_one_that_does_not_fit_holds_up_nobody() -> None:
    runner = make_scripted(FIFOScheduler(), lambda *_: {}, n=3, slots=3)
    for trial in runner.search_alg.next_trials():
        runner.add_trial(trial)
    first, second, third = runner.get_trials()
    first.resources = first.resources._replace(cpu=8)
    runner._requests.add(str(first.resources))
    executor = runner.trial_executor
    executor.has_resources = lambda resources: resources.cpu < 8  # type: ignore[method-assign]
    assert runner.scheduler_alg.choose_trial_to_run(runner) is second
    executor.set_status(second, "PAUSED")
    assert runner.scheduler_alg.choose_trial_to_run(runner) is third
    executor.set_status(third, "TERMINATED")
    assert runner.scheduler_alg.choose_trial_to_run(runner) is second
