"""Bracket: trials that run to a milestone, where the worst of them end, then to the next one."""

from __future__ import annotations

import math
from typing import Any

from rltune.tune.schedulers.objective import score_from_json, score_to_json
from rltune.tune.schedulers.population import WORST

ETA = 3
"""Of the trials at a milestone one in so many goes on, so many times as long."""


class Bracket:
    """Knows its live trials by id, with time and score of their last result.

    Args:
        size: how many trials it takes.
        first: time of the first milestone.
        max_t: time of the last one.
        halvings: how many milestones are before the last one.
    """

    def __init__(self, size: int, first: int, max_t: float, halvings: int):
        self.size = size
        self.milestone = self._increment = first
        self.halvings = halvings
        self._max_t = max_t
        self._is_last = halvings == 0
        self.live: dict[str, tuple[float, float]] = {}
        self._progress = 0.0
        self._work = self._total_work()

    def has_room(self) -> bool:
        """Whether it takes another trial, which then runs to the present milestone. None comes in
        after the last comparison: it would be compared with nobody.
        """
        return len(self.live) < self.size and (self.halvings > 0 or self._is_last)

    def add(self, trial_id: str) -> None:
        self.live[trial_id] = (0.0, WORST)

    def note(self, trial_id: str, time: float, score: float) -> None:
        """The trial's newest result."""
        self._progress += time - self.live[trial_id][0]
        self.live[trial_id] = (time, score)

    def goes_on(self, trial_id: str) -> bool:
        """Whether the trial has not reached the milestone yet."""
        return self.live[trial_id][0] < self.milestone

    def all_wait(self) -> bool:
        """Whether every live trial has reached the milestone."""
        return not any(map(self.goes_on, self.live))

    def halve(self) -> list[str]:
        """Keeps the best third of the size, and sets the next milestone. Returns who is out; of equal
        trials those who came first.
        """
        self.halvings -= 1
        self.size = math.ceil(self.size / ETA)
        self._set_next_milestone()
        ranked = sorted(self.live, key=lambda trial_id: self.live[trial_id][1])
        out = ranked[: max(0, len(ranked) - self.size)]
        for trial_id in out:
            del self.live[trial_id]
        return out

    def completion(self) -> float:
        """Which part of its work is done, from 0 to 1."""
        if self.halvings == 0 and self.all_wait():
            return 1.0
        return min(self._progress / self._work, 1.0)

    def debug_string(self) -> str:
        return (
            f"Bracket(Max Size (n)={self.size}, Milestone (r)={self.milestone}, "
            f"completed={100 * self.completion():.1f}%): {len(self.live)} live"
        )

    def get_state(self) -> dict[str, Any]:
        names = ("size", "milestone", "halvings", "_increment", "_max_t", "_is_last")
        return {
            **{name: getattr(self, name) for name in (*names, "_progress", "_work")},
            "live": {name: [t, score_to_json(score)] for name, (t, score) in self.live.items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Bracket:
        bracket = cls.__new__(cls)
        bracket.__dict__.update(state)
        live = state["live"].items()
        bracket.live = {name: (t, score_from_json(score)) for name, (t, score) in live}
        return bracket

    def _set_next_milestone(self) -> None:
        self._increment = int(min(self._increment * ETA, self._max_t - self.milestone))
        self.milestone += self._increment

    def _total_work(self) -> float:
        """Units of time that a full bracket takes."""
        size, increment, milestone, work = self.size, self._increment, self.milestone, 0
        for _ in range(self.halvings + 1):
            work += size * increment
            size = math.ceil(size / ETA)
            increment = int(min(increment * ETA, self._max_t - milestone))
            milestone += increment
        return work
