"""PBT: constructor (T10.6), decisions (T10.7), what a copy takes over (T10.8), its state."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.error import TrialFailure, TuneError
from rltune.tune.schedulers import PopulationBasedTraining
from rltune.tune.trial import Trial
from tests.tune.schedulers.population import Population, new_pbt, scored
from tests.tune.scripted import make_scripted


def test_t10_6_the_constructor() -> None:
    parameters = inspect.signature(PopulationBasedTraining).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "time_attr": "time_total_s",
        "reward_attr": None,
        "metric": "episode_reward_mean",
        "mode": "max",
        "perturbation_interval": 60.0,
        "hyperparam_mutations": {},
        "quantile_fraction": 0.25,
        "resample_probability": 0.25,
        "custom_explore_fn": None,
        "log_config": True,
        "synch": False,
        "seed": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hyperparam_mutations": {}}, "hyperparam_mutations or a custom_explore_fn"),
        ({"quantile_fraction": 0.51}, "quantile_fraction must be from 0 to 0.5"),
        ({"quantile_fraction": -0.1}, "quantile_fraction must be from 0 to 0.5"),
        ({"resample_probability": 1.1}, "resample_probability must be from 0 to 1"),
        ({"perturbation_interval": -1}, "perturbation_interval must be positive"),
        ({"perturbation_interval": 0, "synch": True}, "perturbation_interval must be positive"),
        ({"hyperparam_mutations": {"lr": 1}}, "must be a list"),
        ({"hyperparam_mutations": {"seed": [1, 2]}}, "seed cannot be mutated"),
    ],
)
def test_t10_6_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TuneError, match=message):
        new_pbt(**arguments)


def test_t10_6_a_custom_function_is_enough() -> None:
    new_pbt(hyperparam_mutations={}, custom_explore_fn=lambda config: config)


def test_t10_6_mode_and_reward_attr(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AssertionError, match="mode"):
        new_pbt(mode="best")
    pbt = new_pbt(reward_attr="reward", mode="min")
    assert "reward_attr" in caplog.text
    population = Population(pbt, 2)
    trial = population.runner.trials[0]
    pbt.on_trial_result(population.runner, trial, {"training_iteration": 10, "reward": 5})  # type: ignore[arg-type]
    assert pbt.last_scores([trial]) == [5]


def test_t10_7_a_result_within_the_interval_is_ignored() -> None:
    population = scored(new_pbt())
    population.take_done()
    assert population.report(0, 15, 1000) == "CONTINUE"
    assert population.take_done() == []
    assert population.pbt.last_scores(population.runner.trials) == [0, 50, 100, 150, 200]


def test_t10_7_one_of_the_best_is_remembered_and_forgotten_again() -> None:
    population = scored(new_pbt())
    population.pbt.reset_stats()
    population.take_done()
    population.report(0, 20, 300)
    assert population.take_done() == [("keep", 0)]
    population.report(1, 20, 400)  # the best are now 0 and 1
    assert population.take_done() == [("keep", 1)]
    population.report(4, 20, 200)
    assert population.take_done() == [("forget", 4)]
    population.report(4, 30, 200)
    assert population.take_done() == []
    assert population.pbt.debug_string() == "PopulationBasedTraining: 2 checkpoints, 0 perturbs"


def test_t10_7_one_of_the_worst_copies_one_of_the_best() -> None:
    """Over many seeds, each of the two best."""
    donors = set()
    for seed in range(20):
        population = scored(new_pbt(seed=seed))
        population.take_done()
        population.report(0, 20, -100)
        ((what, loser, donor),) = population.take_done()
        assert (what, loser) == ("exploit", 0)
        assert "@perturbed" in population.runner.trials[0].experiment_tag
        assert population.pbt.debug_string().endswith("1 perturbs")
        donors.add(donor)
    assert donors == {3, 4}


def test_t10_7_the_middle_goes_on() -> None:
    population = scored(new_pbt())
    population.report(2, 20, 100)  # it was one of the best when it came first
    assert population.take_done()[-1] == ("forget", 2)
    population.report(2, 30, 100)
    assert population.take_done() == []


def test_t10_7_a_donor_without_a_checkpoint_is_not_copied(caplog: pytest.LogCaptureFixture) -> None:
    """Trial 2 was in the middle, and moves up when 3 and 4 have ended."""
    caplog.set_level(logging.INFO)
    population = scored(new_pbt())
    population.report(2, 20, 100)
    population.end(3)
    population.end(4)
    population.take_done()
    population.report(0, 20, 10)
    assert population.take_done() == []
    assert "has no checkpoint" in caplog.text


def test_t10_7_the_quantile_is_at_most_half() -> None:
    population = Population(new_pbt(quantile_fraction=0.5), 3)
    for i in range(3):
        population.report(i, 10, i)
    population.report(1, 20, 1)  # the middle of three is neither
    assert population.take_done()[-1] == ("forget", 1)
    alone = Population(new_pbt(quantile_fraction=0.5), 1)
    alone.report(0, 10, 1)
    assert alone.take_done() == []


def test_t10_7_fraction_0_does_nothing() -> None:
    population = scored(new_pbt(quantile_fraction=0))
    population.report(0, 20, -100)
    assert population.take_done() == []


def test_t10_7_mode_min() -> None:
    population = scored(new_pbt(mode="min"))
    population.report(0, 20, 0)
    population.report(1, 20, 50)
    population.take_done()
    population.report(4, 20, 1000)
    ((what, loser, donor),) = population.take_done()
    assert (what, loser) == ("exploit", 4)
    assert donor in (0, 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), None])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_score_that_is_not_finite_is_the_worst_and_never_copied(bad: Any, mode: str) -> None:
    population = Population(new_pbt(quantile_fraction=0.5, mode=mode), 4)
    for i in range(3):
        population.report(i, 10, bad)
    assert population.take_done() == []  # nobody to copy
    population.report(3, 10, 1)
    assert population.take_done() == [("keep", 3)]
    donors = set()
    for time in range(20, 200, 10):
        population.report(0, time, bad)
        donors |= {what[2] for what in population.take_done() if what[0] == "exploit"}
    assert donors <= {3}
    assert donors
    json.loads(json.dumps(population.pbt.get_state(), allow_nan=False))


def test_t10_7_yields_to_those_who_wait_and_takes_the_one_compared_longest_ago() -> None:
    population = Population(new_pbt(), 4)
    trials = population.runner.trials
    trials[2].status = Trial.PENDING
    assert population.report(0, 10, 1) == "PAUSE"
    assert population.report(1, 12, 1) == "PAUSE"
    choose = population.pbt.choose_trial_to_run
    assert choose(population.runner) is trials[2]  # type: ignore[arg-type]
    trials[2].status = Trial.RUNNING
    assert choose(population.runner) is trials[0]  # type: ignore[arg-type]
    trials[0].status = Trial.RUNNING
    assert choose(population.runner) is trials[1]  # type: ignore[arg-type]
    trials[1].status = Trial.RUNNING
    assert choose(population.runner) is None  # type: ignore[arg-type]
    trials[2].status = Trial.PAUSED
    trials[2].held = True  # a client wants that: nobody yields to it
    assert population.report(0, 20, 1) == "CONTINUE"


def test_t10_7_who_was_set_back_waits_behind_those_of_the_same_time(tmp_path: Path) -> None:
    """Equal scores rank by order, so the first trial is always one of the worst: it copies one that waits, and must
    not take every turn from then on.
    """
    runner = make_scripted(
        new_pbt(metric="score", perturbation_interval=5),
        lambda config, iteration: {"score": 1.0},
        n=8,
        stop={"training_iteration": 60},
        directory=tmp_path,
        config={"lr": 1.0},
    )
    results = 0
    while not runner.is_finished() and results < 8 * 60 * 3:
        runner.step()
        results += 1
    assert runner.is_finished()


def test_t10_8_a_copy_begins_with_the_donors_config() -> None:
    """Unlisted keys are the donor's, the seed and the original tag stay the trial's own."""
    population = scored(new_pbt())
    for donor in (3, 4):
        population.runner.trials[donor].config["extra"] = "good"
    loser = population.runner.trials[0]
    population.report(0, 20, -100)
    assert loser.config["lr"] in (0.8, 1.2)
    assert (loser.config["extra"], loser.config["seed"], loser.config["size"]) == ("good", 0, 100)
    assert loser.experiment_tag == f"0_lr=1.0@perturbed[lr={loser.config['lr']}]"
    population.runner.trials[3].config["lr"] = population.runner.trials[4].config["lr"] = 5.0
    population.report(0, 40, -100)
    assert loser.experiment_tag == f"0_lr=1.0@perturbed[lr={loser.config['lr']}]"
    assert loser.config["lr"] in (4.0, 6.0)


def test_t10_8_copies_of_trials_with_one_seed_are_no_twins() -> None:
    population = scored(new_pbt())
    for trial in population.runner.trials:
        trial.config["seed"] = 7
    population.report(0, 20, -1)
    population.report(1, 20, -2)
    seeds = [trial.config["seed"] for trial in population.runner.trials]
    assert seeds[2:] == [7, 7, 7]
    assert len(set(seeds)) == 3


def test_a_copy_has_no_seed_where_the_trial_has_none() -> None:
    population = scored(new_pbt())
    del population.runner.trials[0].config["seed"]
    population.report(0, 20, -100)
    assert "seed" not in population.runner.trials[0].config


def test_t10_8_the_time_becomes_the_donors() -> None:
    population = scored(new_pbt())
    population.report(0, 55, -100)
    assert population.take_done()[-1][0] == "exploit"
    assert population.report(0, 19, 1000) == "CONTINUE"
    assert population.take_done() == []  # 9 after the donor's 10
    population.report(0, 20, 1000)
    assert population.take_done() == [("keep", 0)]


def test_the_trainable_clips_a_new_config(monkeypatch: pytest.MonkeyPatch) -> None:
    population = scored(new_pbt(custom_explore_fn=lambda config: {**config, "lr": 99.0}))
    cls = population.runner.trials[0].get_trainable_cls()

    def clip(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "lr": min(config["lr"], 2.0)}

    monkeypatch.setattr(cls, "clip_config", staticmethod(clip), raising=False)
    population.report(0, 20, -100)
    assert population.runner.trials[0].config["lr"] == 2.0


def test_a_config_with_a_schedule_is_refused_when_the_trial_is_added() -> None:
    population = scored(new_pbt())
    trial = Trial("Scripted", {"lr": 1.0, "lr_schedule": [[0, 1.0]]})
    with pytest.raises(TuneError, match="lr_schedule"):
        population.pbt.on_trial_add(population.runner, trial)  # type: ignore[arg-type]


def test_a_missing_metric_is_the_trials_failure() -> None:
    population = Population(new_pbt(metric="episode_reward_man"), 2)
    with pytest.raises(TrialFailure, match="nearest: 'episode_reward_mean'"):
        population.report(0, 10, 1)
    assert population.report(0, 9, 1) == "CONTINUE"  # nobody needs it yet


def test_a_state_that_cannot_be_saved_changes_nothing() -> None:
    population = scored(new_pbt())
    before = population.pbt.get_state()

    def fail(trial: Trial) -> None:
        raise TrialFailure("run", "on purpose", "")  # type: ignore[arg-type]

    population.runner.keep_donor = fail  # type: ignore[method-assign]
    with pytest.raises(TrialFailure):
        population.report(4, 20, 1000)
    assert population.pbt.get_state() == before


def test_who_has_ended_is_neither_compared_nor_copied() -> None:
    population = scored(new_pbt(quantile_fraction=0.5))
    population.end(4, "error")
    population.end(3, "remove")
    assert population.pbt.last_scores(population.runner.trials) == [0, 50, 100]
    population.take_done()
    population.report(2, 20, 100)
    population.report(0, 20, 0)
    assert population.take_done() == [("keep", 2), ("exploit", 0, 2)]


def test_a_trial_that_is_tried_again_is_the_same_member() -> None:
    population = scored(new_pbt())
    trial = population.runner.trials[4]
    population.pbt.on_trial_error(population.runner, trial)  # type: ignore[arg-type]
    trial.experiment_tag += "@perturbed[lr=2]"
    population.pbt.on_trial_add(population.runner, trial)  # type: ignore[arg-type]
    assert population.pbt.last_scores([trial]) == [200]
    population.report(4, 20, -1000)
    assert trial.experiment_tag.count("@perturbed") == 1


def test_the_seed_decides_everything() -> None:
    def story(seed: int | None) -> tuple[Any, ...]:
        population = scored(new_pbt(seed=seed, resample_probability=0.5))
        for time in (20, 30, 40):
            for i in range(5):
                population.report(i, time, 50 * i)
        done = population.take_done()
        return done, [trial.config["lr"] for trial in population.runner.trials]

    assert story(1) == story(1)
    assert story(1) != story(2)
    assert story(None) != story(None)


def test_two_copies_at_the_same_time_differ() -> None:
    """A trial may come to a time a second time, as its time becomes the donor's."""
    mutations = {"lr": tune.loguniform(1e-9, 1e9)}
    population = scored(new_pbt(hyperparam_mutations=mutations, resample_probability=1.0))
    seen = set()
    for _ in range(4):
        population.report(0, 20, -100)
        seen.add(population.runner.trials[0].config["lr"])
    assert len(seen) == 4


def test_t10_7_the_state_is_all_it_needs() -> None:
    """Another one that takes over asks for the same, and draws the same."""
    taken, kept = scored(new_pbt(seed=3)), scored(new_pbt(seed=3))
    successor = new_pbt(seed=4)
    state = json.loads(json.dumps(taken.pbt.get_state(), allow_nan=False))
    for trial, other in zip(taken.runner.trials, kept.runner.trials, strict=True):
        state = json.loads(json.dumps(state).replace(trial.trial_id, other.trial_id))
    successor.set_state(state)
    taken.pbt, taken.runner.trials = successor, kept.runner.trials
    runs = []
    for population in (taken, kept):
        population.take_done()
        for time in (20, 30, 40):
            for i in (4, 0, 2, 1, 3):
                population.report(i, time, (i * 37 + time * 13) % 101)
        runs.append(population.take_done())
    assert len(runs[0]) > 5
    assert runs[0] == runs[1]


def test_nothing_is_asked_for_while_a_run_is_replayed(tmp_path: Any) -> None:
    population = scored(new_pbt(log_config=True), directory=tmp_path)
    live = scored(new_pbt())
    population.take_done()
    population.runner.replaying = True
    configs = [dict(trial.config) for trial in population.runner.trials]
    for p in (population, live):
        p.report(0, 20, -100)
    assert not [what for what in population.take_done() if what[0] == "exploit"]
    assert [trial.config for trial in population.runner.trials] == configs
    assert not list(tmp_path.glob("pbt_*"))
    states = [p.pbt.get_state() for p in (population, live)]
    members = [[{**m, "tag": ""} for m in state["members"].values()] for state in states]
    assert members[0] == members[1]
