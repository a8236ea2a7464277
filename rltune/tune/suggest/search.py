"""SearchAlgorithm: which configurations are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rltune.tune.experiment import Experiment
from rltune.tune.trial import Trial


class SearchAlgorithm:
    """Makes trials, and hears of their results."""

    def add_configurations(self, experiments: Sequence[Experiment]) -> None:
        """The experiments whose trials are to be made."""
        raise NotImplementedError

    def next_trials(self) -> list[Trial]:
        """Trials to run next; may be empty for now."""
        raise NotImplementedError

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A result of a trial that goes on. Unknown trials are to be ignored, here and below."""

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
        early_terminated: bool = False,
    ) -> None:
        """A trial has ended; `result` is given if it ended by itself."""

    def is_finished(self) -> bool:
        """Whether no more trials will come."""
        raise NotImplementedError

    def get_state(self) -> Any:
        """What a resumed run needs to make the trials that are missing, as JSON holds it; None:
        nothing.

        It is kept with every snapshot of the experiment's state. Results that came later are shown
        again to an algorithm that was given it back.
        """
        return None

    def get_changes(self) -> Any:
        """What is kept with new trials: the state, or of a large one what earlier calls have not
        told.
        """
        return self.get_state()

    @staticmethod
    def apply_changes(state: Any, changes: Any) -> Any:
        """The state after `changes`. `state` is an earlier one, of any time after the changes before
        these; None if there was none.
        """
        return changes

    def set_state(self, state: Any) -> None:
        """Takes over what `get_state` gave, after `add_configurations`."""
