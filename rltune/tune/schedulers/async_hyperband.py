"""AsyncHyperBandScheduler (ASHA): trials that are behind at a rung end there; nobody waits."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.objective import Objective, score_from_json, score_to_json

if TYPE_CHECKING:
    from rltune.tune.trial import Trial
    from rltune.tune.trial_runner import TrialRunner


class AsyncHyperBandScheduler(FIFOScheduler):
    """Li et al. 2018 (https://arxiv.org/abs/1810.05934), in Tune's form: a trial is judged once at
    each rung, by the scores that others had when they came there, and ends unless it is among the
    best `1 / reduction_factor`. A rung where nobody has been stops nobody.

    Args:
        time_attr: the result's field that counts as time.
        reward_attr: old form of `metric` with mode "max".
        metric: the result's field to compare by. What is not finite is the worst.
        mode: "max" or "min".
        max_t: trials end at this time.
        grace_period: no trial ends before this time.
        reduction_factor: rungs are at grace_period times its powers.
        brackets: how many; the first rung of bracket `s` is at grace_period * reduction_factor^s.
            Each trial is in one, drawn with weights e^(number of rungs).
        seed: of these draws. None: drawn.
    """

    def __init__(
        self,
        time_attr: str = "training_iteration",
        reward_attr: str | None = None,
        metric: str = "episode_reward_mean",
        mode: str = "max",
        max_t: float = 100,
        grace_period: float = 10,
        reduction_factor: float = 4,
        brackets: int = 1,
        seed: int | None = None,
    ):
        assert max_t > 0, f"max_t must be above 0, it is {max_t}."
        assert grace_period > 0, f"grace_period must be above 0, it is {grace_period}."
        assert max_t >= grace_period, (
            f"grace_period must not be above max_t: {grace_period} > {max_t}."
        )
        assert reduction_factor > 1, f"reduction_factor must be above 1, it is {reduction_factor}."
        assert brackets > 0, f"brackets must be at least 1, it is {brackets}."
        self._objective = Objective(time_attr, reward_attr, metric, mode)
        self._max_t = max_t
        self._seed = random.getrandbits(32) if seed is None else seed
        self._brackets = [
            _Bracket(grace_period, max_t, reduction_factor, s) for s in range(brackets)
        ]
        self._bracket_of: dict[str, int] = {}  # trial id -> index
        self._num_stopped = 0

    def on_trial_add(self, trial_runner: TrialRunner, trial: Trial) -> None:
        # A trial that is tried again comes twice.
        self._bracket_of.setdefault(trial.trial_id, self._draw(len(self._bracket_of)))

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        time, score = self._objective.read(result)
        if time >= self._max_t or self._is_behind(trial_runner, trial, time, score):
            self._num_stopped += 1
            return self.STOP
        return self.CONTINUE

    def on_trial_complete(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> None:
        last = self._objective.read_last(result)
        if last is not None:
            self._is_behind(trial_runner, trial, *last)

    def debug_string(self) -> str:
        lines = [bracket.debug_string() for bracket in self._brackets]
        return "\n".join([f"Using AsyncHyperBand: num_stopped={self._num_stopped}", *lines])

    def get_state(self) -> dict[str, Any]:
        return {
            "seed": self._seed,
            "num_stopped": self._num_stopped,
            "bracket_of": dict(self._bracket_of),
            "brackets": [bracket.get_state() for bracket in self._brackets],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on as the scheduler did that the state is of: with its rungs, whatever these are."""
        self._seed, self._num_stopped = state["seed"], state["num_stopped"]
        self._bracket_of = dict(state["bracket_of"])
        self._brackets = [_Bracket.from_state(each) for each in state["brackets"]]

    def _is_behind(
        self, trial_runner: TrialRunner, trial: Trial, time: float, score: float
    ) -> bool:
        if trial.trial_id not in self._bracket_of:  # it had ended, and was opened again
            self.on_trial_add(trial_runner, trial)
        bracket = self._brackets[self._bracket_of[trial.trial_id]]
        return bracket.is_behind(trial.trial_id, time, score)

    def _draw(self, number: int) -> int:
        """The bracket of the trial with this number, from 0: the same however often it is drawn."""
        weights = [math.exp(len(bracket.rungs)) for bracket in self._brackets]
        generator = random.Random(f"{self._seed}/{number}")
        return generator.choices(range(len(self._brackets)), weights)[0]


ASHAScheduler = AsyncHyperBandScheduler


class _Bracket:
    """Rungs, the highest first: when they are reached, and the scores of those who came, by id."""

    def __init__(self, grace_period: float, max_t: float, reduction_factor: float, s: int):
        number = int(math.log(max_t / grace_period) / math.log(reduction_factor) - s + 1)
        self._reduction_factor = reduction_factor
        self.rungs: list[tuple[float, dict[str, float]]] = [
            (grace_period * reduction_factor ** (k + s), {}) for k in reversed(range(number))
        ]

    def is_behind(self, trial_id: str, time: float, score: float) -> bool:
        """Whether the score is below the cut-off of the highest rung that the trial has reached and
        was not at yet, where it is now recorded.
        """
        for milestone, scores in self.rungs:
            if time >= milestone and trial_id not in scores:
                cutoff = self._cutoff(scores)
                scores[trial_id] = score
                return cutoff is not None and score < cutoff
        return False

    def _cutoff(self, scores: dict[str, float]) -> float | None:
        if not scores:
            return None
        percentile = (1 - 1 / self._reduction_factor) * 100
        with np.errstate(invalid="ignore"):  # NaN between -inf and a number: nobody is below it
            return float(np.percentile(list(scores.values()), percentile))

    def debug_string(self) -> str:
        cutoffs = [f"Iter {when:.3f}: {self._cutoff(scores)}" for when, scores in self.rungs]
        return f"Bracket: {' | '.join(cutoffs)}"

    def get_state(self) -> dict[str, Any]:
        return {
            "reduction_factor": self._reduction_factor,
            "rungs": [
                [when, {trial: score_to_json(score) for trial, score in scores.items()}]
                for when, scores in self.rungs
            ],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> _Bracket:
        bracket = cls.__new__(cls)
        bracket._reduction_factor = state["reduction_factor"]
        bracket.rungs = [
            (when, {trial: score_from_json(score) for trial, score in scores.items()})
            for when, scores in state["rungs"]
        ]
        return bracket
