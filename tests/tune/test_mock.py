"""The trainables for tests, by their names (T13.1)."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import registry, tune
from rltune.tune import TuneError

run = partial(tune.run, trial_executor="local", verbose=0)


def column(trial: Any, name: str) -> list[Any]:
    return [json.loads(line)[name] for line in Path(trial.logdir, "result.json").open()]


def test_t13_1_fake_reports_the_same_result() -> None:
    [trial] = run("__fake", stop={"training_iteration": 3}, config={"anything": 1})
    assert column(trial, "episode_reward_mean") == [10] * 3
    assert column(trial, "timesteps_total") == [10, 20, 30]
    assert str(trial) == "__fake_0" and trial.last_result["episode_len_mean"] == 10


@pytest.mark.parametrize(("persistent", "failures"), [(False, 1), (True, 3)])
def test_t13_1_fake_fails_on_request(persistent: bool, failures: int) -> None:
    [trial] = run(
        "__fake",
        config={"mock_error": True, "persistent_error": persistent},
        stop={"training_iteration": 3},
        checkpoint_freq=1,
        max_failures=2,
        raise_on_failed_trial=False,
    )
    assert trial.num_failures == failures
    assert trial.status == ("ERROR" if persistent else "TERMINATED")


def test_t13_1_fake_asks_for_checkpoints() -> None:
    [trial] = run("__fake", config={"user_checkpoint_freq": 2}, stop={"training_iteration": 5})
    assert trial.logdir is not None
    made = sorted(path.name for path in Path(trial.logdir).glob("checkpoint_*"))
    assert made == ["checkpoint_3", "checkpoint_5"]


def test_t13_1_sigmoid_data() -> None:
    config = {"width": 2, "height": 5, "offset": 1, "iter_time": 7, "iter_timesteps": 4}
    [trial] = run("__sigmoid_fake_data", config=config, stop={"training_iteration": 4})
    expected = [5 * math.tanh(n / 2) for n in (0, 0, 1, 2)]
    assert column(trial, "episode_reward_mean") == pytest.approx(expected)
    assert column(trial, "time_total_s") == [7, 14, 21, 28]
    assert trial.last_result["timesteps_total"] == 16


def test_t13_1_parameter_tuning() -> None:
    config = {"reward_amt": tune.grid_search([1, 3])}
    trials = run("__parameter_tuning", config=config, stop={"training_iteration": 3})
    assert [column(t, "episode_reward_mean") for t in trials] == [[0, 1, 2], [0, 3, 6]]
    assert trials[0].last_result["time_total_s"] == 30


def test_t13_1_they_are_known_but_not_listed() -> None:
    assert registry.has_trainable("__fake")
    with pytest.raises(TuneError, match="Unknown trainable: xyzzy") as error:
        run("xyzzy")
    assert "__" not in str(error.value)
