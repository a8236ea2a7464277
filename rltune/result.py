"""Names of what a result holds and of the files a trial writes:

Tune's names, used by every layer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

DONE = "done"
SHOULD_CHECKPOINT = "should_checkpoint"
HOSTNAME = "hostname"
NODE_IP = "node_ip"
PID = "pid"
TRIAL_ID = "trial_id"

EPISODE_REWARD_MEAN = "episode_reward_mean"
MEAN_LOSS = "mean_loss"
NEG_MEAN_LOSS = "neg_mean_loss"
MEAN_ACCURACY = "mean_accuracy"

EPISODES_THIS_ITER = "episodes_this_iter"
EPISODES_TOTAL = "episodes_total"
TIMESTEPS_THIS_ITER = "timesteps_this_iter"
TIMESTEPS_TOTAL = "timesteps_total"
TIME_THIS_ITER_S = "time_this_iter_s"
TIME_TOTAL_S = "time_total_s"
TRAINING_ITERATION = "training_iteration"

# Marks the notice that a function returned without `done=True`: it repeats the last result and is
# not logged.
RESULT_DUPLICATE = "__duplicate__"

JOB_META_FILE = "job_status.json"
EXPR_META_FILE = "trial_status.json"
EXPR_PARAM_FILE = "params.json"
EXPR_PARAM_PICKLE_FILE = "params.pkl"
EXPR_PROGRESS_FILE = "progress.csv"
EXPR_RESULT_FILE = "result.json"


def default_results_dir() -> str:
    """Where experiments go unless told otherwise:

    `TUNE_RESULT_DIR` if set and not empty, else `~/ray_results`.
    """
    return os.environ.get("TUNE_RESULT_DIR") or os.path.expanduser("~/ray_results")


DEFAULT_RESULTS_DIR = default_results_dir()


def get_metric(result: Mapping[str, Any], name: str) -> Any:
    """`result[name]`; where that is no key, `a/b` means `result["a"]["b"]`.

    Raises KeyError(name) when absent.
    """
    if name in result:
        return result[name]
    value: Any = result
    for part in name.split("/"):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(name)
        value = value[part]
    return value
