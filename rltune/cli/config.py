"""`rltune config`: every setting of an algorithm, its value and where that comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from rltune.cli.checks import MISTAKES, algorithm_class, check_settings
from rltune.cli.experiments import is_section, merge, show
from rltune.cli.outcome import bad_input
from rltune.cli.params import json_object
from rltune.cli.yaml_file import load_experiments
from rltune.config import Config, ConfigError

Row = tuple[str, str, str, str]
HEADER: Row = ("key", "value", "origin", "help")


@click.command("config", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("algorithm", required=False)
@click.option("-f", "--config-file", type=click.Path(), help="YAML file of experiments.")
@click.option("--experiment-name", help="Which of the file's experiments, when it holds several.")
@click.option(
    "--config", "flag", type=json_object, default={}, help="Settings that override the file."
)
def config(
    algorithm: str | None,
    config_file: str | None,
    experiment_name: str | None,
    flag: dict[str, Any],
) -> None:
    """Show every setting of ALGORITHM.

    Its value, where that comes from (default, yaml or flag) and what it means.
    """
    with bad_input(*MISTAKES):
        run, yaml = _experiment(algorithm, config_file, experiment_name)
        cls = algorithm_class(run)
        check_settings(cls, merge(yaml, flag, "", []))
        layers = {
            name: cls.config_class.translate(dict(raw), [])
            for name, raw in (("yaml", yaml), ("flag", flag))
        }
    rows = list(_rows(cls.config_class, layers))
    widths = [max(len(row[column]) for row in [HEADER, *rows]) for column in range(3)]
    for row in [HEADER, *rows]:
        click.echo(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]
            )
        )


def _experiment(
    algorithm: str | None, path: str | None, name: str | None
) -> tuple[str, dict[str, Any]]:
    """The algorithm, and what the file says about its config."""
    if path is None:
        if algorithm is None or name is not None:
            raise ConfigError(
                ["name an algorithm, e.g. `rltune config PPO`, or a file of experiments with -f"]
            )
        return algorithm, {}
    experiments = {
        key: spec
        for key, spec in load_experiments(path).items()
        if name in (None, key) and algorithm in (None, spec.get("run"))
    }
    if len(experiments) != 1:
        found = (
            f"{len(experiments)} experiments of {path} match: {list(experiments)}"
            if experiments
            else (f"no experiment of {path} matches")
        )
        raise ConfigError([f"{found}; choose one with --experiment-name or ALGORITHM"])
    spec = next(iter(experiments.values()))
    if not spec.get("run"):
        raise ConfigError([f"{path} names no algorithm; say it: `rltune config PPO -f {path}`"])
    return spec["run"], spec["config"]


def _rows(
    cls: type[Config], layers: Mapping[str, Mapping[str, Any]], prefix: str = ""
) -> Iterator[Row]:
    """One row per setting; sections are flattened. The last layer that has a key wins."""
    defaults = cls().to_dict()
    for key, field in cls.fields_by_key().items():
        value, origin = defaults[key], "default"
        for name, layer in layers.items():
            if key in layer:
                value, origin = layer[key], name
        default = getattr(cls(), field.name)
        if isinstance(default, Config) and is_section(value):
            sections = {name: layer.get(key, {}) for name, layer in layers.items()}
            yield from _rows(type(default), sections, f"{prefix}{key}.")
        else:
            yield prefix + key, show(value), origin, field.metadata["help"]
