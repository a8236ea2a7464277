"""From the spec of an experiment, with its variables resolved, to a trial."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rltune.config import ConfigError
from rltune.resources import json_to_resources
from rltune.tune.error import TuneError
from rltune.tune.ranges import with_hints
from rltune.tune.registry import get_trainable_cls
from rltune.tune.trial import Trial

# What of a spec may hold unresolved values.
VARIABLE_PARTS = ("run", "stop", "config", "resources_per_trial")


def create_trial(
    spec: Mapping[str, Any],
    experiment_dir: str,
    experiment_tag: str,
    evaluated_params: dict[str, Any] | None = None,
    trial_id: str | None = None,
) -> Trial:
    """A trial of a resolved spec. Nothing is written and nothing is started.

    Raises ConfigError if the trainable refuses its config, TuneError for an unknown trainable or
    resource.
    """
    config = spec.get("config") or {}
    try:
        get_trainable_cls(spec["run"]).validate_config(config)
    except ConfigError as error:
        raise ConfigError(with_hints(error.problems, config), error.where) from None
    try:
        resources = json_to_resources(spec.get("resources_per_trial"))
    except ValueError as error:
        raise TuneError(f"resources_per_trial: {error}") from error
    restore = spec.get("restore")
    return Trial(
        spec["run"],
        config=config,
        trial_id=trial_id,
        local_dir=experiment_dir,
        experiment_tag=experiment_tag,
        evaluated_params=evaluated_params,
        resources=resources,
        stopping_criterion=spec.get("stop"),
        checkpoint_freq=spec["checkpoint_freq"],
        checkpoint_at_end=spec["checkpoint_at_end"],
        keep_checkpoints_num=spec["keep_checkpoints_num"],
        checkpoint_score_attr=spec["checkpoint_score_attr"],
        export_formats=list(spec["export_formats"] or []),
        restore_path=os.path.abspath(os.path.expanduser(restore)) if restore else None,
        trial_name_creator=spec["trial_name_creator"],
        loggers=spec["loggers"],
        sync_to_driver_fn=spec["sync_to_driver"],
        max_failures=spec["max_failures"],
    )
