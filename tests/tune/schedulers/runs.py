"""Runs in which much goes wrong, made from a seed, and schedulers for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from rltune.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)
from rltune.tune.trial_runner import TrialRunner
from tests.tune.scripted import Curve, Scripted, make_scripted

Make = Callable[[], TrialScheduler]

END = 60  # at this time every trial has done what it wants


@dataclass
class Trouble:
    """A run of `n` trials whose time `t` jumps by up to `stride`, in which iterations last unequally, values
    are missing, and an iteration or a save fails, or ends its trial, with these probabilities.
    """

    seed: int
    n: int
    slots: int
    stride: int = 1
    fails: float = 0.0
    fails_to_save: float = 0.0
    ends: float = 0.0
    max_failures: int = 0
    _failed: set[tuple[Any, ...]] = field(default_factory=set)

    def runner(self, scheduler: TrialScheduler) -> TrialRunner:
        """A run of it that has not begun. Its failures happen once more."""
        self._failed.clear()
        return make_scripted(
            scheduler,
            self._trainable(),
            n=self.n,
            slots=self.slots,
            stop={"t": END},
            max_failures=self.max_failures,
        )

    def curve(self, config: dict[str, Any], iteration: int) -> dict[str, Any]:
        index = config["index"]
        if self._happens("fails", self.fails, index, iteration):
            raise RuntimeError("on purpose")
        draw = self._random("value", index, iteration)
        strides = (self._random("t", index, i) for i in range(iteration))
        return {
            "t": sum(each.randint(1, self.stride) for each in strides),
            "score": float("nan") if draw.random() < 0.05 else draw.random() + index % 7,
            "time_this_iter_s": 0.5 + draw.random(),
            "done": draw.random() < self.ends,
        }

    def _trainable(self) -> type[Scripted]:
        trouble = self

        class Troubled(Scripted):
            curve: Curve = staticmethod(trouble.curve)

            def _save(self, checkpoint_dir: str) -> dict[str, Any]:
                index = self.config["index"]
                if trouble._happens("save", trouble.fails_to_save, index, self.iteration):
                    raise OSError("on purpose")
                return {}

        return Troubled

    def _random(self, *what: Any) -> random.Random:
        return random.Random(f"{self.seed}/{what}")

    def _happens(self, what: str, probability: float, index: int, iteration: int) -> bool:
        """A failure; half of them happen once, the others whenever it comes there."""
        draw = self._random(what, index, iteration)
        if draw.random() >= probability:
            return False
        once = draw.random() < 0.5
        again = (what, index, iteration) in self._failed
        self._failed.add((what, index, iteration))
        return not (once and again)


troubles = st.builds(
    Trouble,
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40) | st.integers(14, 40),
    slots=st.integers(1, 6),
    stride=st.integers(1, 20),
    fails=st.sampled_from([0.0, 0.02, 0.2]),
    fails_to_save=st.sampled_from([0.0, 0.1]),
    ends=st.sampled_from([0.0, 0.05]),
    max_failures=st.integers(0, 2),
)


@st.composite
def ashas(draw: st.DrawFn) -> Make:
    max_t = draw(st.integers(1, 50))
    arguments = {
        "max_t": max_t,
        "grace_period": draw(st.integers(1, max_t)),
        "reduction_factor": draw(st.floats(1.2, 5)),
        "brackets": draw(st.integers(1, 4)),
        "mode": draw(st.sampled_from(["min", "max"])),
        "seed": draw(st.integers(0, 9)),
    }
    return lambda: AsyncHyperBandScheduler("t", metric="score", **arguments)  # type: ignore[arg-type]


@st.composite
def hyperbands(draw: st.DrawFn) -> Make:
    max_t = draw(st.sampled_from([3, 9, 27]) | st.integers(1, 50))
    mode = draw(st.sampled_from(["min", "max"]))
    return lambda: HyperBandScheduler("t", metric="score", max_t=max_t, mode=mode)


@st.composite
def medians(draw: st.DrawFn) -> Make:
    arguments = {
        "grace_period": draw(st.integers(0, 50)),
        "min_samples_required": draw(st.integers(1, 4)),
        "hard_stop": draw(st.booleans()),
    }
    return lambda: MedianStoppingRule("t", metric="score", **arguments)  # type: ignore[arg-type]


schedulers = st.one_of(ashas(), hyperbands(), medians())
