"""SuggestionAlgorithm as users subclass it (T11.1), and BasicVariantGenerator's one call (T11.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.config import ConfigError
from rltune.tune.experiment import Experiment
from rltune.tune.suggest import BasicVariantGenerator, SuggestionAlgorithm
from tests.tune.scripted import make_scripted, run_scripted


class Suggester(SuggestionAlgorithm):
    """As one writes it for 0.7: it counts its live trials itself, and knows nothing of super()."""

    def __init__(self, max_live: int = 4, config: Any = None):
        super().__init__(metric="score", mode="max")
        self.max_live, self.config = max_live, config
        self.live: dict[str, int] = {}
        self.heard: list[Any] = []
        self.made = 0

    def _suggest(self, trial_id: str) -> dict[str, Any] | None:
        if len(self.live) >= self.max_live:
            return None
        self.live[trial_id] = self.made
        self.made += 1
        return self.config or {"a": {"b": self.live[trial_id]}}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.heard.append(("result", self.live[trial_id], result["training_iteration"]))

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,
        early_terminated: bool = False,
    ) -> None:
        self.heard.append(("end", self.live.pop(trial_id), result is not None, error))


class Limited(SuggestionAlgorithm):
    """The short way: the limit is the base's."""

    def __init__(self) -> None:
        super().__init__(max_concurrent=4)

    def _suggest(self, trial_id: str) -> dict[str, Any]:
        return {"x": 1}


def added(search: SuggestionAlgorithm, **spec: Any) -> SuggestionAlgorithm:
    search.add_configurations([Experiment("exp", "__fake", **{"num_samples": 6, **spec})])
    return search


@pytest.mark.parametrize("make", [Suggester, Limited])
def test_t11_1_check_four_then_none_then_one_for_each_that_ends(make: Any) -> None:
    search = added(make())
    first = search.next_trials()
    assert len(first) == 4 and search.next_trials() == [] and not search.is_finished()
    search.on_trial_complete(first[2].trial_id)
    [fifth] = search.next_trials()
    assert search.next_trials() == [] and not search.is_finished()
    search.on_trial_complete(fifth.trial_id)
    assert len(search.next_trials()) == 1
    assert search.is_finished() and search.next_trials() == []


def test_t11_1_a_suggestion_is_laid_over_the_config_dict_by_dict() -> None:
    shared = object()
    config = {
        "a": {"b": -1, "c": 2},
        "d": shared,
        "e": tune.sample_from(lambda spec: spec.config.a.b),
    }
    first, second, *_ = added(Suggester(), config=config).next_trials()
    assert first.config == {"a": {"b": 0, "c": 2}, "d": shared, "e": 0}
    assert second.config["a"] == {"b": 1, "c": 2} and second.config["e"] == 1
    assert config["a"] == {"b": -1, "c": 2}
    assert first.evaluated_params == {"a/b": 0, "e": 0}


def test_t6_1_tags_count_from_1_and_list_the_whole_config() -> None:
    trials = added(Suggester(), config={"z": 1.23456789, "env": "E", "l": [1, 2]}).next_trials()
    assert [trial.experiment_tag for trial in trials[:2]] == [
        "1_b=0,l=[1, 2],z=1.2346",
        "2_b=1,l=[1, 2],z=1.2346",
    ]


def test_what_the_runner_tells_one_of_0_7(tmp_path: Path) -> None:
    search = Suggester(max_live=1)
    runner = run_scripted(
        None, lambda config, iteration: {"score": 1.0}, n=2, search_alg=search,
        stop={"training_iteration": 2},
    )  # fmt: skip
    assert search.heard == [
        ("result", 0, 1), ("end", 0, True, False), ("result", 1, 1), ("end", 1, True, False),
    ]  # fmt: skip
    assert [trial.config["a"]["b"] for trial in runner.get_trials()] == [0, 1]


def test_a_grid_beside_a_search_is_refused() -> None:
    search = added(Suggester(), config={"c": tune.grid_search([1, 2])})
    with pytest.raises(tune.TuneError, match="'exp' holds a grid_search"):
        search.next_trials()


def test_a_suggested_config_that_the_trainable_refuses() -> None:
    class Picky(tune.Trainable):
        @classmethod
        def validate_config(cls, config: dict[str, Any]) -> None:
            raise ConfigError([f"a: {config['a']} is wrong"])

    search = Suggester()
    search.add_configurations([Experiment("exp", Picky)])
    with pytest.raises(ConfigError, match="a: {'b': 0} is wrong"):
        search.next_trials()


def test_several_experiments_share_a_search() -> None:
    search = Limited()
    search.add_configurations({"one": {"run": "__fake", "num_samples": 2}})
    search.add_configurations([Experiment("two", "__fake", num_samples=1)])
    trials = search.next_trials()
    assert [Path(trial.local_dir).name for trial in trials] == ["one", "one", "two"]
    assert [trial.experiment_tag[0] for trial in trials] == ["1", "2", "3"]
    assert search.is_finished()


def test_a_resumed_search_makes_the_trials_that_are_missing() -> None:
    search = added(Limited())
    live = search.next_trials()
    state = json.loads(json.dumps(search.get_state()))
    resumed = added(Limited())
    resumed.set_state(state)
    assert resumed.next_trials() == []
    for trial in live:
        resumed.on_trial_complete(trial.trial_id)
    assert [trial.experiment_tag for trial in resumed.next_trials()] == ["5_x=1", "6_x=1"]
    raised = added(Limited(), num_samples=7)
    raised.set_state(resumed.get_state())
    for trial_id in resumed.get_state()["live"]:
        raised.on_trial_complete(trial_id)
    assert [trial.experiment_tag for trial in raised.next_trials()] == ["7_x=1"]


@pytest.mark.parametrize("target", ["file", "."])
def test_save_and_restore_as_in_0_7(tmp_path: Path, target: str) -> None:
    search = added(Limited())
    search.next_trials()
    search.save(str(tmp_path / target))
    other = Limited()
    other.restore(str(tmp_path / target))
    assert other.get_state() == search.get_state() and other.is_full()


def test_t11_2_all_variants_at_the_first_call(tmp_path: Path) -> None:
    search = BasicVariantGenerator()
    assert search.is_finished()
    config = {"a": tune.grid_search([1, 2]), "b": tune.uniform(0, 1)}
    search.add_configurations([Experiment("exp", "__fake", config=config, num_samples=3)])
    assert not search.is_finished()
    trials = search.next_trials()
    assert [trial.config["a"] for trial in trials] == [1, 2] * 3
    assert search.is_finished() and search.next_trials() == []


def test_t11_2_shuffled_they_are_the_same_in_another_order() -> None:
    def made(shuffle: bool) -> list[int]:
        search = BasicVariantGenerator(shuffle=shuffle)
        config = {"a": tune.grid_search(list(range(50)))}
        search.add_configurations([Experiment("exp", "__fake", config=config)])
        return [trial.config["a"] for trial in search.next_trials()]

    assert made(shuffle=False) == list(range(50))
    shuffled = made(shuffle=True)
    assert shuffled != list(range(50)) and sorted(shuffled) == list(range(50))


def test_a_run_of_a_search_ends_with_num_samples_trials(tmp_path: Path) -> None:
    runner = make_scripted(
        None, lambda config, iteration: {"score": 1.0}, n=7, search_alg=Limited(), slots=2,
        stop={"training_iteration": 1}, directory=tmp_path,
    )  # fmt: skip
    runner.run()
    assert [trial.status for trial in runner.get_trials()] == ["TERMINATED"] * 7
