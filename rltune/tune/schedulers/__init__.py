"""Trial schedulers: which trial runs next, and whether one goes on."""

from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.trial_scheduler import TrialScheduler

__all__ = ["FIFOScheduler", "TrialScheduler"]
