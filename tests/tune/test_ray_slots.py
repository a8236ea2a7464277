"""Processes that host one trial after another, and what makes a new one."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltune import tune
from rltune.tune.process_state import ProcessState
from tests.tune.trainables import Counter

ALL = {"cpu": 4}  # of the cluster: one trial at a time

run = partial(tune.run, verbose=0, resources_per_trial=ALL, stop={"training_iteration": 1})
on_ray = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


class Tells(Counter):
    """Reports its process as it finds it, then spoils it."""

    def _setup(self, config: dict[str, Any]) -> None:
        super()._setup(config)
        self.found = {"cwd": os.getcwd(), "draw": random.random(), "np": np.random.rand()}
        self.found["spoilt"] = os.environ.get("SPOILT")
        os.environ["SPOILT"] = "yes"
        os.environ.pop("HOME", None)
        random.seed(1)
        np.random.seed(1)
        os.chdir("/")

    def _train(self) -> dict[str, Any]:
        return {**super()._train(), **self.found, "draw_2": random.random()}


def results(**arguments: Any) -> list[dict[str, Any]]:
    return [trial.last_result for trial in run(**arguments)]


def pids(trainable: Any, **arguments: Any) -> int:
    """How many processes a few trials took."""
    return len({r["pid"] for r in results(run_or_experiment=trainable, num_samples=3, **arguments)})


class TestOnRay:
    pytestmark = on_ray

    def test_trials_find_the_process_as_new(self) -> None:
        trials = run(Tells, num_samples=3)
        found = [trial.last_result for trial in trials]
        assert len({result["pid"] for result in found}) == 1
        assert [result["cwd"] for result in found] == [trial.logdir for trial in trials]
        assert {result["spoilt"] for result in found} == {None}
        assert len({result["draw"] for result in found}) == 3  # no trial repeats another's numbers
        assert len({result["np"] for result in found}) == 3
        assert len({result["draw_2"] for result in found}) == 1  # which each had seeded itself

    def test_functions_share_a_process_too(self) -> None:
        def report(config: dict[str, Any], reporter: Any) -> None:
            reporter(x=1)

        assert pids(report) == 1

    def test_every_trial_can_have_its_own_process(self) -> None:
        assert pids(Counter, isolate_trials=True) == 3

    def test_processes_with_a_gpu_end(self) -> None:
        assert pids(Counter, resources_per_trial={"cpu": 4, "gpu": 1}) == 3

    def test_a_trial_of_another_shape_gets_the_room_of_an_idle_process(self) -> None:
        config = {"n": tune.grid_search([1, 2])}

        class Sized(Counter):
            @classmethod
            def default_resource_request(cls, config: dict[str, Any]) -> Any:
                return tune.trial.Resources(4, 0, custom_resources={"hi": config["n"]})  # type: ignore

        found = tune.run(Sized, config=config, verbose=0, stop={"training_iteration": 1})
        assert len({trial.last_result["pid"] for trial in found}) == 2

    @pytest.mark.parametrize("left", ["thread", "child", "function"])
    def test_what_a_trial_leaves_behind_costs_a_new_process(self, left: str) -> None:
        class Leaves(Counter):
            def _setup(self, config: dict[str, Any]) -> None:
                super()._setup(config)
                if left == "thread":
                    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                elif left == "child":
                    self.child = subprocess.Popen(["sleep", "60"])

        def computes_on(config: dict[str, Any], reporter: Any) -> None:
            try:
                reporter(x=1)
            finally:
                time.sleep(60)

        assert pids(computes_on if left == "function" else Leaves) == 3

    def test_a_failed_trial_costs_a_new_process(self, tmp_path: Path) -> None:
        config = {"fail_at": tune.grid_search([0, 1, 0]), "once": str(tmp_path / "failed")}
        assert pids(Counter, config=config, max_failures=1) >= 2

    def test_a_placement_group_belongs_to_the_process(self) -> None:
        def group(config: dict[str, Any], reporter: Any) -> None:
            import ray

            child = ray.remote(num_cpus=1)(Child).remote()
            if config["keeps"]:
                Child.kept = child
            id_ = ray.util.get_current_placement_group().id.hex()
            reporter(group=id_, child=ray.get(child.pid.remote(), timeout=60))

        resources = {"cpu": 1, "extra_cpu": 1, "custom_resources": {"hi": 3}}
        for keeps, processes in ((False, 1), (True, 2)):
            found = [
                trial.last_result
                for trial in tune.run(
                    group,
                    config={"keeps": keeps},
                    num_samples=2,
                    resources_per_trial=resources,
                    verbose=0,
                )
            ]
            assert len({result["pid"] for result in found}) == processes
            assert len({result["group"] for result in found}) == processes
            assert len({result["child"] for result in found}) == 2

    def test_an_idle_process_that_dies_harms_no_trial(self) -> None:
        class Dying(Counter):
            """Its process ends a moment after the trial has."""

            def _stop(self) -> None:
                if not self.config["last"]:
                    script = f"sleep 0.3; kill -9 {os.getpid()}"
                    subprocess.Popen(["sh", "-c", f"({script}) & exit 0"]).wait()

        class Slow(tune.schedulers.FIFOScheduler):
            """Leaves the process idle until it is dead."""

            def choose_trial_to_run(self, trial_runner: Any) -> Any:
                trial = super().choose_trial_to_run(trial_runner)
                if trial is not None and trial.config["last"]:
                    time.sleep(0.6)
                return trial

        config = {"last": tune.grid_search([False, True])}
        trials = run(Dying, config=config, scheduler=Slow(), max_failures=0)
        assert [trial.num_failures for trial in trials] == [0, 0]
        assert len({trial.last_result["pid"] for trial in trials}) == 2


class Child:
    kept: Any = None

    def pid(self) -> int:
        return os.getpid()


def test_leftovers_are_named_and_the_rest_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "1")
    state = ProcessState()
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="busy")
    thread.start()
    assert "thread busy" in state.leftovers()
    go.set()
    thread.join()
    assert "thread busy" not in state.leftovers()
    before = os.getcwd()
    monkeypatch.chdir(tmp_path)
    os.environ["KEPT"] = "2"
    state.restore()
    assert os.getcwd() == before and os.environ["KEPT"] == "1"
