"""What a run prints, and when (T5.3, T5.6)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from rltune import tune
from rltune.tune.console import Console
from rltune.tune.local_trial_executor import LocalTrialExecutor
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter

run = partial(tune.run, trial_executor="local")


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_t5_6_verbosity(verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    run(Counter, stop={"count": 3}, verbose=verbose)
    out = capsys.readouterr().out
    assert out.count("== Status ==") == (2 if verbose else 0)  # the first and the last
    assert ("Result for Counter_0:" in out) == (verbose == 2)
    if verbose == 2:  # the first result, and the last
        assert [n for n in (1, 2, 3) if f"  count: {n}\n" in out] == [1, 3]


def test_t5_6_the_last_result_of_a_function_is_shown_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def report(config: dict[str, Any], reporter: Any) -> None:
        for i in range(config["n"]):
            reporter(value=i)

    for n in (1, 3):
        run(report, config={"n": n})
        assert capsys.readouterr().out.count("Result for") == min(n, 2)


def test_t5_3_a_block_in_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    tune.register_trainable("Counter", Counter)
    now = 100.0
    console = Console(1, clock=lambda: now)
    trials = [Trial("Counter", experiment_tag=str(i)) for i in range(30)]

    def lines(last: bool = False) -> int:
        console.status(trials, FIFOScheduler(), LocalTrialExecutor(), last)
        return capsys.readouterr().out.count(" - Counter")

    assert lines() == 30
    now += 4.9
    assert lines() == 0
    now += 0.1
    assert lines() == 20
    assert lines(last=True) == 30
