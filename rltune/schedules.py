"""Values that change with the number of timesteps sampled."""

from __future__ import annotations

import numpy as np

from rltune.config import Schedule


def piecewise_linear(points: Schedule, timesteps: int) -> float:
    """Linear between the points ((timesteps, value), ...), constant after the last."""
    times, values = zip(*points, strict=True)
    return float(np.interp(timesteps, times, values))


def linear(start: float, end: float, duration: float, timesteps: int) -> float:
    """From `start` to `end` over `duration` timesteps, then constant; `end` at once where `duration` is 0."""
    if timesteps >= duration:
        return float(end)
    return piecewise_linear(((0, start), (duration, end)), timesteps)
