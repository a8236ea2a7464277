"""Carrying out a plan: the banner, the runs one after another, and word of trials that failed."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from rltune import tune
from rltune.cli.checks import MISTAKES, is_algorithm, trainable
from rltune.cli.experiments import show
from rltune.cli.outcome import FAILED, SUCCESS, bad_input
from rltune.cli.plan import Plan
from rltune.tune.local_trial_executor import LocalTrialExecutor
from rltune.tune.ray_trial_executor import RayTrialExecutor
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor

TRACEBACK_LINES = 12


def show_banner(plan: Plan, notes: Iterable[str]) -> None:
    """What runs, where, and what overrode what."""
    for experiment in plan.experiments:
        what = _describe(experiment.spec) + plan.tuning[experiment.name].describe()
        click.echo(f"{experiment.name}: {what}, results in {experiment.checkpoint_dir}")
        if not experiment.spec["stop"]:
            click.echo(f"{experiment.name}: no --stop given, runs until it is interrupted")
    if any(plan.resume.values()) and not all(plan.resume.values()):
        anew = [name for name, resume in plan.resume.items() if not resume]
        click.echo(f"nothing to resume, begin now: {', '.join(anew)}")
    click.echo(f"executor: {plan.executor} ({plan.reason})")
    for note in notes:
        click.echo(note)


def _describe(spec: dict[str, Any]) -> str:
    """`PPO on CartPole-v1, framework torch`."""
    run, config = spec["run"], spec["config"]
    text = show(run) + (f" on {show(config['env'])}" if "env" in config else "")
    framework = config.get("framework", "auto")
    if isinstance(run, str) and is_algorithm(trainable(run)[1]) and isinstance(framework, str):
        from rltune.frameworks import choose_framework

        unknown = framework == "auto" and config.get("num_gpus")  # until a GPU is seen
        text += f", framework {framework if unknown else choose_framework(framework)}"
    return text


def run(plan: Plan) -> int:
    """Runs the experiments one after another; returns the exit code."""
    executors: dict[bool, TrialExecutor] = {}
    trials: list[Trial] = []
    for experiment in plan.experiments:
        tuning = plan.tuning[experiment.name]
        if tuning.reuse_actors not in executors:
            executors[tuning.reuse_actors] = make_executor(plan, tuning.reuse_actors)
        with bad_input(*MISTAKES):
            trials += tune.run(
                experiment,
                search_alg=tuning.search_alg,
                scheduler=tuning.scheduler,
                verbose=plan.verbose,
                resume=plan.resume[experiment.name],
                trial_executor=executors[tuning.reuse_actors],
                raise_on_failed_trial=False,
                return_trials=True,
                resume_command=resume_command(sys.argv),
            )
    failed = [trial for trial in trials if trial.status != Trial.TERMINATED]
    for trial in failed:
        _report_failure(trial)
    return FAILED if failed else SUCCESS


def make_executor(plan: Plan, reuse_actors: bool) -> TrialExecutor:
    """One executor for all experiments that agree about `reuse_actors`."""
    if plan.executor == "local":
        return LocalTrialExecutor(reuse_actors=reuse_actors)
    if plan.ray_address is not None:
        os.environ["RAY_ADDRESS"] = plan.ray_address  # what Ray itself joins by
    return RayTrialExecutor(plan.queue_trials, reuse_actors, **plan.cluster)


def resume_command(argv: list[str]) -> str:
    """The command line that goes on with what `argv` started."""
    program, *args = argv
    if program.endswith("__main__.py"):
        words = ["python", "-m", "rltune"]
    else:
        words = ["python", program] if program.endswith(".py") else [os.path.basename(program)]
    resumes = any(arg.partition("=")[0] == "--resume" for arg in args)
    return shlex.join([*words, *args, *([] if resumes else ["--resume"])])


def _report_failure(trial: Trial) -> None:
    """The end of the trial's own traceback, and where the whole of it is."""
    click.echo(f"Trial {trial} is {trial.status}", err=True)
    if trial.error_file:
        lines = Path(trial.error_file).read_text(encoding="utf-8").rstrip().splitlines()
        click.echo("\n".join(lines[-TRACEBACK_LINES:]), err=True)
        click.echo(f"The whole error: {trial.error_file}", err=True)
