"""Carrying out a plan: the banner, the runs one after another, and word of trials that failed."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from rltune.cli.checks import is_algorithm, trainable
from rltune.cli.experiments import show
from rltune.cli.outcome import FAILED, SUCCESS
from rltune.cli.plan import Plan
from rltune.tune.trial import Trial

TRACEBACK_LINES = 12


def show_banner(plan: Plan, notes: Iterable[str]) -> None:
    """What runs, where, and what overrode what."""
    for experiment in plan.experiments:
        what = f"{_describe(experiment.spec)}, results in {experiment.checkpoint_dir}"
        click.echo(f"{experiment.name}: {what}")
        if not experiment.spec["stop"]:
            click.echo(f"{experiment.name}: no --stop given, runs until it is interrupted")
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

        text += f", framework {choose_framework(framework)}"
    return text


def run(plan: Plan) -> int:
    """Runs the experiments one after another; returns the exit code."""
    from rltune import tune
    from rltune.tune.ray_trial_executor import init_ray

    if plan.executor == "ray":
        init_ray(**plan.cluster)
    trials: list[Trial] = []
    for experiment in plan.experiments:
        trials += tune.run(
            experiment,
            scheduler=plan.scheduler(),
            verbose=plan.verbose,
            resume=plan.resume,
            queue_trials=plan.queue_trials,
            trial_executor=plan.executor,
            raise_on_failed_trial=False,
            return_trials=True,
            resume_command=resume_command(sys.argv),
        )
    failed = [trial for trial in trials if trial.status != Trial.TERMINATED]
    for trial in failed:
        _report_failure(trial)
    return FAILED if failed else SUCCESS


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
