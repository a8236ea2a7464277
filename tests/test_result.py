"""Names of a result's fields and of the files of a trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from rltune.result import default_results_dir
from rltune.tune import result


def test_t5_1_keys_are_their_names_in_lower_case() -> None:
    names = (
        "DONE SHOULD_CHECKPOINT HOSTNAME TRIAL_ID NODE_IP PID EPISODE_REWARD_MEAN MEAN_LOSS "
        "MEAN_ACCURACY EPISODES_THIS_ITER EPISODES_TOTAL TIMESTEPS_THIS_ITER TIMESTEPS_TOTAL "
        "TIME_THIS_ITER_S TIME_TOTAL_S TRAINING_ITERATION"
    ).split()
    assert [getattr(result, name) for name in names] == [name.lower() for name in names]


def test_t5_1_files_and_marks() -> None:
    assert {name: value for name, value in vars(result).items() if name.endswith("_FILE")} == {
        "EXPR_PARAM_FILE": "params.json",
        "EXPR_PARAM_PICKLE_FILE": "params.pkl",
        "EXPR_PROGRESS_FILE": "progress.csv",
        "EXPR_RESULT_FILE": "result.json",
        "JOB_META_FILE": "job_status.json",
        "EXPR_META_FILE": "trial_status.json",
    }
    assert result.RESULT_DUPLICATE == "__duplicate__"


def test_t5_1_the_results_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(result.DEFAULT_RESULTS_DIR, str)
    monkeypatch.setenv("TUNE_RESULT_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_results_dir() == str(tmp_path / "ray_results")
    monkeypatch.setenv("TUNE_RESULT_DIR", "/elsewhere")
    assert default_results_dir() == "/elsewhere"
