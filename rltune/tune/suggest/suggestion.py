"""SuggestionAlgorithm: a search that suggests one configuration after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rltune.checkpoint import write_atomically
from rltune.tune import json_encoding
from rltune.tune.error import TuneError
from rltune.tune.experiment import Experiment, as_experiments
from rltune.tune.suggest.search import SearchAlgorithm
from rltune.tune.suggest.variant_generator import format_vars, generate_variants
from rltune.tune.trial import Trial
from rltune.tune.trial_factory import VARIABLE_PARTS, create_trial

STATE_FILE = "search-state.json"


class SuggestionAlgorithm(SearchAlgorithm):
    """Makes `num_samples` trials of an experiment, each from a suggestion laid over its config.

    Override `_suggest`; `on_trial_result` and `on_trial_complete` to learn; `get_state` and
    `set_state`, with what super() gives, to go on learning in a resumed run.

    Args:
        metric: the field of results that is optimized; for subclasses.
        mode: "max" or "min".
        max_concurrent: how many trials may be unfinished at a time, if there is a limit. A subclass
            with one calls `super().on_trial_complete`.
    """

    def __init__(
        self, metric: str | None = None, mode: str = "max", max_concurrent: int | None = None
    ):
        assert mode in ("min", "max"), f"mode is 'min' or 'max', not {mode!r}."
        if max_concurrent is not None:
            check_limit(max_concurrent)
        self.metric = metric
        self.mode = mode
        self.max_concurrent = max_concurrent
        self._experiments: list[Experiment] = []
        self._count = 0
        self._samples: dict[str, int] = {}  # how many of an experiment's samples have been made
        # What is known of each unfinished trial, by id; only where their number is limited.
        self._live: dict[str, dict[str, Any]] = {}

    def _suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Values for a trial's config, nested as it is; None: not now, ask again later."""
        raise NotImplementedError

    def add_configurations(self, experiments: Any) -> None:
        added = as_experiments(experiments)
        self._experiments += added
        for experiment in added:
            self._samples.pop(experiment.name, None)

    def next_trials(self) -> list[Trial]:
        """A trial for each suggestion, until there is none for now.

        Raises ConfigError if the trainable refuses a suggested config, TuneError for a grid in the
        experiment's config.
        """
        return list(self._new_trials())

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
        early_terminated: bool = False,
    ) -> None:
        self._live.pop(trial_id, None)

    def is_finished(self) -> bool:
        return not any(map(self._missing, self._experiments))

    def is_full(self) -> bool:
        """Whether as many trials are unfinished as may be."""
        return self.max_concurrent is not None and len(self._live) >= self.max_concurrent

    def get_state(self) -> dict[str, Any]:
        return {
            "trials": self._count,
            "samples": dict(self._samples),
            "live": {trial_id: dict(known) for trial_id, known in self._live.items()},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self._count, self._samples = state["trials"], dict(state["samples"])
        self._live = {trial_id: dict(known) for trial_id, known in state["live"].items()}

    def save(self, checkpoint_dir: str) -> None:
        """Writes the state to this file, or into this folder if it is one. Raises OSError."""
        write_atomically(
            _state_file(checkpoint_dir), json_encoding.dumps(self.get_state()).encode()
        )

    def restore(self, checkpoint_dir: str) -> None:
        """Takes over what `save` wrote there: only for files of one's own. Raises OSError."""
        self.set_state(json_encoding.loads(_state_file(checkpoint_dir).read_bytes()))

    def _missing(self, experiment: Experiment) -> int:
        """How many trials an experiment still lacks."""
        missing: int = experiment.spec["num_samples"] - self._samples.get(experiment.name, 0)
        return max(missing, 0)

    def _new_trials(self) -> Iterator[Trial]:
        for experiment in self._experiments:
            for _ in range(self._missing(experiment)):
                trial_id = Trial.generate_id()
                suggestion = None if self.is_full() else self._suggest(trial_id)
                if suggestion is None:
                    return
                if self.max_concurrent is not None:
                    self._live.setdefault(trial_id, {})
                self._count += 1
                self._samples[experiment.name] = self._samples.get(experiment.name, 0) + 1
                yield self._make_trial(experiment, suggestion, trial_id)

    def _make_trial(
        self, experiment: Experiment, suggestion: dict[str, Any], trial_id: str
    ) -> Trial:
        unresolved = {key: experiment.spec[key] for key in VARIABLE_PARTS}
        unresolved["config"] = _laid_over(unresolved["config"] or {}, suggestion)
        variants = list(generate_variants(unresolved))
        if len(variants) != 1:
            raise TuneError(
                f"{type(self).__name__}: the config of {experiment.name!r} holds a grid_search, "
                "which a search algorithm cannot fill in; use tune.choice in its space."
            )
        drawn, resolved = variants[0]
        values = {("config", *path): value for path, value in _leaves(suggestion)} | drawn
        text = format_vars(dict(_leaves(resolved["config"])))
        return create_trial(
            {**experiment.spec, **resolved},
            experiment.checkpoint_dir,
            f"{self._count}_{text}" if text else str(self._count),
            {"/".join(map(str, path[1:])): value for path, value in values.items()},
            trial_id,
        )


def check_limit(max_concurrent: Any) -> None:
    """Asserts that it is one."""
    assert type(max_concurrent) is int and max_concurrent > 0, (
        f"max_concurrent is a whole number above 0, not {max_concurrent!r}."
    )


def _state_file(path: str) -> Path:
    return Path(path) / STATE_FILE if Path(path).is_dir() else Path(path)


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, dict by dict; where they differ, what is above. Values are shared."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            both[key] = _laid_over(below[key], above[key])
    return both


def _leaves(nested: Mapping[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """(path, value) of what is no dict."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
