"""The scripted executor itself: its order of events, which other tests rely on."""

from __future__ import annotations

from typing import Any

from rltune.tune.schedulers import FIFOScheduler
from tests.tune.scripted import ScriptedExecutor, make_scripted, run_scripted


class Notes(FIFOScheduler):
    """Notes who reports when, and pauses at the iterations it is told."""

    def __init__(self, *pause_at: int) -> None:
        self.pause_at = pause_at
        self.heard: list[tuple[float, int, int]] = []

    def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
        iteration = result["training_iteration"]
        now = trial_runner.trial_executor.now
        self.heard.append((now, trial.config["index"], iteration))
        return self.PAUSE if iteration in self.pause_at else self.CONTINUE


def lasting(*durations: float) -> Any:
    return lambda config, iteration: {"time_this_iter_s": durations[config["index"]]}


def test_the_shortest_iteration_reports_first_and_ties_go_by_order() -> None:
    scheduler = Notes()
    run_scripted(scheduler, lasting(3, 1, 1), n=3, slots=3, stop={"training_iteration": 4})
    assert scheduler.heard == [
        (1, 1, 1),
        (1, 2, 1),
        (2, 1, 2),
        (2, 2, 2),
        (3, 0, 1),  # created first
        (3, 1, 3),
        (3, 2, 3),
        (6, 0, 2),
        (9, 0, 3),
    ]


def test_slots_are_the_limit_and_paused_trials_go_on_where_they_were() -> None:
    scheduler = Notes(1)
    runner = run_scripted(scheduler, lasting(1, 1, 1), n=3, slots=1, stop={"training_iteration": 3})
    assert [(index, iteration) for _, index, iteration in scheduler.heard] == [
        (0, 1),
        (1, 1),
        (2, 1),
        (0, 2),
        (1, 2),
        (2, 2),
    ]
    assert [t.last_result["time_total_s"] for t in runner.get_trials()] == [3, 3, 3]
    assert runner.trial_executor.now == 9


def test_a_curve_that_raises_is_a_failure_which_takes_time() -> None:
    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        if config["index"] == 0 and iteration == 2:
            raise RuntimeError("on purpose")
        return {}

    runner = run_scripted(None, curve, n=2, slots=1, stop={"training_iteration": 2})
    assert [trial.status for trial in runner.get_trials()] == ["ERROR", "TERMINATED"]
    assert runner.trial_executor.now == 4


def test_a_resumed_run_has_the_same_trials(tmp_path: Any) -> None:
    def begin(resume: bool) -> Any:
        return make_scripted(
            None,
            lasting(1, 2),
            n=2,
            stop={"training_iteration": 5},
            directory=tmp_path,
            checkpoint_freq=1,
            resume=resume,
        )

    first = begin(resume=False)
    for _ in range(4):
        first.step()
    first.checkpoint(force=True)
    assert first.state is not None
    first.state.close()
    second = begin(resume=True)
    assert isinstance(second.trial_executor, ScriptedExecutor)
    second.run()
    ids = [[trial.trial_id for trial in runner.get_trials()] for runner in (first, second)]
    assert ids[0] == ids[1]
    assert [t.last_result["training_iteration"] for t in second.get_trials()] == [5, 5]
    assert [t.last_result["time_total_s"] for t in second.get_trials()] == [5, 10]
