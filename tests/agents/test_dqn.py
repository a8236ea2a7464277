"""How DQN behaves as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.dqn import DQN
from rltune.config import ConfigError
from tests.agents.envs import UnchangingEnv
from tests.conformance import flat, same_state, small_config


def make(**config: Any) -> DQN:
    return DQN(small_config(DQN, hiddens=[16], **config))


@pytest.mark.parametrize("terminate", [False, True])
@pytest.mark.parametrize("more", [{}, {"n_step": 3}, {"num_envs_per_worker": 8}])
def test_a_time_limit_is_no_end_to_the_value(terminate: bool, more: dict[str, Any]) -> None:
    """Reward 1 for ever is worth 1 / (1 - gamma) at every step; only termination ends it."""
    algorithm = make(
        env=UnchangingEnv,
        env_config={"terminate": terminate},
        gamma=0.8,
        lr=0.01,
        training_intensity=64,
        timesteps_per_iteration=1000,
        prioritized_replay=False,  # it would favour the rows that end episodes
        **{"target_network_update_freq": 20, "train_batch_size": 64, **more},
    )
    algorithm.train()
    value = algorithm.policy.value(np.zeros((1, 1), np.float32))[0]
    assert value < 4 if terminate else value == pytest.approx(5, rel=0.03)


def test_nothing_is_learned_before_learning_starts() -> None:
    algorithm = make(learning_starts=150, timesteps_per_iteration=100)
    before = flat(algorithm.get_weights()).copy()
    result = algorithm.train()
    assert result["info"]["num_steps_trained"] == 0 and result["info"]["learner"] == {}
    np.testing.assert_array_equal(flat(algorithm.get_weights()), before)
    result = algorithm.train()
    assert result["info"]["replay_rows"] == 200
    # From row 152 on, one minibatch of 96 for each fragment of 4.
    assert result["info"]["num_steps_trained"] == (200 - 152 + 4) // 4 * 96


@pytest.mark.parametrize("intensity", [1.0, 10.0, 24.0, 96.0])
def test_training_intensity_is_trained_rows_per_sampled_row(intensity: float) -> None:
    algorithm = make(training_intensity=intensity, learning_starts=0, timesteps_per_iteration=400)
    info = algorithm.train()["info"]
    assert abs(info["num_steps_trained"] - 400 * intensity) < 96
    assert info["learner"]["cur_lr"] == algorithm.cfg.lr


def test_exploration_follows_its_schedule() -> None:
    algorithm = make(
        exploration_fraction=0.2, exploration_final_eps=0.1, schedule_max_timesteps=960
    )
    first, second, third = (algorithm.train()["info"] for _ in range(3))
    assert first["max_exploration"] == first["min_exploration"] == pytest.approx(0.55)
    assert second["max_exploration"] == third["max_exploration"] == pytest.approx(0.1)


def test_the_target_moves_every_so_many_steps() -> None:
    algorithm = make(target_network_update_freq=40, learning_starts=0, lr=0.01)
    info = algorithm.train()["info"]  # 96 steps in fragments of 4
    assert info["num_target_updates"] == 2
    state = algorithm.learner.get_state()
    assert not same_state(state["theta"], state["target"])


@pytest.mark.parametrize("key", ["double_q", "dueling", "prioritized_replay"])
def test_each_part_can_be_switched_off(key: str) -> None:
    runs = [make(**{key: value}, lr=0.01) for value in (True, False)]
    for algorithm in runs:
        for _ in range(2):
            result = algorithm.train()
        assert np.isfinite(result["info"]["learner"]["loss"])
    weights = [flat(algorithm.get_weights()) for algorithm in runs]
    assert weights[0].shape != weights[1].shape or not np.array_equal(*weights)


def test_evaluation_that_explores_does_so_as_training_does() -> None:
    config = {"exploration_fraction": 0.0, "exploration_final_eps": 0.0}
    algorithm = make(**config, evaluation_config={"explore": True}, evaluation_num_episodes=4)
    greedy = make(**config, evaluation_num_episodes=4)
    for each in (algorithm, greedy):
        each.train()
    explored, expected = algorithm.evaluate(), greedy.evaluate()
    assert explored.pop("explore") is True and expected.pop("explore") is False
    assert explored == expected  # epsilon is 0


def test_without_its_buffer_a_checkpoint_starts_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    saved, used = (make(store_buffer_in_checkpoints=False, n_step=3, seed=seed) for seed in (1, 2))
    for algorithm in (saved, used):
        algorithm.train()
    path = saved.save()
    assert not list(Path(path).glob("replay*"))
    used.restore(path)
    assert "no replay buffer" in caplog.text
    assert len(used.replay) == 0
    result = used.train()
    assert result["info"]["replay_rows"] == 96 and result["training_iteration"] == 2
    assert '"exact": false' in Path(used.save(), "manifest.json").read_text()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"env": "Pendulum-v1"}, "DQN needs a Discrete action space"),
        ({"batch_mode": "complete_episodes"}, "'batch_mode' must be 'truncate_episodes'"),
        ({"buffer_size": 10}, "'train_batch_size' is 32, more than 'buffer_size' 10"),
        ({"grad_norm_clipping": 1, "grad_clip": 1}, "alias of 'grad_clip'"),
    ],
)
def test_what_it_cannot_do_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DQN.validate_config({"env": "CartPole-v1", **config})
