"""`rltune train` and `train.py`: trains, from flags, a YAML file of experiments or both."""

from __future__ import annotations

from typing import Any, NoReturn

import click
from click import Choice, IntRange, Option

from rltune.cli.outcome import bad_input, run_command
from rltune.cli.params import json_object, words
from rltune.cli.schedulers import SCHEDULERS
from rltune.cli.searches import SEARCH_ALGS

PATH = click.Path()
POSITIVE = IntRange(min=1)
NATURAL = IntRange(min=0)

SECTIONS = {
    "What": [
        Option(["--run"], help="Algorithm or registered trainable, or module:Class."),
        Option(["--env"], help="Gymnasium id, registered name, or module:Class."),
        Option(
            ["--config"],
            type=json_object,
            help="Settings of the algorithm; `rltune config PPO` lists them.",
        ),
        Option(
            ["--stop"],
            type=json_object,
            help="Result key -> limit; the first that is reached ends a trial.",
        ),
        Option(
            ["-f", "--config-file"],
            type=PATH,
            help="YAML file of experiments; the flags override it.",
        ),
        Option(["--framework"], type=Choice(["auto", "torch", "tf", "jax"]), help="What trains."),
        Option(["--torch"], is_flag=True, default=None, help="As --framework torch."),
        Option(["--eager"], is_flag=True, default=None, help="As --framework tf."),
        Option(
            ["--trace"],
            is_flag=True,
            default=None,
            help="With --eager: the same, updates are compiled.",
        ),
        Option(["--seed"], type=NATURAL, help="Seed of everything in a trial."),
    ],
    "Trials": [
        Option(["--num-samples"], type=POSITIVE, help="Repetitions of the whole grid."),
        Option(
            ["--resources-per-trial"],
            type=json_object,
            help="For trainables that do not compute their own.",
        ),
        Option(["--scheduler"], help=f"What stops trials early: {', '.join(SCHEDULERS)}."),
        Option(
            ["--scheduler-config"],
            type=json_object,
            help="What the class of the scheduler takes, e.g. its metric.",
        ),
        Option(
            ["--search-alg"],
            help=f"What chooses the values of ranges: {', '.join(SEARCH_ALGS)}.",
        ),
        Option(
            ["--search-config"],
            type=json_object,
            help="What the class of the search algorithm takes, except for the space.",
        ),
        Option(
            ["--reuse-actors/--no-reuse-actors"],
            default=None,
            help="A trial that starts from a checkpoint takes over an actor.",
        ),
        Option(
            ["--max-failures"],
            type=IntRange(min=-1),
            help="Retries of a failed trial; -1: for ever.",
        ),
        Option(
            ["--queue-trials"],
            is_flag=True,
            help="Wait for resources that the cluster does not have yet.",
        ),
    ],
    "Checkpoints": [
        Option(
            ["--checkpoint-freq"], type=NATURAL, help="Iterations between checkpoints; 0: none."
        ),
        Option(
            ["--checkpoint-at-end/--no-checkpoint-at-end"],
            default=None,
            help="One more when a trial ends.",
        ),
        Option(
            ["--keep-checkpoints-num"],
            type=POSITIVE,
            help="Checkpoints kept per trial; default: all.",
        ),
        Option(
            ["--checkpoint-score-attr"],
            help="Result key that ranks them; min-KEY: lower is better.",
        ),
        Option(
            ["--export-formats"], type=words, help="Exports when a trial ends: checkpoint, model."
        ),
        Option(["--restore"], type=PATH, help="Checkpoint that the trials start from."),
    ],
    "Results": [
        Option(
            ["--experiment-name"],
            help="Folder of the results within --local-dir; default: default.",
        ),
        Option(
            ["--local-dir"],
            type=PATH,
            help="Root of the results; default: $TUNE_RESULT_DIR, ~/ray_results.",
        ),
        Option(["--upload-dir"], help="URI that the results are copied to."),
        Option(
            ["--resume"],
            is_flag=False,
            flag_value="LOCAL",
            type=Choice(["LOCAL", "REMOTE", "PROMPT"], case_sensitive=False),
            help="Go on with the experiment of this name; alone it means LOCAL.",
        ),
        Option(["-v", "verbosity"], count=True, help="More output; -vv: still more."),
    ],
    "Where it runs": [
        Option(
            ["--executor"],
            type=Choice(["auto", "local", "ray"]),
            default="auto",
            help="local: this process; auto: local for one trial without rollout actors.",
        ),
        Option(["--local-mode"], is_flag=True, help="As --executor local."),
        Option(["--ray-address", "--redis-address", "ray_address"], help="Join this Ray cluster."),
        Option(["--ray-num-cpus"], type=NATURAL, help="Cores of a new local cluster."),
        Option(["--ray-num-gpus"], type=NATURAL, help="GPUs of a new local cluster."),
        Option(["--ray-num-nodes"], type=POSITIVE, help="Nodes of a new local cluster, all alike."),
        Option(["--ray-memory"], type=POSITIVE, help="Bytes of its processes, of each node."),
        Option(
            ["--ray-object-store-memory"], type=POSITIVE, help="Bytes of its objects, of each node."
        ),
        # Known from RLlib; ends in an error that says what to do instead.
        Option(["--ray-redis-max-memory"], hidden=True),
        Option(
            ["--no-ray-ui"], is_flag=True, help="No Ray dashboard; there is none by default either."
        ),
    ],
}
"""Every flag, under its heading in `--help`. One that is not given is None (or false)."""


class TrainCommand(click.Command):
    """A command whose help groups the flags."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [row for row in (o.get_help_record(ctx) for o in options) if row]
                )


@click.command(
    "train",
    cls=TrainCommand,
    params=[option for options in SECTIONS.values() for option in options],
    context_settings={"help_option_names": ["-h", "--help"]},
)
def train(**flags: Any) -> int:
    """Train an algorithm in an environment.

    \b
    rltune train --run PPO --env CartPole-v1 --stop '{"timesteps_total": 100000}'
    rltune train -f cartpole-ppo.yaml --config '{"lr": 0.001}'

    Flags override the file, for each of its experiments: --stop and the --...config flags key by
    key, the others whole. Ends with 0 when every trial ended as planned, 1 when one failed, 2 for
    bad input, 130 after Ctrl-C.
    """
    from rltune.cli.checks import MISTAKES
    from rltune.cli.experiments import build_experiments
    from rltune.cli.launch import run, show_banner
    from rltune.cli.plan import make_plan

    with bad_input(*MISTAKES):
        experiments, notes = build_experiments(flags)
        plan = make_plan(experiments, flags)
    show_banner(plan, notes)
    return run(plan)


def main(args: list[str] | None = None) -> NoReturn:
    """Entry point of train.py; `args` default to `sys.argv`."""
    run_command(train, args)
