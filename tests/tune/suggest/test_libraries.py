"""What the searches of all libraries have in common (T11.1, T11.3)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune import suggest
from rltune.tune.experiment import Experiment
from rltune.tune.suggest import SEARCH_ALGORITHMS
from rltune.tune.suggest.library_search import LibrarySearch, Outcome
from tests.tune.suggest.libraries import (
    PACKAGES,
    SPACE,
    Trials,
    class_of,
    every_library,
    loss_of,
    make,
    needs,
)

# The others take a second or so for each suggestion.
QUICK = ("Optuna", "HyperOpt", "Nevergrad")

ROOT = Path(__file__).resolve().parents[3]


def told(search: LibrarySearch, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """What the library is told from now on."""
    outcomes: list[Outcome] = []
    tell = search._tell

    def listen(number: int, point: Any, outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(number, point, outcome)

    monkeypatch.setattr(search, "_tell", listen)
    return outcomes


@every_library
def test_suggestions_are_values_of_the_ranges(name: str) -> None:
    for config in Trials(make(name)).ask(12 if name != "Ax" else 5):
        assert set(config) == {"x", "inner", "kind"} and set(config["inner"]) == {"rate", "size"}
        x, rate, size = config["x"], config["inner"]["rate"], config["inner"]["size"]
        assert type(x) is float and -10 <= x <= 10
        assert type(rate) is float and 1e-4 <= rate <= 1
        assert type(size) is int and 1 <= size < 9
        assert config["kind"] in ["a", [1, 2], None]


@every_library
def test_t11_3_a_resumed_search_goes_on_as_the_undisturbed_one(name: str) -> None:
    """With a drawn seed too: it is part of the state. Into a used search as into a new one."""
    seed = 5 if name == "Ax" else None  # its models are alike only by and large
    trials = Trials(make(name, seed))
    trials.ask(13 if name != "Ax" else 4)
    resumed = trials.resumed(make(name, seed))
    again = trials.resumed(resumed.search)
    more = trials.ask(3)
    assert again.ask(3) == more
    assert len({config["x"] for config in more}) == 3
    assert again.search.get_state() == trials.search.get_state()


@every_library
def test_t11_1_what_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself or stopped early: the last value. In error, not finite or never reported: failed.
    Trials that the search did not make are ignored.
    """
    search = make(name, max_concurrent=7)
    ids = list("abcdefg") if name != "Ax" else list("abcde")
    for trial_id in ids:
        assert search._suggest(trial_id) is not None
    outcomes = told(search, monkeypatch)
    search.on_trial_result("unknown", {"loss": 1.0, "training_iteration": 1})
    search.on_trial_complete("unknown", {"loss": 1.0, "training_iteration": 1})
    search.on_trial_complete("a", {"loss": 1, "training_iteration": 4})
    for iteration, loss in enumerate([5.0, 2.0], start=1):
        search.on_trial_result("b", {"loss": loss, "training_iteration": iteration})
    search.on_trial_complete("b", early_terminated=True)
    search.on_trial_result("c", {"loss": 3.0, "training_iteration": 1})
    search.on_trial_complete("c", error=True)
    search.on_trial_complete("d", {"loss": float("nan"), "training_iteration": 2})
    search.on_trial_complete("e", early_terminated=True)
    values = [1.0, 2.0, None, None, None]
    if name == "Ax":
        values = [v if v is None else {"loss": v} for v in values]
    assert [outcome.value for outcome in outcomes] == values
    assert [outcome.step for outcome in outcomes] == [4, 2, 1, 2, 0]
    assert [outcome.early for outcome in outcomes] == [False, True, False, False, True]
    search.on_trial_complete("a", {"loss": 9.0, "training_iteration": 5})
    assert len(outcomes) == 5


@every_library
def test_t11_1_no_more_than_max_concurrent(name: str) -> None:
    search = make(name, max_concurrent=2)
    assert search._suggest("a") and search._suggest("b") and search._suggest("c") is None
    search.on_trial_complete("a", error=True)
    assert search._suggest("c") and search._suggest("d") is None


@every_library
@pytest.mark.parametrize("wrong", [0, -1, 1.5, None, True, "3"])
def test_t11_3_max_concurrent_is_a_whole_number_above_0(name: str, wrong: Any) -> None:
    with pytest.raises(AssertionError, match="max_concurrent is a whole number above 0"):
        make(name, max_concurrent=wrong)


@every_library
def test_a_direction_is_min_or_max(name: str) -> None:
    if name != "Ax":  # it has its own words
        with pytest.raises(AssertionError, match="'min' or 'max', not 'best'"):
            make(name, mode="best")


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in QUICK])
def test_t11_3_it_finds_the_least_and_the_greatest(name: str, mode: str) -> None:
    """The last suggestions are nearer to the optimum than the first."""
    search = make(name, space={"x": SPACE["x"]}, mode=mode, max_concurrent=1)
    seen: list[float] = []
    for trial in range(30):
        config = search._suggest(str(trial))
        assert config is not None
        seen.append(loss_of(config))
        loss = seen[-1] if mode == "min" else -seen[-1]
        search.on_trial_complete(str(trial), {"loss": loss, "training_iteration": 1})
    assert min(seen) < 0.5
    assert sum(seen[20:]) < sum(seen[:10])


def test_a_field_that_is_missing_is_named_with_the_nearest(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Constant(LibrarySearch):
        def _begin(self) -> None:
            """Nothing to make."""

        def _ask(self, number: int) -> dict[str, Any]:
            return {"x": number}

        def _tell(self, number: int, point: Any, outcome: Outcome) -> None:
            """Learns nothing."""

    search = Constant(metric="los")
    search._suggest("a")
    outcomes = told(search, monkeypatch)
    search.on_trial_complete("a", {"loss": 1.0, "training_iteration": 1})
    assert "no 'los' in its result; nearest: 'loss'" in caplog.text
    assert "'los': it counts as failed" in caplog.text
    assert outcomes == [Outcome(None, 0, False)]


@pytest.mark.parametrize("name", SEARCH_ALGORITHMS)
def test_t11_3_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == PACKAGES[name] else find(n, *a)
    )
    with pytest.raises(AssertionError, match=r"which is not installed: pip install 'rltune\["):
        make(name)


@pytest.mark.parametrize("name", SEARCH_ALGORITHMS)
def test_t11_3_a_class_that_has_moved_says_where_to(name: str) -> None:
    where = SEARCH_ALGORITHMS[name].partition(":")[0]
    cls = class_of(name).__name__
    with pytest.raises(ImportError, match=f"{cls} has moved: from {where} import {cls}"):
        getattr(suggest, cls)
    with pytest.raises(ImportError, match="has moved"):
        exec(f"from rltune.tune.suggest import {cls}")


def test_t11_3_tune_loads_none_of_the_libraries() -> None:
    code = "import sys, rltune.tune.suggest\n" + "".join(
        f"import {where.partition(':')[0]}\n" for where in SEARCH_ALGORITHMS.values()
    )
    code += f"print([m for m in {list(PACKAGES.values())} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@every_library
def test_a_space_of_something_else_is_refused(name: str) -> None:
    with pytest.raises(
        tune.TuneError, match="search space has 0.1 at 'inner/lr', which is no range"
    ):
        make(name, space={"x": tune.uniform(0, 1), "inner": {"lr": 0.1}})


@pytest.mark.parametrize("snapshot_after", [None, 0, 4, 7, 9])
@needs("Optuna")
def test_changes_say_together_what_the_state_says(snapshot_after: int | None) -> None:
    """Each says what is new; from a snapshot of any time they lead to the same."""
    trials = Trials(make("Optuna"))
    state, changes = None, []
    for number in range(10):
        trials.ask(1)
        changes.append(trials.search.get_changes())
        if number == snapshot_after:
            trials.end_oldest()
            state = trials.search.get_state()
    assert max(len(one["history"]) for one in changes) < 5
    for one in changes if snapshot_after is None else changes[snapshot_after + 1 :]:
        state = trials.search.apply_changes(state, one)
    assert state is not None
    assert {name: state[name] for name in trials.search.get_state()} == trials.search.get_state()


@needs("Optuna")
def test_an_experiment_hears_what_the_search_learned_in_an_earlier_one() -> None:
    trials = Trials(make("Optuna"))
    trials.ask(5)
    trials.search.get_changes()
    trials.search.add_configurations([Experiment("next", "__fake")])
    assert trials.search.get_changes()["history"] == trials.search.get_state()["history"]
