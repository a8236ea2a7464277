"""MedianStoppingRule: a trial ends that was never as good as the others are on average."""

from __future__ import annotations

import logging
import statistics
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.objective import Objective, score_from_json, score_to_json
from rltune.tune.schedulers.population import WORST
from rltune.tune.trial import Trial

if TYPE_CHECKING:
    from rltune.tune.trial_runner import TrialRunner

log = logging.getLogger(__name__)


class MedianStoppingRule(FIFOScheduler):
    """Golovin et al. 2017 (https://research.google/pubs/pub46180): a trial ends if its best score so
    far is below the median, over the completed trials, of the mean score up to the same time.

    A trial that the rule has ended does not count as completed.

    Args:
        time_attr: the result's field that counts as time.
        reward_attr: old form of `metric` with mode "max".
        metric: the result's field to compare by. What is not finite is never the best, and is left
            out of means.
        mode: "max" or "min".
        grace_period: trials are not judged up to this time.
        min_samples_required: how many completed trials it takes to judge.
        hard_stop: False pauses a trial instead, once; it goes on when no other is pending, and is
            left alone then. It has to be one that can be saved.
        verbose: logs who is stopped.
    """

    def __init__(
        self,
        time_attr: str = "time_total_s",
        reward_attr: str | None = None,
        metric: str = "episode_reward_mean",
        mode: str = "max",
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        hard_stop: bool = True,
        verbose: bool = True,
    ):
        self._objective = Objective(time_attr, reward_attr, metric, mode)
        self._grace_period = grace_period
        self._min_samples_required = min_samples_required
        self._hard_stop = hard_stop
        self._verbose = verbose
        self._histories: dict[str, _History] = {}
        self._completed: dict[str, None] = {}
        self._stopped: dict[str, None] = {}

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        time, score = self._objective.read(result)
        history = self._note(trial, time, score)
        if trial.trial_id in self._stopped:
            return self.CONTINUE  # it was paused and may go on
        median = self._median(time)
        if time <= self._grace_period or not history.best < median:
            return self.CONTINUE
        self._stopped[trial.trial_id] = None
        if self._verbose:
            log.info(
                "MedianStoppingRule: %s has not been above %g, the median is %g.",
                trial,
                history.best,
                median,
            )
        return self.STOP if self._hard_stop else self.PAUSE

    def on_trial_complete(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> None:
        last = self._objective.read_last(result)
        if last is not None:
            self._note(trial, *last)
            self._completed[trial.trial_id] = None

    def on_trial_remove(self, trial_runner: TrialRunner, trial: Trial) -> None:
        """A paused trial that somebody takes out has done what it will do."""
        if trial.status == Trial.PAUSED and trial.trial_id in self._histories:
            self._completed[trial.trial_id] = None

    def debug_string(self) -> str:
        return f"Using MedianStoppingRule: num_stopped={len(self._stopped)}."

    def get_state(self) -> dict[str, Any]:
        return {
            "completed": list(self._completed),
            "stopped": list(self._stopped),
            "histories": {name: each.get_state() for name, each in self._histories.items()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self._completed = dict.fromkeys(state["completed"])
        self._stopped = dict.fromkeys(state["stopped"])
        self._histories = {name: _History(each) for name, each in state["histories"].items()}

    def _note(self, trial: Trial, time: float, score: float) -> _History:
        history = self._histories.setdefault(trial.trial_id, _History())
        history.add(time, score)
        return history

    def _median(self, time: float) -> float:
        """The median of the completed trials' means up to `time`; the worst if they are too few."""
        means = [self._histories[trial_id].mean(time) for trial_id in self._completed]
        known = [mean for mean in means if mean is not None]
        if not known or len(known) < self._min_samples_required:
            return WORST
        return statistics.median(known)


class _History:
    """The scores of one trial over time, with the mean and the best up to each."""

    def __init__(self, state: list[list[Any]] | None = None):
        self._times: list[float] = []
        self._scores: list[float] = []
        self._sums: list[float] = []  # of the scores that are numbers
        self._counts: list[int] = []
        self._bests: list[float] = []
        for time, score in zip(*(state or [[], []]), strict=True):
            self.add(time, score_from_json(score))

    @property
    def best(self) -> float:
        return self._bests[-1]

    def add(self, time: float, score: float) -> None:
        """Takes the place of what was not before it: a trial may start again from an earlier time, and
        a function's last result comes twice.
        """
        later = bisect_left(self._times, time)
        for each in (self._times, self._scores, self._sums, self._counts, self._bests):
            del each[later:]
        sum_, count, best = (
            (self._sums[-1], self._counts[-1], self._bests[-1]) if later else (0.0, 0, WORST)
        )
        self._times.append(time)
        self._scores.append(score)
        self._sums.append(sum_ + (0.0 if score == WORST else score))
        self._counts.append(count + (score != WORST))
        self._bests.append(max(best, score))

    def mean(self, time: float) -> float | None:
        """Of the scores up to `time`: the worst if none is a number, None if there is none."""
        number = bisect_right(self._times, time)
        if not number:
            return None
        count = self._counts[number - 1]
        return self._sums[number - 1] / count if count else WORST

    def get_state(self) -> list[list[Any]]:
        return [list(self._times), [score_to_json(score) for score in self._scores]]
