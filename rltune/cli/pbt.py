"""`rltune pbt`: who copied whom in a run of population based training, and what came of it."""

from __future__ import annotations

import json
from typing import Any

import click

from rltune.cli.inspect import HELP, mistakes
from rltune.tune.lineage import Exploit, Lineage, TrialHistory, read_lineage, score_in, short


@click.command("pbt", context_settings=HELP)
@click.argument("experiment_dir", type=click.Path(exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="A picture of scores and settings over time: .html, which needs no network, or .png.",
)
@click.option("--metric", metavar="X", help="The score.  [default: what PBT compared by]")
def pbt(experiment_dir: str, as_json: bool, output: str | None, metric: str | None) -> None:
    """Show the lineage of the PBT run in EXPERIMENT_DIR, also while it goes on.

    First each copy of another trial: by whom, of whom, when (training_iteration of either), their
    scores, and the donor's settings with the new ones. Then each trial as it is now; the last of
    its ancestors is whom it copied last.
    """
    with mistakes():
        lineage = read_lineage(experiment_dir, metric)
        if output:
            from rltune.tune import lineage_picture

            lineage_picture.save(lineage, output)
        click.echo(json.dumps(_as_json(lineage), indent=2) if as_json else _tables(lineage))
        if output:
            click.echo(f"Output saved at: {output}", err=as_json)


def _tables(lineage: Lineage) -> str:
    from rltune.tune.listing import Listing, terminal_width

    copies = [_copy_row(exploit, lineage) for exploit in lineage.exploits]
    trials = [_trial_row(trial, lineage) for trial in lineage.trials]
    parts = [
        Listing(list(rows[0]), rows).shown(terminal_width()) for rows in (copies, trials) if rows
    ]
    if not copies:
        parts.insert(0, "No trial has copied another.")
    return "\n".join(parts)


def _copy_row(exploit: Exploit, lineage: Lineage) -> dict[str, Any]:
    return {
        "trial": short(exploit.trial),
        "iteration": exploit.iteration,
        lineage.metric: exploit.score,
        "copied": short(exploit.donor),
        "at": exploit.donor_iteration,
        f"its {lineage.metric}": exploit.donor_score,
        **{
            name: f"{_text(exploit.old[name])} -> {_text(exploit.new[name])}"
            for name in lineage.names
        },
    }


def _trial_row(trial: TrialHistory, lineage: Lineage) -> dict[str, Any]:
    return {
        "trial": short(trial.tag),
        "trial_id": trial.trial_id,
        "status": trial.status,
        "iteration": trial.last.get("training_iteration"),
        lineage.metric: score_in(trial.last, lineage.metric),
        **{name: _text(trial.lives[-1].values[name]) for name in lineage.names},
        "ancestors": " ".join(map(short, trial.ancestors)) or None,
    }


def _text(value: Any) -> str | None:
    """Five digits tell settings apart."""
    return f"{value:.5g}" if isinstance(value, float) else None if value is None else str(value)


def _as_json(lineage: Lineage) -> dict[str, Any]:
    return {
        "metric": lineage.metric,
        "time_attr": lineage.time_attr,
        "settings": lineage.names,
        "exploits": [vars(exploit) for exploit in lineage.exploits],
        "trials": [
            {
                "tag": trial.tag,
                "trial_id": trial.trial_id,
                "status": trial.status,
                "iteration": trial.last.get("training_iteration"),
                "score": score_in(trial.last, lineage.metric),
                "values": trial.lives[-1].values,
                "ancestors": trial.ancestors,
            }
            for trial in lineage.trials
        ],
    }
