"""LibrarySearch: a search whose suggestions come from a library that is asked and told."""

from __future__ import annotations

import copy
import importlib.util
import logging
import math
import random
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from rltune.config import nearest
from rltune.result import TRAINING_ITERATION, get_metric
from rltune.seeding import draw_seed
from rltune.tune.suggest.suggestion import SuggestionAlgorithm, check_limit

MAX_CONCURRENT = 10
METRIC = "episode_reward_mean"

T = TypeVar("T")

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What came of a suggestion: `value`, None if it failed, at iteration `step`;
    `early`: its trial was ended by a scheduler or a person and not by itself.
    """

    value: Any
    step: int
    early: bool


class LibrarySearch(SuggestionAlgorithm):
    """Asks a library for points and tells it what came of them.

    A trial's value is the last one that its results had. So what a scheduler stops early is an
    observation too; a trial in error, or without a finite value, has failed.

    The state is what was asked and told. A resumed run says it all again to the library, begun anew
    with the same seed, and gets the suggestions that an undisturbed run would.

    A subclass overrides `_begin`, `_ask`, `_tell`, and where they differ from their defaults
    `_ask_again`, `_replace`, `_config`.
    """

    def __init__(
        self,
        max_concurrent: int = MAX_CONCURRENT,
        reward_attr: str | None = None,
        metric: str = METRIC,
        mode: str = "max",
        seed: int | None = None,
    ):
        check_limit(max_concurrent)
        if reward_attr is not None:
            log.warning("reward_attr is old: use metric=%r, mode='max'.", reward_attr)
            metric, mode = reward_attr, "max"
        super().__init__(metric, mode, max_concurrent)
        self._seed = draw_seed() if seed is None else seed
        self._history: list[dict[str, Any]] = []
        self._points: list[Any] = []  # what was asked, by number
        self._begun = False
        self._told = 0  # how much of the history `get_changes` has told

    # What a subclass says of its library.

    def _begin(self) -> None:
        """Makes the library's objects, which know nothing yet."""
        raise NotImplementedError

    def _ask(self, number: int) -> Any:
        """The library's next point, the `number`-th from 0, as JSON holds it; None: not now."""
        raise NotImplementedError

    def _ask_again(self, number: int, point: Any) -> bool:
        """Brings the library to where it was when it had given `point`. False if it now gives
        another, which is then to be replaced.
        """
        return bool(self._ask(number) == point)

    def _replace(self, number: int, point: Any) -> None:
        """Puts `point` in the place of the one that the library gave last."""
        raise NotImplementedError

    def _tell(self, number: int, point: Any, outcome: Outcome) -> None:
        """Tells the library what came of a point."""
        raise NotImplementedError

    def _config(self, point: Any) -> dict[str, Any]:
        """A point as part of a trial's config."""
        return dict(point)

    def _value_in(self, result: Mapping[str, Any]) -> Any:
        """What of a result the library is told, as JSON holds it; None if that is no number.

        Raises KeyError for a field that is missing.
        """
        assert self.metric is not None
        return number_in(result, self.metric)

    def _loss(self, value: float) -> float:
        """A value for libraries that minimize."""
        return -value if self.mode == "max" else value

    def _seed_of(self, number: int) -> int:
        """A seed for what concerns one suggestion alone, 31 bits."""
        return random.Random(f"{self._seed}/{number}").getrandbits(31)

    # What the runner says.

    def add_configurations(self, experiments: Any) -> None:
        super().add_configurations(experiments)
        self._told = 0  # an experiment of its own, which has heard of nothing

    def _suggest(self, trial_id: str) -> dict[str, Any] | None:
        if self.is_full():
            return None
        if not self._begun:
            self._begin()
            self._begun = True
        number = len(self._points)
        point = self._ask(number)
        if point is None:
            return None
        self._live[trial_id] = {"number": number, "value": None, "step": 0}
        self._history.append({"asked": point})
        self._points.append(point)
        return self._config(point)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if trial_id in self._live:
            self._take_note(trial_id, result)

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
        early_terminated: bool = False,
    ) -> None:
        if trial_id not in self._live:
            return
        if result is not None:
            self._take_note(trial_id, result)
        known = self._live.pop(trial_id)
        if known["value"] is None and not error:
            log.warning("Trial %s has no finite %r: it counts as failed.", trial_id, self.metric)
        outcome = Outcome(None if error else known["value"], known["step"], early_terminated)
        self._history.append({"number": known["number"], **outcome._asdict()})
        self._tell(known["number"], self._points[known["number"]], outcome)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "seed": self._seed, "history": list(self._history)}

    def get_changes(self) -> dict[str, Any]:
        first, self._told = self._told, len(self._history)
        return {**self.get_state(), "history": self._history[first:], "first": first}

    @staticmethod
    def apply_changes(state: Any, changes: dict[str, Any]) -> dict[str, Any]:
        earlier = state["history"][: changes["first"]] if state else []
        return {**changes, "history": [*earlier, *changes["history"]]}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._seed, self._history = state["seed"], list(state["history"])
        self._told = len(self._history)
        self._points, differ = [], 0
        self._begin()
        self._begun = True
        for event in self._history:
            if "asked" in event:
                number, point = len(self._points), event["asked"]
                if not self._ask_again(number, point):
                    self._replace(number, point)
                    differ += 1
                self._points.append(point)
            else:
                outcome = Outcome(*(event[name] for name in Outcome._fields))
                self._tell(event["number"], self._points[event["number"]], outcome)
        if differ:
            log.warning(
                "%s: asked again, %d of %d suggestions differ (is there a seed?). It knows what "
                "came of the old ones, but may not go on as it would have.",
                type(self).__name__,
                differ,
                len(self._points),
            )

    def _take_note(self, trial_id: str, result: dict[str, Any]) -> None:
        try:
            value = self._value_in(result)
        except KeyError as error:
            name = error.args[0]
            near = nearest(name, result)
            hint = f"; nearest: {near!r}" if near else ""
            log.warning("Trial %s: no %r in its result%s.", trial_id, name, hint)
            return
        step = int(result.get(TRAINING_ITERATION, 0))
        self._live[trial_id] |= {"value": value, "step": step}


def number_in(result: Mapping[str, Any], name: str) -> float | None:
    """A field of a result; None if it is not finite. Raises KeyError if it is missing."""
    value = get_metric(result, name)
    return float(value) if value is not None and math.isfinite(value) else None


class Given(Generic[T]):
    """An object that the user made for a search: itself at first, then one like it was for each
    time that the search begins anew.
    """

    def __init__(self, made: T):
        self._made: T | None = made
        self._copy = copy.deepcopy(made)

    def take(self) -> T:
        made, self._made = self._made, None
        return made if made is not None else copy.deepcopy(self._copy)


def one_thread() -> AbstractContextManager[Any]:
    """Within it, numpy and scikit-learn compute in one thread. Several are slower for the few points
    of a search, and do not give the same numbers each time.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def require(library: str, distribution: str, cls: str) -> None:
    """Asserts that a library is installed."""
    assert importlib.util.find_spec(library) is not None, (
        f"{cls} needs {distribution}, which is not installed: pip install 'rltune[search]' "
        f"or pip install {distribution}."
    )


def native(value: Any) -> Any:
    """A value that a library gave, with Python's own numbers, texts and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: native(inner) for key, inner in value.items()}
    return [native(inner) for inner in value] if isinstance(value, list | tuple) else value
