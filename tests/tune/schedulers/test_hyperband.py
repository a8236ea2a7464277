"""HyperBand (T10.5)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rltune.tune.schedulers import HyperBandScheduler
from rltune.tune.schedulers.hyperband_bracket import Bracket
from tests.tune.schedulers.results import added
from tests.tune.scripted import Scripted, make_scripted, run_scripted


def by_index(config: dict[str, Any], iteration: int) -> dict[str, Any]:
    """Of two trials the later one is better."""
    return {"episode_reward_mean": config["index"]}


def ends(runner: Any) -> list[int]:
    return [trial.last_result["training_iteration"] for trial in runner.get_trials()]


def brackets(scheduler: HyperBandScheduler) -> list[Bracket]:
    return scheduler._brackets


def test_t10_5_brackets_of_a_band() -> None:
    scheduler = HyperBandScheduler()
    added(scheduler, 5 + 8 + 15 + 34 + 81 + 1)
    shapes = [(b.size, b.milestone, b.halvings, len(b.live)) for b in brackets(scheduler)]
    assert shapes == [
        (5, 81, 0, 5),
        (8, 27, 1, 8),
        (15, 9, 2, 15),
        (34, 3, 3, 34),
        (81, 1, 4, 81),
        (5, 81, 0, 1),  # another band
    ]
    assert scheduler.state() == {"num_brackets": 6, "num_stopped": 0}
    assert scheduler.debug_string().count("Round #") == 2
    assert "Bracket(Max Size (n)=8, Milestone (r)=27, completed=0.0%): 8 live" in (
        scheduler.debug_string()
    )


def test_t10_5_a_bracket_whose_milestone_would_be_0_is_left_out() -> None:
    scheduler = HyperBandScheduler(max_t=10)
    added(scheduler, 5 + 8 + 15 + 1)
    assert [b.milestone for b in brackets(scheduler)] == [10, 3, 1, 10]
    with pytest.raises(AssertionError, match="max_t"):
        HyperBandScheduler(max_t=0)


@pytest.mark.parametrize(
    ("first", "halvings", "max_t", "milestones", "sizes"),
    [
        (81, 0, 81, [81], [5]),
        (27, 1, 81, [27, 81], [8, 3]),
        (9, 2, 81, [9, 36, 81], [15, 5, 2]),
        (3, 3, 81, [3, 12, 39, 81], [34, 12, 4, 2]),
        (1, 4, 81, [1, 4, 13, 40, 81], [81, 27, 9, 3, 1]),
        (1, 2, 10, [1, 4, 10], [15, 5, 2]),
    ],
)
def test_t10_5_milestones(
    first: int, halvings: int, max_t: int, milestones: list[int], sizes: list[int]
) -> None:
    bracket = Bracket(sizes[0], first, max_t, halvings)
    found = [(bracket.milestone, bracket.size)]
    while bracket.halvings:
        bracket.halve()
        found.append((bracket.milestone, bracket.size))
    assert found == list(zip(milestones, sizes, strict=True))


def test_t10_5_the_best_third_goes_on() -> None:
    """13 trials fill the brackets of 5 and of 8."""
    scheduler = HyperBandScheduler(max_t=9)
    runner = run_scripted(scheduler, by_index, n=13, slots=3)
    assert ends(runner) == [9] * 5 + [3] * 5 + [9] * 3
    assert scheduler.state() == {"num_brackets": 2, "num_stopped": 5}
    assert {trial.status for trial in runner.get_trials()} == {"TERMINATED"}


def test_t10_5_in_mode_min() -> None:
    runner = run_scripted(HyperBandScheduler(max_t=9, mode="min"), by_index, n=13, slots=3)
    assert ends(runner) == [9] * 8 + [3] * 5


def test_t10_5_nan_is_the_worst() -> None:
    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {"episode_reward_mean": math.nan if config["index"] > 9 else config["index"]}

    runner = run_scripted(HyperBandScheduler(max_t=9), curve, n=13, slots=3)
    assert ends(runner) == [9] * 5 + [3, 3, 9, 9, 9, 3, 3, 3]


def test_t10_5_they_wait_for_the_last_one_and_the_reporter_is_not_paused() -> None:
    scheduler = HyperBandScheduler(max_t=9)
    heard: list[tuple[int, str]] = []
    decide = scheduler.on_trial_result

    def note(runner: Any, trial: Any, result: Any) -> str:
        decision = decide(runner, trial, result)
        if trial.config["index"] >= 5:
            heard.append((trial.config["index"], decision))
        return decision

    scheduler.on_trial_result = note  # type: ignore[method-assign]
    run_scripted(scheduler, by_index, n=13, slots=13)
    at_3 = heard[16:24]  # all eight report in turn
    assert at_3 == [*((index, "PAUSE") for index in range(5, 12)), (12, "CONTINUE")]


def test_t10_5_a_trial_that_ends_by_itself_leaves_and_may_release_the_others() -> None:
    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        slow = config["index"] == 12
        return {
            **by_index(config, iteration),
            "time_this_iter_s": 100.0 if slow else 1.0,
            "done": slow and iteration == 2,
        }

    runner = run_scripted(HyperBandScheduler(max_t=9), curve, n=13, slots=13)
    assert ends(runner) == [9] * 5 + [3] * 4 + [9] * 3 + [2]
    # The others waited for it at 3, no longer.
    assert runner.trial_executor.now == 200 + 6  # type: ignore[attr-defined]


def test_t10_5_a_trial_that_fails_leaves_and_may_release_the_others() -> None:
    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        if config["index"] == 12 and iteration == 2:
            raise RuntimeError("on purpose")
        return by_index(config, iteration)

    runner = run_scripted(HyperBandScheduler(max_t=9), curve, n=13, slots=2)
    assert ends(runner) == [9] * 5 + [3] * 4 + [9] * 3 + [1]
    assert [t.status for t in runner.get_trials()] == ["TERMINATED"] * 12 + ["ERROR"]


def test_t10_5_a_retried_trial_keeps_its_place() -> None:
    """Its other start is at the end of the queue, since its room is taken."""
    failed: list[int] = []

    class Greedy(HyperBandScheduler):
        def on_trial_error(self, trial_runner: Any, trial: Any) -> None:
            failed.append(trial.config["index"])
            super().on_trial_error(trial_runner, trial)

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        if config["index"] == 12 and iteration == 2 and not failed:
            runner.trial_executor.slots = 1  # type: ignore[attr-defined]
            raise RuntimeError("on purpose")
        return by_index(config, iteration)

    runner = make_scripted(Greedy(max_t=9), curve, n=13, slots=4, max_failures=1)
    runner.run()
    assert failed == [12]
    assert ends(runner) == [9] * 5 + [3] * 5 + [9] * 3


def test_t10_5_a_trial_that_cannot_be_paused_fails_and_blocks_nobody() -> None:
    class Unsaved(Scripted):
        curve = staticmethod(by_index)

        def _save(self, checkpoint_dir: str) -> dict[str, Any]:
            if self.config["index"] == 10:
                raise OSError("on purpose")
            return {}

    runner = run_scripted(HyperBandScheduler(max_t=9), Unsaved, n=13, slots=2)
    assert [t.status for t in runner.get_trials()].count("ERROR") == 1
    assert ends(runner) == [9] * 5 + [3] * 4 + [9, 3, 9, 9]


def test_t10_5_who_is_out_stays_out() -> None:
    """A trial that reports again, since its end was not carried out before a kill."""

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {"episode_reward_mean": -config["index"]}

    scheduler = HyperBandScheduler(max_t=9)
    runner = run_scripted(scheduler, curve, n=13, slots=13)
    last = runner.get_trials()[12]  # the last one at the milestone, and the worst there
    assert ends(runner)[12] == 3
    assert scheduler.on_trial_result(runner, last, {**last.last_result}) == "STOP"
    assert scheduler.state()["num_brackets"] == 2


def test_t10_5_long_strides_pass_milestones() -> None:
    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        return {**by_index(config, iteration), "t": 30 * iteration}

    scheduler = HyperBandScheduler(time_attr="t", max_t=81)
    runner = run_scripted(scheduler, curve, n=5 + 8 + 15, slots=4)
    assert ends(runner) == [3] * 5 + [1] * 5 + [3] * 3 + [1] * 10 + [2] * 3 + [3] * 2


def test_t10_5_the_least_complete_bracket_goes_first() -> None:
    started: list[int] = []

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        started.append(config["index"])
        return by_index(config, iteration)

    run_scripted(HyperBandScheduler(max_t=9), curve, n=10, slots=1)
    first, second = started.index(0), started.index(5)
    assert first == 0
    assert second == 9  # the first trial has its result at 9, the second bracket none
    assert started[12] == 6  # a bracket of 8 * 3 + 3 * 6 units is less complete than one of 5 * 9


def test_t10_5_newcomers_join_until_the_last_comparison() -> None:
    """A search algorithm that makes one trial at a time: it is compared where it comes in."""
    bracket = Bracket(8, 3, 9, halvings=1)
    for name in "abcd":
        assert bracket.has_room()
        bracket.add(name)
        bracket.note(name, 3, ord(name))
    assert bracket.all_wait()
    assert bracket.halve() == ["a"]
    del bracket.live["b"]
    assert not bracket.has_room()
    assert Bracket(5, 9, 9, halvings=0).has_room()


def test_t10_5_a_trial_that_is_stopped_from_outside_leaves() -> None:
    runner = make_scripted(HyperBandScheduler(max_t=9), by_index, n=13, slots=2)
    while not runner.get_trials() or (trial := runner.get_trials()[10]).status != "PAUSED":
        runner.step()
    runner.stop_trial(trial)
    runner.run()
    assert ends(runner) == [9] * 5 + [3] * 4 + [9, 3, 9, 9]


def test_t10_5_a_trial_that_ended_untold_is_found_dead() -> None:
    class Deaf(HyperBandScheduler):
        def on_trial_error(self, trial_runner: Any, trial: Any) -> None:
            pass

    def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
        if config["index"] == 12 and iteration == 2:
            raise RuntimeError("on purpose")
        return by_index(config, iteration)

    runner = run_scripted(Deaf(max_t=9), curve, n=13, slots=13)
    assert ends(runner) == [9] * 5 + [3] * 4 + [9] * 3 + [1]


def test_t10_5_a_held_trial_holds_up_its_bracket_and_no_other() -> None:
    scheduler = HyperBandScheduler(max_t=9)
    runner = make_scripted(scheduler, by_index, n=13, slots=2)
    while not runner.get_trials() or (held := runner.get_trials()[12]).status != "RUNNING":
        runner.step()
    runner.pause_trial(held)
    while runner.trial_executor.get_running_trials():
        runner.step()
    states = [trial.status for trial in runner.get_trials()]
    assert states == ["TERMINATED"] * 5 + ["PAUSED"] * 8
    runner.resume_trial(held)
    runner.run()
    assert ends(runner) == [9] * 5 + [3] * 5 + [9] * 3
