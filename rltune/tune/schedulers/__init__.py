"""Trial schedulers: which trial runs next, and whether one goes on."""

from rltune.tune.schedulers.async_hyperband import ASHAScheduler, AsyncHyperBandScheduler
from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.hyperband import HyperBandScheduler
from rltune.tune.schedulers.median_stopping_rule import MedianStoppingRule
from rltune.tune.schedulers.pbt import PopulationBasedTraining
from rltune.tune.schedulers.pbt_replay import PopulationBasedTrainingReplay
from rltune.tune.schedulers.trial_scheduler import TrialScheduler

__all__ = [
    "ASHAScheduler",
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "HyperBandScheduler",
    "MedianStoppingRule",
    "PopulationBasedTraining",
    "PopulationBasedTrainingReplay",
    "TrialScheduler",
]
