"""Runs that are killed after any byte of their journal decide what the undisturbed run does (T10.1, T11.1)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.result import TIME_THIS_ITER_S
from rltune.tune.checkpoints import DONOR
from tests.tune.schedulers import examples, kills
from tests.tune.schedulers.examples import SCHEDULERS


class Climber(kills.Killable):
    """Its height follows from where it was, its config and the iteration; so does how long that takes."""

    def _setup(self, config: dict[str, Any]) -> None:
        self.height = 0.0

    def _train(self) -> dict[str, Any]:
        draw = self._draw("step")
        self.height += self.config["x"] * (1 + draw.random())
        return {"score": self.height, TIME_THIS_ITER_S: 0.5 + draw.random()}

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"height": self.height}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.height = checkpoint["height"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.height = 0.0
        return super().reset_config(new_config)

    def _draw(self, *what: Any) -> random.Random:
        return random.Random(
            f"{self.config.get('index')} {self.config['x']} {self.iteration} {what}"
        )


class Faulty(Climber):
    """Some iterations fail, and some saves for others; a few do so again when they are tried again. What went well goes
    well when it is repeated.
    """

    def _train(self) -> dict[str, Any]:
        self._may_fail("train", 0.08)
        return super()._train()

    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        if DONOR in checkpoint_dir:
            self._may_fail("save", 0.1)
        return super()._save(checkpoint_dir)

    def _may_fail(self, what: str, probability: float) -> None:
        trial = self.trial()
        known = trial.catching_up and self.iteration < trial.seen
        often = self._draw(what).random() < probability
        if not known and often and self._draw(what, trial.num_failures).random() < 0.7:
            raise RuntimeError("on purpose")


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "saves": {"checkpoint_freq": 2, "keep_checkpoints_num": 1, "checkpoint_at_end": True},
    "fails": {"max_failures": 2},
    "fails and saves": {"max_failures": 2, "checkpoint_freq": 2},
    "reuses": {"checkpoint_freq": 2},
}


def make_case(name: str, way: str) -> kills.Case:
    """Eight or more trials on three places."""
    more = {**WAYS[way], "stop": {"training_iteration": examples.END}}
    searches = name.startswith("optuna")
    if searches:
        pytest.importorskip("optuna")
    else:
        more["config"] = {"x": tune.sample_from(lambda spec: examples.x_of(spec.config.index))}
    return kills.Case(
        SCHEDULERS[name],
        Faulty if "fails" in way else Climber,
        examples.optuna if searches else None,
        examples.number_of_trials(name),
        reuse_actors=way == "reuses",
        more=more,
    )


def check(
    case: kills.Case, tmp_path: Path, patch: pytest.MonkeyPatch, seed: str, numbers: Iterable[int]
) -> None:
    """Kills a run for each of the numbers: at some byte, every fourth at five, with snapshots often or never."""
    whole = tmp_path / "whole"
    assert kills.run(case, whole, patch, []) == 0
    told, size = kills.story(whole / kills.NAME), kills.size(whole / kills.NAME)
    kills.check_checkpoints(whole / kills.NAME)
    for i in numbers:
        moment = random.Random(f"{seed} {i}")
        case.steps_per_snapshot = (kills.NEVER, 7, 1)[i % 3]
        number = 5 if i % 4 == 3 else 1
        limits = [moment.randrange(int(0.95 * size) // number) for _ in range(number)]
        killed = tmp_path / str(i)
        assert kills.run(case, killed, patch, limits) == number, limits
        story = kills.story(killed / kills.NAME)
        for part in told:
            assert story[part] == told[part], (limits, case.steps_per_snapshot)
        kills.check_checkpoints(killed / kills.NAME)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_t10_1_a_killed_run_decides_as_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for i, way in enumerate(WAYS):
        check(make_case(name, way), tmp_path / way, monkeypatch, name, [i])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_t10_1_killed_at_a_hundred_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    check(make_case(name, way), tmp_path, monkeypatch, f"{name} {way}", range(100))
