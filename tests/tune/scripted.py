"""Runs in virtual time and in this process: trials whose results follow a script, without Ray.

    runner = run_scripted(scheduler, lambda config, iteration: {"score": config["index"]}, n=4)

`n` trials, whose config has their `index`, share `slots` places. An iteration lasts as long as its result says
(`time_this_iter_s`, 1 s by default), and of the running trials the one that ends first reports first; of those that end
together, the one that was created first. Nothing depends on the clock of the machine or on the ids of trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rltune import tune
from rltune.resources import Resources
from rltune.result import TIME_THIS_ITER_S
from rltune.tune import experiment_state, resuming
from rltune.tune.error import TrialFailure
from rltune.tune.experiment import Experiment
from rltune.tune.local_trial_executor import LocalTrialExecutor, _LocalHandle
from rltune.tune.schedulers import TrialScheduler
from rltune.tune.suggest import BasicVariantGenerator, SearchAlgorithm
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import HostHandle
from rltune.tune.trial_runner import TrialRunner

Curve = Callable[[dict[str, Any], int], dict[str, Any]]

ITERATION_S = 1.0  # what an iteration lasts that does not say so, or fails


class Scripted(tune.Trainable):
    """Reports `curve(config, iteration)`; raises what the curve raises. Its state is its counters.

    A subclass may keep more: `_save`, which returns a dict, and `_restore`. What is kept in memory is not written
    to disk on the way there.
    """

    curve: Curve

    def _train(self) -> dict[str, Any]:
        result = type(self).curve(self.config, self.iteration + 1)
        return {TIME_THIS_ITER_S: ITERATION_S, **result}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        """The counters are restored anyway."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._start_over()
        return True

    def save_to_object(self) -> Any:
        return self.get_counters(), self._save(self.logdir)

    def restore_from_object(self, packed: Any) -> None:
        if isinstance(packed, bytes):  # it was saved to disk too
            super().restore_from_object(packed)
        else:
            self.set_counters(packed[0])
            self._restore(packed[1])


class ScriptedExecutor(LocalTrialExecutor):
    """As many trials at a time as there are slots; `now` is the virtual time in seconds."""

    def __init__(self, slots: int = 2, reuse_actors: bool = False):
        super().__init__(reuse_actors=reuse_actors)
        self.slots = slots
        self.now = 0.0
        self._numbers: dict[str, int] = {}  # trial id -> how many were created before it

    def has_resources(self, resources: Resources) -> bool:
        return len(self._running) < self.slots

    def set_status(self, trial: Trial, status: str) -> None:
        self._numbers.setdefault(trial.trial_id, len(self._numbers))
        super().set_status(trial, status)

    def get_next_available_trial(self) -> Trial:
        trial = min(self._running.values(), key=lambda t: (t.runner.end, self._numbers[t.trial_id]))
        self.now = trial.runner.end
        return trial

    def fetch_result(self, trial: Trial) -> dict[str, Any]:
        result: dict[str, Any] = trial.runner.take_outcome()
        return result

    def open_host(self, trial: Trial) -> HostHandle:
        return _Handle(self)


class _Handle(_LocalHandle):
    """Computes an iteration when it begins: only then is it known when it ends."""

    def __init__(self, executor: ScriptedExecutor):
        super().__init__()
        self._executor = executor
        self.iteration, self.duration, self.end = 0, 0.0, 0.0
        self._outcome: Any = None

    def begin_train(self) -> None:
        self.duration = ITERATION_S
        self.iteration = getattr(self._host._trainable, "iteration", 0) + 1
        try:
            self._outcome = self.call("call", "train")
            self.duration = self._outcome.get(TIME_THIS_ITER_S, ITERATION_S)
        except TrialFailure as failure:
            self._outcome = failure
        self.end = self._executor.now + self.duration

    def take_outcome(self) -> dict[str, Any]:
        outcome, self._outcome = self._outcome, None
        if isinstance(outcome, TrialFailure):
            raise outcome
        result: dict[str, Any] = outcome
        return result


def make_scripted(
    scheduler: TrialScheduler | None,
    curve: Curve | type[Scripted],
    n: int = 1,
    slots: int = 2,
    stop: Mapping[str, Any] | None = None,
    directory: Path | str | None = None,
    search_alg: SearchAlgorithm | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    reuse_actors: bool = False,
    resume: bool = False,
    period: float = 1e9,
    executor: ScriptedExecutor | None = None,
    **spec: Any,
) -> TrialRunner:
    """A runner that has not begun.

    Args:
        curve: `(config, iteration from 1)` -> result, or a subclass of Scripted that has one.
        n: how many trials; with a `search_alg` the number of its suggestions, and no config has an `index`.
        directory: where the experiment `scripted` is kept. None: no state is kept.
        config: of every trial, besides the index.
        resume: goes on with the newest state in `directory`.
        period: seconds between two snapshots of the state; the first is made at once.
        executor: by default a new one with these slots.
        spec: further arguments of Experiment, such as max_failures (here 0 by default) and checkpoint_freq.
    """
    trainable = curve
    if not isinstance(curve, type):
        trainable = type("Scripted", (Scripted,), {"curve": staticmethod(curve)})
    own = dict(config or {})
    if search_alg is None:
        own["index"] = tune.grid_search(list(range(n)))
    experiment = Experiment(
        "scripted",
        trainable,
        stop=stop,
        config=own,
        num_samples=1 if search_alg is None else n,
        local_dir=None if directory is None else str(directory),
        **{"max_failures": 0, "loggers": (), **spec},
    )
    runner = TrialRunner(
        search_alg or BasicVariantGenerator(),
        scheduler,
        trial_executor=executor or ScriptedExecutor(slots, reuse_actors),
        local_checkpoint_dir=None if directory is None else experiment.checkpoint_dir,
        checkpoint_period=period,
    )
    state = None
    if resume:
        path = experiment_state.newest(experiment.checkpoint_dir)
        assert path is not None, f"there is no state in {experiment.checkpoint_dir}"
        state = experiment_state.load(path)
    runner.search_alg.add_configurations([experiment])
    if state is not None:
        runner.search_alg.set_state(resuming.search_state(state, runner.search_alg))
        runner.resume(state)
    return runner


def run_scripted(*args: Any, **kwargs: Any) -> TrialRunner:
    """`make_scripted`, run to its end."""
    runner = make_scripted(*args, **kwargs)
    runner.run()
    return runner
