"""Trials in Ray actors: resources (T3), deaths of actors, and what passes between processes."""

from __future__ import annotations

import json
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.ray_trial_executor import RayTrialExecutor
from rltune.tune.schedulers import FIFOScheduler
from rltune.tune.trial import Trial
from tests.tune.trainables import Counter, Resettable

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

run = partial(tune.run, verbose=0)


def lines(trial: Trial) -> list[dict[str, Any]]:
    assert trial.logdir is not None
    return [json.loads(line) for line in Path(trial.logdir, "result.json").open()]


class Watches(FIFOScheduler):
    """Notes how many trials run at each result."""

    def __init__(self) -> None:
        self.running: list[int] = []

    def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
        self.running.append(len(trial_runner.trial_executor.get_running_trials()))
        return self.CONTINUE


def at_once(resources: dict[str, Any], num_samples: int = 4) -> int:
    """How many trials of this kind run together."""

    def steps(config: dict[str, Any], reporter: Any) -> None:
        for i in range(3):
            reporter(step=i)

    watches = Watches()
    run(steps, resources_per_trial=resources, num_samples=num_samples, scheduler=watches)
    return max(watches.running)


def test_a_class_is_trained_saved_and_restored_in_its_actor(tmp_path: Path) -> None:
    config = {"fail_at": 3, "once": str(tmp_path / "failed")}
    [trial] = run(Counter, config=config, stop={"count": 4}, checkpoint_freq=2)
    results = lines(trial)
    assert [result["count"] for result in results] == [1, 2, 3, 4]
    assert results[0]["pid"] != os.getpid() and results[2]["pid"] != results[1]["pid"]
    assert "a fault on purpose" in Path(trial.error_file).read_text()
    assert "tests/tune/trainables.py" in Path(trial.error_file).read_text()


def test_the_working_directory_and_the_process_title() -> None:
    def report(config: dict[str, Any], reporter: Any) -> None:
        import psutil

        reporter(cwd=os.getcwd(), title=psutil.Process().cmdline()[0])

    [trial] = run(report)
    assert trial.last_result["cwd"] == trial.logdir
    assert trial.last_result["title"].startswith("ray::report")


def test_t1_5_names_reach_the_actors(tmp_path: Path) -> None:
    tune.register_env("my_env", lambda config: "made")
    tune.register_trainable("by_id", lambda config, reporter: reporter(env=_look_up("my_env")))
    [trial] = run("by_id")
    assert trial.last_result["env"] == "made"


def _look_up(name: str) -> Any:
    from rltune.registry import get_env_creator

    creator = get_env_creator(name)
    return creator and creator({})


def test_t3_2_extra_resources_count() -> None:
    assert at_once({"cpu": 1, "extra_cpu": 1}) == 2


def test_t3_2_custom_resources_count() -> None:
    assert at_once({"cpu": 1, "custom_resources": {"hi": 2}}, num_samples=2) == 1


def test_t3_2_actors_of_a_trial_get_its_extra_resources() -> None:
    def has_child(config: dict[str, Any], reporter: Any) -> None:
        import ray

        @ray.remote(num_cpus=1)
        class Child:
            def group(self) -> bool:
                return ray.util.get_current_placement_group() is not None

        children = [Child.remote() for _ in range(2)]
        reporter(grouped=ray.get([child.group.remote() for child in children], timeout=60))

    # Two of these fill the cluster: without their reservations the children would wait for ever.
    trials = run(has_child, resources_per_trial={"cpu": 0, "extra_cpu": 2}, num_samples=3)
    assert [trial.last_result["grouped"] for trial in trials] == [[True, True]] * 3


def test_t3_2_a_class_divides_its_extra_resources_itself() -> None:
    class Divides(Counter):
        @classmethod
        def placement_bundles(cls, config: dict[str, Any]) -> list[dict[str, float]]:
            return [{"CPU": 1}, {"CPU": 0.5}]

        def _train(self) -> dict[str, Any]:
            import ray

            group = ray.util.get_current_placement_group()
            return {"bundles": group.bundle_specs}

    resources = {"cpu": 1, "extra_cpu": 1.5}
    [trial] = run(Divides, resources_per_trial=resources, stop={"training_iteration": 1})
    assert trial.last_result["bundles"] == [{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 0.5}]


def test_t3_2_nothing_stays_reserved() -> None:
    import ray

    run(Counter, stop={"count": 1}, resources_per_trial={"cpu": 2, "extra_cpu": 2, "gpu": 1})
    deadline = time.monotonic() + 10
    while ray.available_resources().get("CPU") != 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ray.available_resources()["CPU"] == 4


def report_gpus(config: dict[str, Any], reporter: Any) -> None:
    for _ in range(3):
        reporter(gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))


def test_t3_3_fractions_share_a_gpu() -> None:
    watches = Watches()
    trials = run(
        report_gpus,
        resources_per_trial={"cpu": 0.1, "gpu": 0.5, "custom_resources": {"hi": 0.1}},
        num_samples=6,
        scheduler=watches,
    )
    assert max(watches.running) == 4  # on two GPUs
    assert {trial.last_result["gpus"] for trial in trials} == {"0", "1"}
    assert RayTrialExecutor()._free()["GPU"] == pytest.approx(2)


def test_t3_4_visible_devices() -> None:
    assert run(report_gpus)[0].last_result["gpus"] == ""
    [trial] = run(report_gpus, resources_per_trial={"gpu": 1})
    assert trial.last_result["gpus"] in ("0", "1")
    [trial] = run(report_gpus, resources_per_trial={"gpu": 2})
    assert trial.last_result["gpus"] == "0,1"


def test_t3_5_insufficient_resources_are_explained(results_dir: Path) -> None:
    class Greedy(Counter):
        @classmethod
        def resource_help(cls, config: dict[str, Any]) -> str:
            return "Ask for less."

    with pytest.raises(tune.TuneError) as caught:
        run(Greedy, resources_per_trial={"cpu": 100})
    text = str(caught.value)
    for part in ("100 CPUs, 0 GPUs", "4 CPUs, 2 GPUs, 3 hi", "queue_trials=True", "Ask for less."):
        assert part in text
    assert not results_dir.exists()


def test_t3_6_queueing_needs_some_of_each_resource(caplog: pytest.LogCaptureFixture) -> None:
    executor = RayTrialExecutor(queue_trials=True)
    needs = tune.trial.Resources  # type: ignore[attr-defined]
    assert executor.has_resources(needs(100, 0)) and "is queued" in caplog.text
    assert not executor.has_resources(needs(1, 0, custom_resources={"absent": 1}))
    assert not RayTrialExecutor().has_resources(needs(100, 0))


def test_a_dead_actor_is_a_failure_that_is_retried(tmp_path: Path) -> None:
    class Dies(Counter):
        def _train(self) -> dict[str, Any]:
            result = super()._train()
            if self.count == 3 and self._may_fail():
                os._exit(1)
            return result

    config = {"once": str(tmp_path / "died")}
    [trial] = run(Dies, config=config, stop={"count": 4}, checkpoint_freq=2)
    assert [line["count"] for line in lines(trial)] == [1, 2, 3, 4]
    assert trial.num_failures == 1 and "died" in Path(trial.error_file).read_text()


def test_what_cannot_be_sent_to_an_actor(results_dir: Path) -> None:
    lock = threading.Lock()

    def holds(config: dict[str, Any], reporter: Any) -> None:
        reporter(x=str(lock))

    with pytest.raises(TypeError, match="'holds'"):
        run(holds)
    assert not results_dir.exists()
    tune.register_trainable("holds", report_gpus)  # for the tests that follow
    config = {"lock": tune.sample_from(lambda spec: threading.Lock())}
    [trial] = run(report_gpus, config=config, raise_on_failed_trial=False)
    assert trial.status == "ERROR" and "pickle" in Path(trial.error_file).read_text()


def test_a_result_that_cannot_be_sent_back_is_a_failure_of_the_trial() -> None:
    def report(config: dict[str, Any], reporter: Any) -> None:
        reporter(lock=threading.Lock())

    [trial] = run(report, max_failures=0, raise_on_failed_trial=False)
    assert trial.status == "ERROR" and "pickle" in Path(trial.error_file).read_text()


class AlwaysPauses(FIFOScheduler):
    def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
        return self.PAUSE


@pytest.mark.parametrize("reuse", [True, False])
def test_t10_9_actor_reuse(reuse: bool) -> None:
    trials = run(
        Resettable,
        num_samples=4,
        stop={"training_iteration": 2},
        resources_per_trial={"cpu": 4},
        scheduler=AlwaysPauses(),
        reuse_actors=reuse,
    )
    resets = sorted(trial.last_result["resets"] for trial in trials)
    assert resets == ([1, 2, 3, 4] if reuse else [0, 0, 0, 0])
    assert [trial.last_result["count"] for trial in trials] == [2] * 4
    pids = {line["pid"] for trial in trials for line in lines(trial)}
    assert len(pids) == 1  # either way


def test_t10_9_a_refused_reset_is_not_retried() -> None:
    trials = run(
        Resettable,
        config={"refuse": True},
        num_samples=2,
        stop={"training_iteration": 2},
        resources_per_trial={"cpu": 4},
        scheduler=AlwaysPauses(),
        reuse_actors=True,
        raise_on_failed_trial=False,
    )
    assert "ERROR" in [trial.status for trial in trials]
    [failed] = [trial for trial in trials if trial.status == "ERROR"][:1]
    assert failed.num_failures == 1 and "reset_config" in Path(failed.error_file).read_text()


def test_a_process_that_ray_refuses_is_a_failure_of_its_trial_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ValueError("no such bundle")

    monkeypatch.setattr("ray.util.placement_group", refuse)

    class Sized(Counter):
        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> Any:
            return tune.trial.Resources(1, 0, extra_cpu=config["extra"])  # type: ignore

    config = {"extra": tune.grid_search([0, 1, 0])}
    trials = run(Sized, config=config, stop={"count": 1}, raise_on_failed_trial=False)
    assert [trial.status for trial in trials] == ["TERMINATED", "ERROR", "TERMINATED"]
    assert trials[1].num_failures == 1
    assert "no such bundle" in Path(trials[1].error_file).read_text()
