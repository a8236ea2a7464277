"""`--scheduler NAME --scheduler-config JSON` as a scheduler."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from rltune.config import ConfigError, nearest

SCHEDULERS = {
    "FIFO": "FIFOScheduler",
    "MedianStopping": "MedianStoppingRule",
    "HyperBand": "HyperBandScheduler",
    "AsyncHyperBand": "AsyncHyperBandScheduler",
    "PBT": "PopulationBasedTraining",
}
"""What a person types (in any case) -> the class, where `rltune.tune.schedulers` has it."""


def make_scheduler(name: str, arguments: dict[str, Any]) -> Any:
    """A new scheduler. Raises ConfigError for an unknown name or argument, or one it refuses."""
    schedulers = importlib.import_module("rltune.tune.schedulers")
    there = {key.lower(): key for key, cls in SCHEDULERS.items() if hasattr(schedulers, cls)}
    if name.lower() not in there:
        guess = nearest(name.lower(), there)
        hint = f"nearest: '{there[guess]}'" if guess else f"there is {', '.join(there.values())}"
        raise ConfigError([f"--scheduler {name}: no such scheduler; {hint}"])
    cls = getattr(schedulers, SCHEDULERS[there[name.lower()]])
    known = inspect.signature(cls).parameters
    for argument in arguments:
        if argument not in known:
            guess = nearest(argument, known)
            hint = f"nearest: '{guess}'" if guess else f"there are {', '.join(known) or 'none'}"
            raise ConfigError([f"--scheduler-config: {name} has no argument '{argument}'; {hint}"])
    try:
        return cls(**arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError([f"--scheduler-config: {name} refuses it: {error}"]) from error
