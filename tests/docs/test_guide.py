"""What the guide's samples come to, beyond that they run."""

from __future__ import annotations

import re

import numpy as np

from rltune import tune


def test_t13_6_five_samples_of_pg_are_five_trials_with_their_own_rates() -> None:
    trials = tune.run(
        "PG",
        num_samples=5,
        config={
            "env": "CartPole-v0",
            "lr": tune.sample_from(lambda _: np.random.rand()),
            "train_batch_size": 10,
        },
        stop={"training_iteration": 1},
        verbose=0,
        trial_executor="local",
    )
    assert len({trial.config["lr"] for trial in trials}) == 5
    for i, trial in enumerate(trials):
        assert re.fullmatch(rf"PG_CartPole-v0_{i}_lr=(0\.\d{{3,8}}|\S+e-\d+)", str(trial))
        assert trial.status == "TERMINATED"
