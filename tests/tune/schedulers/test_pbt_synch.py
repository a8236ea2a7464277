"""PBT's synchronous mode: all trials are compared at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from rltune import tune
from tests.tune.schedulers.population import Population, new_pbt
from tests.tune.scripted import Scripted, make_scripted, run_scripted


def synchronous(n: int = 4, **more: Any) -> Population:
    return Population(new_pbt(synch=True, **more), n)


def chosen(population: Population) -> int | None:
    trial = population.pbt.choose_trial_to_run(population.runner)  # type: ignore[arg-type]
    return None if trial is None else population.runner.trials.index(trial)


def test_who_is_early_waits_for_all_others() -> None:
    population = synchronous()
    assert population.report(0, 9, 0) == "CONTINUE"
    for i in (3, 0, 1):
        assert population.report(i, 10, i) == "PAUSE"
        assert chosen(population) is None
    assert not [what for what in population.take_done() if what[0] == "exploit"]
    assert population.report(2, 10, 2) == "PAUSE"  # others wait for a place
    assert [what for what in population.take_done() if what[0] == "exploit"] == [("exploit", 0, 3)]
    assert chosen(population) == 3  # it has waited longest


def test_a_trial_that_is_alone_never_waits() -> None:
    population = synchronous(1)
    assert [population.report(0, time, 1) for time in (10, 20, 30)] == ["CONTINUE"] * 3


def test_the_last_one_may_be_the_loser_or_the_donor() -> None:
    for last, expected in ((0, ("exploit", 0, 3)), (3, ("exploit", 0, 3))):
        population = synchronous()
        for i in [i for i in range(4) if i != last] + [last]:
            population.report(i, 10, i)
        done = population.take_done()
        assert [what for what in done if what[0] == "exploit"] == [expected]
        kept = {what[1] for what in done if what[0] == "keep"}
        forgotten = {what[1] for what in done if what[0] == "forget"}
        assert kept - forgotten == {3}


def test_only_those_who_may_be_among_the_best_are_saved() -> None:
    population = synchronous()
    for i in (3, 2, 1, 0):
        population.report(i, 10, i)
    assert [what for what in population.take_done() if what[0] == "keep"] == [("keep", 3)]


def test_the_dead_block_no_round() -> None:
    """Whatever their end, and if nobody else is missing, the round is over at once."""
    for how in ("complete", "error", "remove"):
        population = synchronous()
        for i in (0, 1, 3):
            population.report(i, 10, i)
        population.take_done()
        population.end(2, how)
        assert [w for w in population.take_done() if w[0] == "exploit"] == [("exploit", 0, 3)]
        assert chosen(population) == 0


def test_a_member_that_dies_waiting_is_not_copied() -> None:
    population = synchronous()
    for i in (0, 1, 3):
        population.report(i, 10, i)
    population.end(3, "error")
    population.take_done()
    population.report(2, 10, 2)
    assert [what for what in population.take_done() if what[0] == "exploit"] == [("exploit", 0, 2)]


def test_a_trial_that_comes_later_is_waited_for() -> None:
    population = synchronous()
    for i in (0, 1, 2):
        population.report(i, 10, i)
    late = Population(new_pbt(), 1).runner.trials[0]
    population.runner.trials.append(late)
    population.pbt.on_trial_add(population.runner, late)  # type: ignore[arg-type]
    population.report(3, 10, 3)
    assert not [what for what in population.take_done() if what[0] == "exploit"]
    population.report(4, 10, 4)
    assert [what for what in population.take_done() if what[0] == "exploit"]


def test_the_next_round_is_after_the_latest_report() -> None:
    population = synchronous(2)
    population.report(0, 35, 1)
    population.report(1, 10, 0)
    for time in (20, 30, 39):
        assert population.report(1, time, 0) == "CONTINUE"
    assert population.report(1, 40, 0) == "PAUSE"


def test_every_comparison_is_at_one_time() -> None:
    """With unequal durations and fewer places than trials, all are compared at 5, 10, ..."""
    pbt = new_pbt(
        metric="score", perturbation_interval=5, hyperparam_mutations={"x": [1]}, synch=True
    )
    rounds: list[set[float]] = []
    end = pbt._end_round_if_complete

    def watch(runner: Any) -> None:
        before = {m.time for m in pbt._members.values() if m.alive}
        next_round = pbt._next_round
        end(runner)
        if pbt._next_round != next_round:
            rounds.append(before)

    pbt._end_round_if_complete = watch  # type: ignore[method-assign]
    runner = run_scripted(
        pbt,
        lambda config, i: {"score": i * config["index"], "time_this_iter_s": 1 + config["index"]},
        n=7,
        slots=3,
        stop={"training_iteration": 30},
    )
    assert rounds == [{float(time)} for time in range(5, 30, 5)]
    assert all(trial.last_result["training_iteration"] == 30 for trial in runner.get_trials())
    assert pbt._num_perturbations == 2 * 5


class Sum(Scripted):
    """The sum of all steps so far."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.sum = 0

    def _train(self) -> dict[str, Any]:
        if self.config["step"] == 9 and self.iteration == 3:
            raise RuntimeError("on purpose")
        self.sum += self.config["step"]
        return {"score": self.sum}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"sum": self.sum}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.sum = checkpoint["sum"]


@pytest.mark.parametrize("how", ["fails", "is stopped"])
def test_a_round_that_ends_with_a_death_is_carried_out(how: str) -> None:
    """The last one to come never does: the worst of those who wait goes on from the best one's state."""
    pbt = new_pbt(
        metric="score", perturbation_interval=5, hyperparam_mutations={"x": [1]}, synch=True
    )
    last = 9 if how == "fails" else 3
    runner = make_scripted(
        pbt,
        Sum,
        slots=1,
        config={"step": tune.sample_from(lambda spec: [1, 2, 7, last][spec.config.index])},
        stop={"training_iteration": 7},
        n=4,
    )
    seen: dict[Any, None] = {}
    while not runner.is_finished():
        runner.step()
        seen[runner.get_trials()[0].last_result.get("score")] = None
        if how == "is stopped" and len(pbt._arrived) == 3:
            runner.stop_trial(runner.get_trials()[3])
    scores = [trial.last_result["score"] for trial in runner.get_trials()[:3]]
    assert scores == [7 * 7, 7 * 2, 7 * 7]
    assert list(seen)[-7:] == [1, 2, 3, 4, 5, 6 * 7, 7 * 7]
    assert "@perturbed" in runner.get_trials()[0].experiment_tag
