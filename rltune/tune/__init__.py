"""The experiment runner: Tune's Python API."""

from rltune.tune import track
from rltune.tune.analysis import Analysis, ExperimentAnalysis
from rltune.tune.api import run, run_experiments
from rltune.tune.error import TuneError
from rltune.tune.experiment import Experiment
from rltune.tune.registry import register_env, register_trainable
from rltune.tune.sample import (
    choice,
    function,
    grid_search,
    loguniform,
    randint,
    randn,
    sample_from,
    uniform,
)
from rltune.tune.trainable import Trainable

__all__ = [
    "Analysis",
    "Experiment",
    "ExperimentAnalysis",
    "Trainable",
    "TuneError",
    "choice",
    "function",
    "grid_search",
    "loguniform",
    "randint",
    "randn",
    "register_env",
    "register_trainable",
    "run",
    "run_experiments",
    "sample_from",
    "track",
    "uniform",
]
