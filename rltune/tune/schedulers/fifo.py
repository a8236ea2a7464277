"""FIFOScheduler: trials run to their end, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rltune.tune.schedulers.trial_scheduler import TrialScheduler

if TYPE_CHECKING:
    from rltune.tune.trial import Trial
    from rltune.tune.trial_runner import TrialRunner


class FIFOScheduler(TrialScheduler):
    """Starts the first pending trial that fits, else the first paused one; stops none."""

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        return self.CONTINUE

    def undecided_until(self, trial: Trial) -> Mapping[str, float] | None:
        """A subclass with a method of its own for results decides."""
        return {} if type(self).on_trial_result is FIFOScheduler.on_trial_result else None

    def choose_trial_to_run(self, trial_runner: TrialRunner) -> Trial | None:
        return trial_runner.first_that_fits("PENDING") or trial_runner.first_that_fits("PAUSED")

    def debug_string(self) -> str:
        return "Using FIFO scheduling algorithm."
