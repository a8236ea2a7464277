"""One side of `benchmarks.halving`: trials with given curves under a scheduler of rltune or ray.tune.

Takes one JSON argument: `side` (rltune, ray) and `tasks`, a list of tasks as `simulate` takes them.
Prints a list of what each comes to, as JSON. Nothing is trained, no Ray is started: trials are
played in virtual time. It runs in the peer's environment too, so it imports nothing of rltune
outside that side.
"""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import dataclass
from typing import Any

CONTINUE, PAUSE, STOP = "CONTINUE", "PAUSE", "STOP"
PENDING, RUNNING, PAUSED, TERMINATED = "PENDING", "RUNNING", "PAUSED", "TERMINATED"


@dataclass(eq=False)
class PlayedTrial:
    """A trial as schedulers of both sides see it."""

    number: int
    iteration: int = 0
    end: float = 0.0  # of the iteration under way
    status: str = PENDING
    resources: None = None
    held: bool = False
    is_saving: bool = False

    @property
    def trial_id(self) -> str:
        return f"{self.number:05}"

    def is_finished(self) -> bool:
        return self.status == TERMINATED


class Curves:
    """Learning curves and durations from a seed: equal on both sides, whatever is asked first.

    Every trial rises towards a height of its own at a pace of its own, with noise. `stride`: time
    passes by up to so much per result. `diverging`: the part of them that turns into NaN.
    """

    def __init__(self, seed: int, stride: int, diverging: float):
        self._seed, self._stride, self._diverging = seed, stride, diverging

    def result(self, number: int, iteration: int) -> dict[str, float]:
        trial = random.Random(f"{self._seed}/{number}")
        height, pace = trial.random(), trial.uniform(3, 60)
        diverges_at = trial.uniform(1, 30) if trial.random() < self._diverging else math.inf
        time = sum(self._draw(number, i).randint(1, self._stride) for i in range(1, iteration + 1))
        noise = self._draw(-number, iteration).gauss(0, 0.02)
        score = height * (1 - math.exp(-time / pace)) + noise
        return {"t": time, "score": score if time < diverges_at else math.nan}

    def duration(self, number: int) -> float:
        return random.Random(f"{self._seed}/{number}/duration").uniform(0.5, 2)

    def _draw(self, number: int, iteration: int) -> random.Random:
        return random.Random(f"{self._seed}/{number}/{iteration}")


class Player:
    """What schedulers of both sides take for the runner."""

    replaying = False

    def __init__(self, scheduler: Any, n: int, slots: int, curves: Curves):
        self._scheduler, self._slots, self._curves = scheduler, slots, curves
        self._trials = [PlayedTrial(number) for number in range(n)]
        self.trial_executor = self

    def play(self) -> list[float]:
        """The time at which each trial ended. Raises RuntimeError at a standstill."""
        now = 0.0
        for trial in self._trials:
            self._scheduler.on_trial_add(self, trial)
        while not all(trial.is_finished() for trial in self._trials):
            self._start(now)
            running = [trial for trial in self._trials if trial.status == RUNNING]
            if not running:
                raise RuntimeError(f"nothing runs: {self._scheduler.debug_string()}")
            trial = min(running, key=lambda each: (each.end, each.number))
            now, trial.iteration = trial.end, trial.iteration + 1
            result = self._curves.result(trial.number, trial.iteration)
            decision = self._scheduler.on_trial_result(self, trial, result)
            trial.end = now + self._curves.duration(trial.number)
            trial.status = {CONTINUE: RUNNING, PAUSE: PAUSED, STOP: TERMINATED}[decision]
        return [self._curves.result(each.number, each.iteration)["t"] for each in self._trials]

    def _start(self, now: float) -> None:
        while self._is_free():
            trial = self._scheduler.choose_trial_to_run(self)
            if trial is None:
                return
            trial.status, trial.end = RUNNING, now + self._curves.duration(trial.number)

    def _is_free(self) -> bool:
        return sum(trial.status == RUNNING for trial in self._trials) < self._slots

    # What schedulers ask and order.

    def get_trials(self) -> list[PlayedTrial]:
        return self._trials

    def get_trial(self, trial_id: str) -> PlayedTrial:
        return self._trials[int(trial_id)]

    def startable(self, status: str) -> list[PlayedTrial]:
        return [trial for trial in self._trials if trial.status == status and self._is_free()]

    def first_that_fits(self, status: str) -> PlayedTrial | None:
        return next(iter(self.startable(status)), None)

    def stop_trial(self, trial: PlayedTrial) -> None:
        self._scheduler.on_trial_remove(self, trial)
        trial.status = TERMINATED

    def unpause_trial(self, trial: PlayedTrial) -> None:
        trial.status = PENDING


def simulate(side: str, task: dict[str, Any]) -> dict[str, Any]:
    """`ends` of the trials and, for ASHA, their `brackets`.

    A task has `scheduler` and its `arguments`, `n`, `slots`, `seed`, `stride`, `diverging` (as in
    `Curves`); `brackets` to take instead of drawing them; `milestones` ("ray": those of ray.tune).
    """
    scheduler = ours(task) if side == "rltune" else theirs(task)
    curves = Curves(task["seed"], task["stride"], task["diverging"])
    player = Player(scheduler, task["n"], task["slots"], curves)
    ends = player.play()
    brackets = None
    if side == "ray" and task["scheduler"] == "ASHA":
        where = scheduler._trial_info
        brackets = [
            scheduler._brackets.index(where[trial.trial_id]) for trial in player.get_trials()
        ]
    return {"ends": ends, "brackets": brackets}


def ours(task: dict[str, Any]) -> Any:
    from rltune.tune.schedulers import ASHAScheduler, HyperBandScheduler
    from rltune.tune.schedulers.hyperband_bracket import ETA, Bracket

    class Drawn(ASHAScheduler):
        """With the brackets of the task."""

        def _draw(self, number: int) -> int:
            return int(task["brackets"][number])

    class RayBracket(Bracket):
        """Ray's milestones: each is eta times the one before, not that much later."""

        def _set_next_milestone(self) -> None:
            self.milestone = int(min(self.milestone * ETA, self._max_t))

    class WithRayMilestones(HyperBandScheduler):
        bracket_class = RayBracket

    hyperband = WithRayMilestones if task.get("milestones") == "ray" else HyperBandScheduler
    cls = hyperband if task["scheduler"] == "HyperBand" else Drawn
    return cls("t", metric="score", mode="max", **task["arguments"])


def theirs(task: dict[str, Any]) -> Any:
    import numpy as np
    from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler

    np.random.seed(task["seed"])  # ASHA draws brackets from it
    cls = HyperBandScheduler if task["scheduler"] == "HyperBand" else ASHAScheduler
    return cls("t", metric="score", mode="max", **task["arguments"])


def main() -> None:
    order = json.loads(sys.argv[1])
    print(json.dumps([simulate(order["side"], task) for task in order["tasks"]]))


if __name__ == "__main__":
    main()
