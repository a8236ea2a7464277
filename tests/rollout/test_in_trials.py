"""Rollout actors of a trial: inside its placement group, replaced there, with its GPUs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune.trial import Trial
from tests.envs.toy import TruncatedEnv

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


class LeavingTracesEnv(TruncatedEnv):
    """Writes what GPUs its process may see to a file that is named by the process."""

    def __init__(self, env_config: dict[str, Any]) -> None:
        super().__init__({})
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "unset")
        Path(env_config["folder"], str(os.getpid())).write_text(gpus)


def run(folder: Path, iterations: int, **config: Any) -> Trial:
    folder.mkdir()
    common = {
        "env": LeavingTracesEnv,
        "env_config": {"folder": str(folder)},
        "num_workers": 2,
        "num_cpus_per_worker": 0.5,
        "train_batch_size": 64,
    }
    analysis = tune.run(
        "PPO", config={**common, **config}, stop={"training_iteration": iterations}, verbose=0
    )
    (trial,) = analysis.trials
    assert trial.status == Trial.TERMINATED
    return trial


def test_a_killed_actor_costs_no_trial(tmp_path: Path) -> None:
    folder = tmp_path / "traces"

    def kill(info: dict[str, Any]) -> None:
        if info["trainer"].iteration == 1:
            os.kill(int(sorted(os.listdir(folder))[0]), signal.SIGKILL)

    trial = run(folder, 4, callbacks={"on_train_result": tune.function(kill)})
    assert trial.last_result["num_worker_restarts"] == 1
    assert trial.last_result["timesteps_total"] == 4 * 64
    assert trial.num_failures == 0
    assert len(os.listdir(folder)) == 3


@pytest.mark.parametrize("gpus", [(1, 0.5), (0, 0)])
def test_each_process_sees_its_own_gpus(tmp_path: Path, gpus: tuple[float, float]) -> None:
    folder = tmp_path / "traces"

    def note(info: dict[str, Any]) -> None:
        info["result"]["custom_metrics"]["visible"] = os.environ.get("CUDA_VISIBLE_DEVICES")

    trial = run(
        folder,
        1,
        num_gpus=gpus[0],
        num_gpus_per_worker=gpus[1],
        callbacks={"on_train_result": tune.function(note)},
    )
    assert (trial.resources.gpu, trial.resources.extra_gpu) == (gpus[0], 2 * gpus[1])
    mine = trial.last_result["custom_metrics"]["visible"]
    theirs = [file.read_text() for file in folder.iterdir()]
    assert len(theirs) == 2
    if gpus[0]:
        assert {mine, *theirs} == {"0", "1"} and theirs[0] == theirs[1]
    else:
        assert mine == "" and theirs == ["", ""]
    result = json.loads(Path(trial.logdir, "result.json").read_text())
    assert result["device"] == "cpu"
