"""How experiments will be run: where, with which scheduler. Decided before anything starts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rltune.cli.checks import check_experiment, is_algorithm
from rltune.cli.params import flag_name
from rltune.cli.tuning import TUNING_KEYS, Tuning, make_tuning
from rltune.config import ConfigError
from rltune.tune import experiment_state
from rltune.tune.experiment import Experiment
from rltune.tune.trial import Trial

CLUSTER_FLAGS = (
    "ray_num_cpus",
    "ray_num_gpus",
    "ray_memory",
    "ray_object_store_memory",
    "ray_num_nodes",
)
"""Flags that describe a new local cluster."""

RAY_FLAGS = ("ray_address", *CLUSTER_FLAGS, "queue_trials")
"""Flags that mean something only where trials run on Ray."""


@dataclass(frozen=True)
class Plan:
    """What `launch.run` carries out."""

    experiments: list[Experiment]
    executor: str
    """`local` or `ray`."""
    reason: str
    """Why that executor, as the banner says it."""
    ray_address: str | None
    cluster: dict[str, Any]
    """What RayTrialExecutor takes about a new local cluster, where it was given."""
    queue_trials: bool
    tuning: dict[str, Tuning]
    """By experiment: what else `tune.run` takes."""
    resume: dict[str, str | bool]
    """By experiment: what `tune.run` takes as `resume`."""
    verbose: int


def make_plan(specs: Mapping[str, Mapping[str, Any]], flags: Mapping[str, Any]) -> Plan:
    """Checks every experiment and every flag about running; nothing is started or written.

    Raises ConfigError and whatever else is in `checks.MISTAKES`.
    """
    given = {key: value for key, value in flags.items() if value is not None and value is not False}
    _check_ray_flags(given)
    experiments: list[Experiment] = []
    points: list[Trial] = []
    tuning: dict[str, Tuning] = {}
    for name, spec in specs.items():
        about = {key: value for key, value in spec.items() if key not in TUNING_KEYS}
        experiment, trials = check_experiment(name, about)
        experiments.append(experiment)
        points += trials
        try:
            tuning[name] = make_tuning(spec, experiment, trials)
        except ConfigError as error:
            raise ConfigError([f"{name}: {p}" for p in error.problems], error.where) from error
    executor, reason = _executor(given, experiments, points)
    cluster = {key.removeprefix("ray_"): given[key] for key in CLUSTER_FLAGS if key in given}
    cores = os.cpu_count() or 1
    joins = "RAY_ADDRESS" in os.environ or "ray_address" in given
    if executor == "ray" and not joins and "num_cpus" not in cluster:
        counted = _cores_to_count(points, cores)
        if counted > cores:
            cluster["num_cpus"] = counted
            reason += (
                f"; Ray counts {counted} cores for the {cores} of this machine, since a trial's own "
                "process waits while its rollout actors sample"
            )
    return Plan(
        experiments=experiments,
        executor=executor,
        reason=reason,
        ray_address=given.get("ray_address"),
        cluster=cluster,
        queue_trials="queue_trials" in given,
        tuning=tuning,
        resume=_resume(given.get("resume", False), experiments),
        verbose=1 + given.get("verbosity", 0),
    )


def _check_ray_flags(given: Mapping[str, Any]) -> None:
    if "ray_redis_max_memory" in given:
        raise ConfigError(
            ["--ray-redis-max-memory: Ray has no Redis of its own any more; leave it out"]
        )
    ray_flags = [flag_name(key) for key in RAY_FLAGS if key in given]
    cluster_flags = [flag_name(key) for key in CLUSTER_FLAGS if key in given]
    if "ray_address" in given and cluster_flags:
        raise ConfigError([f"{cluster_flags[0]} is for a new cluster; --ray-address joins one"])
    if "local_mode" in given and given["executor"] == "ray":
        raise ConfigError(["--local-mode and --executor ray contradict each other; give one"])
    if ray_flags and ("local_mode" in given or given["executor"] == "local"):
        local = "--local-mode" if "local_mode" in given else "--executor local"
        raise ConfigError([f"{ray_flags[0]} and {local} contradict each other; give one"])


def _executor(
    given: Mapping[str, Any], experiments: list[Experiment], points: list[Trial]
) -> tuple[str, str]:
    """`local` or `ray`, and why. `points` are the trials of every grid."""
    if "local_mode" in given:
        return "local", "--local-mode"
    if given["executor"] != "auto":
        return given["executor"], "--executor"
    for key in RAY_FLAGS:
        if key in given:
            return "ray", flag_name(key)
    if len(points) > 1:
        return "ray", "several trials"
    if experiments[0].spec["num_samples"] > 1:
        return "ray", "several samples"
    if not points[0].resources.has_extra():
        return "local", "one trial without rollout actors"
    if _starts_its_actors_here(points[0]):
        return "local", "one trial, whose rollout actors fit into this machine"
    return "ray", "rollout actors"


def _starts_its_actors_here(trial: Trial) -> bool:
    """Whether a trial is an algorithm whose actors ask for nothing but cores, which are there: it starts Ray for them
    by itself, while it gets ready, and needs no process beside this one.
    """
    needs = trial.resources
    only_cores = not needs.extra_gpu and not any(needs.extra_custom_resources.values())
    return (
        is_algorithm(trial.get_trainable_cls())
        and "RAY_ADDRESS" not in os.environ
        and only_cores
        and needs.extra_cpu <= (os.cpu_count() or 1)
    )


def _cores_to_count(points: list[Trial], cores: int) -> int:
    """How many cores a local Ray is told of: those of the machine, or one trial's worth where only the trial's own
    process is too much. With rollout actors beyond the machine's cores it stays at the machine's, and the run says
    that it does not fit.
    """
    needs = [trial.resources for trial in points if trial.resources.extra_cpu]
    fitting = [math.ceil(r.cpu_total()) for r in needs if r.extra_cpu <= cores]
    return max([cores, *fitting])


def _resume(resume: str | bool, experiments: list[Experiment]) -> dict[str, str | bool]:
    """How each experiment starts: where one has begun, those that have not yet begin now.

    Raises ConfigError where there is nothing to resume from.
    """
    if resume == "REMOTE":
        for experiment in experiments:
            if experiment.remote_checkpoint_dir is None:
                raise ConfigError([f"{experiment.name}: --resume REMOTE needs --upload-dir"])
    if resume != "LOCAL":
        return {experiment.name: resume for experiment in experiments}
    begun = [e.name for e in experiments if experiment_state.newest(e.checkpoint_dir) is not None]
    if not begun:
        places = ", ".join(experiment.checkpoint_dir for experiment in experiments)
        raise ConfigError([f"--resume: no experiment has begun in {places}"])
    return {experiment.name: experiment.name in begun for experiment in experiments}
