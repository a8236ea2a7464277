"""HyperBandScheduler: trials wait for one another at milestones, where the best third goes on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.hyperband_bracket import ETA, Bracket
from rltune.tune.schedulers.objective import Objective
from rltune.tune.trial import Trial

if TYPE_CHECKING:
    from rltune.tune.trial_runner import TrialRunner

BRACKETS_PER_BAND = 5


class HyperBandScheduler(FIFOScheduler):
    """Li et al. 2016 (https://arxiv.org/abs/1603.06560), in Tune's form: with eta 3 and five brackets
    per band, of 5, 8, 15, 34 and 81 trials, that come to max_t in 1 to 5 strides.

    New trials fill a bracket, then the next one, then those of another band. A trial pauses at a
    milestone until every live one of its bracket is there, so trainables have to be ones that can be
    saved. A trial that ends or fails leaves its bracket. The least complete bracket of the first
    band that has something to do goes first.

    Args:
        time_attr: the result's field that counts as time.
        reward_attr: old form of `metric` with mode "max".
        metric: the result's field to compare by. What is not finite is the worst.
        mode: "max" or "min".
        max_t: trials end at this time.
    """

    bracket_class = Bracket

    def __init__(
        self,
        time_attr: str = "training_iteration",
        reward_attr: str | None = None,
        metric: str = "episode_reward_mean",
        mode: str = "max",
        max_t: float = 81,
    ):
        assert max_t >= 1, f"max_t must be at least 1, it is {max_t}."
        self._objective = Objective(time_attr, reward_attr, metric, mode)
        self._max_t = max_t
        # A bracket whose first milestone would be at 0 is left out.
        self._per_band = sum(max_t >= ETA**s for s in range(BRACKETS_PER_BAND))
        self._brackets: list[Bracket] = []
        self._bracket_of: dict[str, int | None] = {}  # trial id -> index, None: it is out
        self._num_stopped = 0

    def on_trial_add(self, trial_runner: TrialRunner, trial: Trial) -> None:
        if trial.trial_id in self._bracket_of:
            return  # it is tried again, and has kept its place
        if not self._brackets or not self._brackets[-1].has_room():
            self._brackets.append(self._next_bracket())
        self._brackets[-1].add(trial.trial_id)
        self._bracket_of[trial.trial_id] = len(self._brackets) - 1

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        time, score = self._objective.read(result)
        self.on_trial_add(trial_runner, trial)  # unless it is known: it was opened again
        index = self._bracket_of[trial.trial_id]
        if index is None:
            return self.STOP
        bracket = self._brackets[index]
        bracket.note(trial.trial_id, time, score)
        self._settle(trial_runner, bracket, trial.trial_id)
        if trial.trial_id not in bracket.live:
            return self.STOP
        return self.CONTINUE if bracket.goes_on(trial.trial_id) else self.PAUSE

    def on_trial_complete(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> None:
        self._leave(trial_runner, trial.trial_id)

    def on_trial_remove(self, trial_runner: TrialRunner, trial: Trial) -> None:
        self._leave(trial_runner, trial.trial_id)

    def on_trial_error(self, trial_runner: TrialRunner, trial: Trial) -> None:
        # One that is PENDING is about to be added again; if it is not, it will be found dead.
        if trial.status != Trial.PENDING:
            self._leave(trial_runner, trial.trial_id)

    def choose_trial_to_run(self, trial_runner: TrialRunner) -> Trial | None:
        self._leave_the_dead(trial_runner)
        startable = {
            trial.trial_id: trial
            for status in (Trial.PENDING, Trial.PAUSED)
            for trial in trial_runner.startable(status)
        }
        for start in range(0, len(self._brackets), self._per_band) if startable else ():
            band = self._brackets[start : start + self._per_band]
            for bracket in sorted(band, key=lambda b: b.completion()):
                for trial_id in bracket.live:
                    if trial_id in startable and bracket.goes_on(trial_id):
                        return startable[trial_id]
        return None

    def debug_string(self) -> str:
        lines = [
            f"Using HyperBand: num_stopped={self._num_stopped} total_brackets={len(self._brackets)}"
        ]
        for i, bracket in enumerate(self._brackets):
            if i % self._per_band == 0:
                lines.append(f"Round #{i // self._per_band}:")
            lines.append(f"  {bracket.debug_string()}")
        return "\n".join(lines)

    def state(self) -> dict[str, int]:
        """Counts: `num_brackets`, and `num_stopped`, the trials that were out at a milestone."""
        return {"num_brackets": len(self._brackets), "num_stopped": self._num_stopped}

    def get_state(self) -> dict[str, Any]:
        return {
            "num_stopped": self._num_stopped,
            "bracket_of": dict(self._bracket_of),
            "brackets": [bracket.get_state() for bracket in self._brackets],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self._num_stopped = state["num_stopped"]
        self._bracket_of = dict(state["bracket_of"])
        self._brackets = [self.bracket_class.from_state(each) for each in state["brackets"]]

    def _next_bracket(self) -> Bracket:
        s = len(self._brackets) % self._per_band
        size = math.ceil(BRACKETS_PER_BAND / (s + 1) * ETA**s)
        return self.bracket_class(size, int(self._max_t / ETA**s), self._max_t, halvings=s)

    def _settle(
        self, trial_runner: TrialRunner, bracket: Bracket, reporter: str | None = None
    ) -> None:
        """Once all live trials wait, those who are out end and the others go on. The reporter learns
        it from the decision.
        """
        while bracket.live and bracket.all_wait():
            if bracket.halvings > 0:
                out = bracket.halve()
                self._num_stopped += len(out)
            else:
                out = list(bracket.live)
                bracket.live.clear()
            self._bracket_of.update(dict.fromkeys(out))
            for trial_id in out:
                trial = trial_runner.get_trial(trial_id)
                if trial_id != reporter and trial is not None:
                    trial_runner.stop_trial(trial)
            for trial_id in filter(bracket.goes_on, bracket.live):
                trial = trial_runner.get_trial(trial_id)
                if trial is not None and trial.status == Trial.PAUSED and not trial.held:
                    trial_runner.trial_executor.unpause_trial(trial)

    def _leave(self, trial_runner: TrialRunner, trial_id: str) -> None:
        index = self._bracket_of.pop(trial_id, None)
        if index is not None:
            bracket = self._brackets[index]
            del bracket.live[trial_id]
            self._settle(trial_runner, bracket)

    def _leave_the_dead(self, trial_runner: TrialRunner) -> None:
        """Nobody waits for a trial that has ended, even if that was not told."""
        for bracket in self._brackets:
            for trial_id in list(bracket.live):
                trial = trial_runner.get_trial(trial_id)
                if trial is None or trial.is_finished():
                    self._leave(trial_runner, trial_id)
