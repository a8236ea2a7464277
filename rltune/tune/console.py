"""What a run prints, and how often."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rltune.tune.live_block import LiveBlock, can_redraw
from rltune.tune.progress import MAX_TRIALS, result_block, status_block
from rltune.tune.time_left import TimeLeft
from rltune.tune.trial import Trial

PERIOD_S = 5.0

SILENT, STATUS, RESULTS = 0, 1, 2


class Console:
    """Prints status blocks and results: at most one block, and one result of a trial, in 5 s.

    On a terminal the block stays at the bottom and is redrawn in place; only the last one remains.

    Args:
        verbose: 0 nothing, 1 status blocks, 2 results too.
    """

    def __init__(self, verbose: int, clock: Callable[[], float] = time.monotonic):
        self._verbose = int(verbose)
        self._clock = clock
        self._time_left = TimeLeft(clock)
        self._live: LiveBlock | None = None
        self._last_status: float | None = None
        self._last_result: dict[str, tuple[float, Any]] = {}

    def status(
        self, trials: Sequence[Trial], scheduler: Any, executor: Any, last: bool = False
    ) -> None:
        """The status block, if it is time. The first and the last one show every trial, except
        that what is redrawn shows a few.
        """
        now = self._clock()
        before = self._last_status
        soon = before is not None and now - before < PERIOD_S
        if self._verbose < STATUS or soon and not last:
            return
        self._last_status = now
        if before is None and not last and can_redraw(sys.stdout):
            self._live = LiveBlock()
            self._live.open()
        everything = last or before is None and self._live is None
        text = status_block(
            trials,
            scheduler_text=scheduler.debug_string(),
            resource_text=executor.debug_string(),
            progress_text=self._time_left.text(trials),
            max_trials=None if everything else MAX_TRIALS,
        )
        self._print(text, last)

    def result(self, trial: Trial, result: dict[str, Any], last: bool) -> None:
        """A result, if it is time; a trial's last one always, but none twice."""
        now = self._clock()
        before, shown = self._last_result.get(trial.trial_id, (-float("inf"), None))
        if self._verbose < RESULTS or result is shown or not last and now - before < PERIOD_S:
            return
        self._last_result[trial.trial_id] = (now, result)
        print(result_block(trial, result) + "\n", flush=True)

    def _print(self, block: str, last: bool) -> None:
        if self._live is not None and not last:
            self._live.show(block)
            return
        if self._live is not None:
            self._live.close()
            self._live = None
        print(block, flush=True)
