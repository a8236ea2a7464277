"""TrialScheduler: which trial runs next, and whether one goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rltune.tune.trial import Trial
    from rltune.tune.trial_runner import TrialRunner


class TrialScheduler:
    """Hears of every trial and result; its decisions are values that the runner carries out."""

    CONTINUE = "CONTINUE"
    PAUSE = "PAUSE"
    STOP = "STOP"

    def on_trial_add(self, trial_runner: TrialRunner, trial: Trial) -> None:
        """A trial joins the queue."""

    def on_trial_error(self, trial_runner: TrialRunner, trial: Trial) -> None:
        """A trial has failed and is not retried at once."""

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        """Whether the trial goes on after this result: CONTINUE, PAUSE or STOP."""
        raise NotImplementedError

    def undecided_until(self, trial: Trial) -> Mapping[str, float] | None:
        """Criteria, as those of `stop`: as long as a result of the trial, which is about to start,
        fulfils none of them, `on_trial_result` answers CONTINUE, takes note of nothing and looks at
        no other trial, so that short iterations need not wait for it. None: that may be any result.
        """
        return None

    def on_trial_complete(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> None:
        """A trial has ended by itself; `result` is its last."""

    def on_trial_remove(self, trial_runner: TrialRunner, trial: Trial) -> None:
        """A trial that is not running was taken out."""

    def choose_trial_to_run(self, trial_runner: TrialRunner) -> Trial | None:
        """The trial to start next, or None. Asking twice changes nothing."""
        raise NotImplementedError

    def get_state(self) -> Any:
        """What a resumed run needs to go on deciding, as JSON holds it; None: nothing.

        It is kept with every snapshot of the experiment's state. Results that came after the
        snapshot are shown again to a scheduler that was given it back; what it then decides is not
        carried out, since that has happened, and `trial_runner.replaying` is true.
        """
        return None

    def set_state(self, state: Any) -> None:
        """Takes over what `get_state` gave. Trials of that time are not added again."""

    def debug_string(self) -> str:
        """The scheduler's line in the status block."""
        raise NotImplementedError
