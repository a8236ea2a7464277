"""OptunaSearch."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.schedulers import AsyncHyperBandScheduler
from tests.tune.scripted import make_scripted
from tests.tune.suggest.libraries import SPACE, Trials, class_of, loss_of, make, needs

CUTS = 100

pytestmark = needs("Optuna")


def search(**arguments: Any) -> Any:
    return class_of("Optuna")(arguments.pop("space", SPACE), metric="loss", mode="min", **arguments)


def states(made: Any) -> list[str]:
    return [trial.state.name for trial in made._study.trials]


def test_what_each_end_is_to_optuna() -> None:
    made = search(seed=1)
    for trial_id in "abc":
        made._suggest(trial_id)
    made.on_trial_complete("b", error=True)
    made.on_trial_result("c", {"loss": 7.0, "training_iteration": 3})
    made.on_trial_complete("c", early_terminated=True)
    assert states(made) == ["RUNNING", "FAIL", "PRUNED"]
    assert made._study.trials[2].intermediate_values == {3: 7.0}
    made.on_trial_complete("a", {"loss": 2.0, "training_iteration": 9})
    assert states(made)[0] == "COMPLETE" and made._study.best_value == 2.0


def test_trials_that_were_stopped_early_steer_it() -> None:
    """With nothing but such trials, later ones are nearer to where the value is small."""
    made = search(seed=3, space={"x": SPACE["x"]}, max_concurrent=1)
    seen = []
    for trial in range(40):
        config = made._suggest(str(trial))
        seen.append(loss_of(config))
        made.on_trial_result(str(trial), {"loss": seen[-1], "training_iteration": 1})
        made.on_trial_complete(str(trial), early_terminated=True)
    assert sum(seen[20:]) < sum(seen[:20]) / 2


def test_t11_1_what_a_scheduler_stops_reaches_it() -> None:
    made = search(seed=1, space={"x": SPACE["x"]}, max_concurrent=2)
    scheduler = AsyncHyperBandScheduler(metric="loss", mode="min", grace_period=1, max_t=3)
    runner = make_scripted(scheduler, lambda c, i: {"loss": loss_of(c) + i}, n=5, search_alg=made)
    runner.run()
    for trial, told in zip(runner.get_trials(), made._study.trials, strict=True):
        assert told.state.name == "PRUNED" and told.params["x"] == trial.config["x"]
        assert told.intermediate_values == {
            trial.last_result["training_iteration"]: trial.last_result["loss"]
        }


def test_points_to_evaluate_come_first_and_may_leave_out_values() -> None:
    points = [{"x": 1.5, "kind": [1, 2], "inner": {"rate": 0.5, "size": 3}}, {"x": -2.0}]
    made = search(seed=1, points_to_evaluate=points)
    first, second = made._suggest("a"), made._suggest("b")
    assert first == points[0]
    assert second["x"] == -2.0 and set(second) == set(SPACE)
    with pytest.raises(tune.TuneError, match="point has 'y', which is not in the search space"):
        search(points_to_evaluate=[{"y": 1}])
    with pytest.raises(tune.TuneError, match="'b' for 'kind', which is none of its choices"):
        search(points_to_evaluate=[{"kind": "b"}])


def test_its_own_distributions_may_stand_for_ranges() -> None:
    import optuna

    space = {"a": {"b": optuna.distributions.FloatDistribution(0, 1, step=0.5)}}
    config = search(space=space)._suggest("t")
    assert config["a"]["b"] in (0.0, 0.5, 1.0)


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "QMCSampler"])
@pytest.mark.filterwarnings("ignore:QMCSampler is experimental")
def test_a_seeded_sampler_of_the_user_goes_on_alike(sampler: str) -> None:
    import optuna

    space = {"x": SPACE["x"], "y": tune.uniform(0, 1)}

    def made() -> Any:
        return search(
            space=space, max_concurrent=3, sampler=getattr(optuna.samplers, sampler)(seed=4)
        )

    trials = Trials(made())
    trials.ask(15)
    resumed = trials.resumed(made())
    assert resumed.ask(3) == trials.ask(3)


def test_one_without_a_seed_keeps_what_it_knows(caplog: pytest.LogCaptureFixture) -> None:
    import optuna

    trials = Trials(search(sampler=optuna.samplers.RandomSampler()))
    trials.ask(6)
    while trials.live:
        trials.end_oldest()
    resumed = trials.resumed(search(sampler=optuna.samplers.RandomSampler()))
    assert "6 of 6 suggestions differ (is there a seed?)" in caplog.text

    def known(made: Any) -> list[Any]:
        return [(t.params, t.value) for t in made._study.trials if t.value is not None]

    assert known(resumed.search) == known(trials.search) and len(known(trials.search)) == 5


def curve(config: dict[str, Any], iteration: int) -> dict[str, Any]:
    """Better with time; one in eight fails."""
    if config["inner"]["size"] == 4:
        raise RuntimeError("it was to fail")
    return {"loss": loss_of(config) + 5 / iteration}


def run(directory: Path, resume: bool = False) -> list[Any]:
    """One place: what comes after what does not depend on how far a killed trial had come."""
    scheduler = AsyncHyperBandScheduler(
        metric="loss", mode="min", grace_period=1, reduction_factor=2, max_t=8, seed=1
    )
    runner = make_scripted(
        scheduler, curve, n=14, slots=1, directory=directory, resume=resume,
        stop={"training_iteration": 6}, search_alg=make("Optuna", max_concurrent=3),
    )  # fmt: skip
    runner.run()
    return [
        (t.experiment_tag, t.config, t.status, t.last_result.get("training_iteration"))
        for t in runner.get_trials()
    ]


def test_killed_at_any_byte_of_the_journal_it_suggests_the_same(tmp_path: Path) -> None:
    directory, backup = tmp_path / "run", tmp_path / "backup"
    undisturbed = run(directory)
    assert len({status for _, _, status, _ in undisturbed}) == 2  # some fail
    assert len({iteration for *_, iteration in undisturbed}) > 2  # some are stopped early
    [journal] = (directory / "scripted").glob("journal-*")
    [state] = (directory / "scripted").glob("experiment_state-*")
    state.unlink()
    directory.rename(backup)
    first_line = journal_bytes(backup, journal).index(b"\n") + 1
    rng = random.Random(0)
    for _ in range(CUTS):
        shutil.copytree(backup, directory)
        cut = rng.randrange(first_line, len(journal_bytes(backup, journal)))
        os.truncate(journal, cut)
        assert run(directory, resume=True) == undisturbed, cut
        shutil.rmtree(directory)


def journal_bytes(backup: Path, journal: Path) -> bytes:
    return (backup / "scripted" / journal.name).read_bytes()
