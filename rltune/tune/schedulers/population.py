"""The members of a PBT run, and which of them are the best and the worst."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

WORST = -math.inf


@dataclass
class Member:
    """What PBT knows of a trial. Times are values of PBT's `time_attr`."""

    order: int  # how many were added before it
    tag: str  # its tag before all exploits
    alive: bool = True
    score: float | None = None  # higher is better; None: it was not compared yet
    time: float = 0.0  # when it was last compared
    turn: int = 0  # which comparison of all that was, from 1
    iteration: int = 0  # the same, as training_iteration
    remembered: bool = False  # whether its state of that time is kept for others
    copies: int = 0  # how often it went on from another's state
    first: dict[str, Any] = field(default_factory=dict)  # what it began with of what is mutated

    def to_json(self) -> dict[str, Any]:
        """The worst score is a text, which strict JSON can hold."""
        return {**asdict(self), "score": str(WORST) if self.score == WORST else self.score}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Member:
        score = fields["score"]
        return cls(**{**fields, "score": None if score is None else float(score)})


def score_of(value: float, mode: str) -> float:
    """Higher is better; a value that is not finite is the worst."""
    if not math.isfinite(value):
        return WORST
    return -value if mode == "min" else value


def size_of_quantile(number: int, fraction: float) -> int:
    """How many of `number` members are the best, and as many others the worst."""
    return min(math.ceil(number * fraction), number // 2)


def worst_and_best(members: Mapping[str, Member], size: int) -> tuple[list[str], list[str]]:
    """The ids of the `size` members with the lowest scores and of those with the highest, in
    ascending order; of equal scores, that of the member added later counts as higher. Whoever has
    the worst score there can be is not one of the best.
    """
    if size == 0:
        return [], []
    ranked = sorted(members, key=lambda id_: (members[id_].score, members[id_].order))
    best = [id_ for id_ in ranked[-size:] if members[id_].score != WORST]
    return ranked[:size], best
