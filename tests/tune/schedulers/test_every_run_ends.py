"""Whatever happens to trials, every run ends, and nobody waits for the dead (T10.1, T10.3 to T10.5)."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings

from rltune.tune.schedulers.hyperband_bracket import Bracket
from rltune.tune.trial_runner import TrialRunner
from tests.tune.schedulers.runs import END, Make, Trouble, ashas, hyperbands, medians, troubles

MANY = settings(max_examples=40, deadline=None)


def run(trouble: Trouble, make: Make) -> TrialRunner:
    """A standstill raises; a run without an end would run into the limit of steps."""
    runner = trouble.runner(make())
    for _ in range(trouble.n * END * (trouble.max_failures + 1) + 2):
        if runner.is_finished():
            break
        runner.step()
    assert {trial.status for trial in runner.get_trials()} <= {"TERMINATED", "ERROR"}
    return runner


@MANY
@given(trouble=troubles, make=ashas())
def test_t10_4_every_run_ends(trouble: Trouble, make: Make) -> None:
    runner = run(trouble, make)
    limit = runner.scheduler_alg._max_t  # type: ignore[attr-defined]
    for trial in runner.get_trials():
        if trial.last_result:
            assert trial.last_result["t"] < limit + trouble.stride


@MANY
@given(trouble=troubles, make=hyperbands())
def test_t10_5_every_run_ends(trouble: Trouble, make: Make) -> None:
    runner = run(trouble, make)
    assert not any(bracket.live for bracket in runner.scheduler_alg._brackets)  # type: ignore[attr-defined]


@MANY
@given(trouble=troubles, make=medians())
def test_t10_3_every_run_ends(trouble: Trouble, make: Make) -> None:
    run(trouble, make)


class Watched(Bracket):
    """Checks every comparison."""

    def halve(self) -> list[str]:
        before, size, milestone = dict(self.live), self.size, self.milestone
        out = super().halve()
        assert all(time >= milestone for time, _ in before.values())
        assert len(self.live) == min(len(before), math.ceil(size / 3))
        worst = min(self.live[name][1] for name in self.live)
        assert all(before[name][1] <= worst for name in out)
        return out


@MANY
@given(trouble=troubles, make=hyperbands())
def test_t10_5_a_milestone_lets_the_best_third_pass(trouble: Trouble, make: Make) -> None:
    scheduler: Any = make()
    scheduler.bracket_class = Watched
    run(trouble, lambda: scheduler)
