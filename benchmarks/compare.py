"""rltune, its peers and the bare work on the same case, in turn, process by process."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass, replace

from benchmarks import sides
from benchmarks.case import Case
from benchmarks.process import BenchmarkError, Run

OURS, BARE, NONE = "rltune", "bare", "-"
SPEED_S = 4.0  # how long the longer speed run trains beyond the shorter

HIGHER_IS_BETTER = {
    "env_steps_per_s": True,
    "first_result_s": False,
    "first_result_cold_s": False,
    "reward_s": False,
    "reward_steps": False,
}
"""Measure -> whether more is better.

env_steps_per_s: extra steps of the long run over its extra seconds, so that start-up cancels.
first_result_s, reward_s: from process start until the first result, or the reward, is readable.
first_result_cold_s: the same without programs that an earlier run has compiled.
reward_steps: env steps until the reward; equal learning, or speed was bought with it.
"""

Values = dict[str, float | None]
"""Measure -> what one repeat of one side gave. None: the reward was not reached."""


@dataclass(frozen=True)
class Comparison:
    """One measure of one case and peer (`-`: none): a value per repeat. The bare work has what it can."""

    measure: str
    peer: str
    ours: list[float | None]
    theirs: list[float | None]
    bare: list[float | None]

    def ratio(self) -> float | None:
        """How many times better rltune's median is than the peer's; None if either has none."""
        return times_better(self.measure, self.ours, self.theirs)

    def of_limit(self) -> float | None:
        """The part of the bare work's speed that is reached, at best 1; None if it has none."""
        return times_better(self.measure, self.ours, self.bare)


def times_better(
    measure: str, ours: list[float | None], theirs: list[float | None]
) -> float | None:
    mine, other = median(ours), median(theirs)
    if mine is None or other is None:
        return None
    return mine / other if HIGHER_IS_BETTER[measure] else other / mine


def median(values: list[float | None]) -> float | None:
    """The median, a None counting as worse than every number; None if it falls on one, or of none."""
    if not values:
        return None
    middle = statistics.median_high(math.inf if value is None else value for value in values)
    if middle == math.inf:
        return None
    return statistics.median(math.inf if value is None else value for value in values)


class Side:
    """One of those that are compared, on one case."""

    def __init__(self, name: str, command: sides.Command, case: Case, threads: int) -> None:
        self.name = name
        self._command, self._case, self._threads = command, case, threads
        self._long = case.short

    def values(self, seed: int) -> Values:
        """All that this side is measured by. `warm_up` comes first."""
        short = self._train(self._case.short, seed)
        values: Values = {"first_result_s": short.points[0].seconds}
        if self.name == OURS:
            cold = self._train(1, seed, cold=True)
            values["first_result_cold_s"] = cold.points[0].seconds
        elif self.name != BARE:  # a peer keeps nothing that could be missing
            values["first_result_cold_s"] = values["first_result_s"]
        if self._case.equal:
            values["env_steps_per_s"] = rate(short, self._train(self._long, seed))
        if self._case.reward is not None and self.name != BARE:
            whole = sides.train(self._command, self._case, seed, self._threads)
            reached = whole.reached(self._case.reward)
            values["reward_s"] = reached.seconds if reached else None
            values["reward_steps"] = reached.steps if reached else None
        return values

    def warm_up(self) -> None:
        """Fills the caches, and finds how many steps make the longer speed run long enough."""
        steps = self._case.short
        while True:
            first, *_, last = self._train(steps, seed=0).points
            if not self._case.equal or last.seconds - first.seconds >= SPEED_S / 4:
                break
            steps *= 4
        if self._case.equal:
            per_second = (last.steps - first.steps) / (last.seconds - first.seconds)
            self._long = self._case.short + round(per_second * SPEED_S)

    def _train(self, budget: int, seed: int, cold: bool = False) -> Run:
        """A run of so many steps, whatever the reward."""
        case = replace(self._case, budget=budget, reward=None)
        return sides.train(self._command, case, seed, self._threads, cold)


def rate(short: Run, long: Run) -> float:
    """Env steps per second, of two runs that differ in length. Raises BenchmarkError if they do not."""
    steps = long.points[-1].steps - short.points[-1].steps
    seconds = long.seconds - short.seconds
    if steps <= 0 or seconds <= 0:
        raise BenchmarkError(
            f"{steps} more steps in {seconds:.3f} more seconds: nothing to measure"
        )
    return steps / seconds


def compare(case: Case, peers: list[str], threads: int, repeats: int) -> list[Comparison]:
    """All measures of a case with every peer. Which side begins goes round from repeat to repeat."""
    commands = {
        OURS: sides.ours,
        BARE: sides.bare(threads),
        **{peer: sides.theirs(peer, threads) for peer in peers},
    }
    measured = [Side(name, command, case, threads) for name, command in commands.items()]
    values: dict[str, list[Values]] = {side.name: [] for side in measured}
    for side in measured:
        side.warm_up()
    for repeat in range(repeats):
        first = repeat % len(measured)
        for side in measured[first:] + measured[:first]:
            values[side.name].append(side.values(seed=repeat + 1))
        last = {name: rows[-1] for name, rows in values.items()}
        print(f"{case.name} {repeat + 1}/{repeats}: {last}", file=sys.stderr)
    return comparisons(values)


def comparisons(values: dict[str, list[Values]]) -> list[Comparison]:
    """From the values of each side and repeat: one comparison per measure and peer, or one with
    the bare work alone.
    """
    peers = [name for name in values if name not in (OURS, BARE)]

    def column(side: str, measure: str) -> list[float | None]:
        return [row[measure] for row in values.get(side, []) if measure in row]

    return [
        Comparison(name, peer, column(OURS, name), column(peer, name), column(BARE, name))
        for name in HIGHER_IS_BETTER
        if column(OURS, name)
        for peer in peers or [NONE]
    ]
