"""The search algorithms that flags and files name, and their space: the ranges in the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rltune.cli.named import find_class, make
from rltune.config import ConfigError
from rltune.tune.experiment import Experiment
from rltune.tune.ranges import Range, ranges_in, read_ranges
from rltune.tune.suggest import SEARCH_ALGORITHMS, BasicVariantGenerator, SearchAlgorithm

SEARCH_ALGS = {"BasicVariant": "rltune.tune.suggest:BasicVariantGenerator", **SEARCH_ALGORITHMS}
"""What a person types (in any case) -> the class."""


def make_search(
    name: str, arguments: Mapping[str, Any], experiment: Experiment, grid_points: int
) -> SearchAlgorithm:
    """A new search algorithm over the ranges in the experiment's config.

    They are taken out of the config, except for BasicVariant, which draws them as they stand and
    does all of a grid. Raises ConfigError for an unknown name or argument, for one that it refuses,
    and for a config without a range, with a grid, or with a range in a list.
    """
    cls = find_class("search_alg", name, SEARCH_ALGS)
    if cls is BasicVariantGenerator:
        made: SearchAlgorithm = make("search_config", cls, arguments)
        return made
    space, experiment.spec["config"] = _split(experiment.spec["config"], "")
    if not space:
        raise ConfigError(
            [
                f"search_alg {name}: the config holds no range to search; write one as a value, "
                'e.g. {"lr": {"loguniform": [1e-5, 1e-2]}}'
            ]
        )
    if grid_points > 1:
        raise ConfigError(
            [f"search_alg {name}: the experiment holds a grid_search; write choice in its place"]
        )
    made = make("search_config", cls, arguments, cls.for_ranges, space=space)
    return made


def _split(config: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config as the ranges in it and what is fixed, both nested as it is."""
    space: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for key, value in ((key, read_ranges(value)) for key, value in config.items()):
        if isinstance(value, Range):
            space[key] = value
        elif isinstance(value, dict):
            inner, fixed[key] = _split(value, f"{prefix}{key}.")
            space |= {key: inner} if inner else {}
        elif any(ranges_in(value)):
            raise ConfigError(
                [
                    f"'{prefix}{key}' holds a range within a list, which a search algorithm cannot "
                    "fill in; let it choose among whole lists"
                ]
            )
        else:
            fixed[key] = value
    return space, fixed
