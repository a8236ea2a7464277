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
"""What a person types (in any case) -> the class in `rltune.tune.schedulers`."""


def make_scheduler(name: str, arguments: dict[str, Any]) -> Any:
    """A new scheduler. Raises ConfigError for an unknown name or argument, or one it refuses."""
    by_lower = {known.lower(): known for known in SCHEDULERS}
    if name.lower() not in by_lower:
        guess = nearest(name.lower(), by_lower)
        hint = f"nearest: '{by_lower[guess]}'" if guess else f"there are {', '.join(SCHEDULERS)}"
        raise ConfigError([f"--scheduler {name}: no such scheduler; {hint}"])
    schedulers = importlib.import_module("rltune.tune.schedulers")
    cls = getattr(schedulers, SCHEDULERS[by_lower[name.lower()]])
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
