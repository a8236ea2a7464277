"""The learner: first weights, updates and named state, on the regression of a small network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltune.algorithm_config import ModelConfig
from rltune.envs.spaces import ObsSpec
from rltune.learner import Learner
from rltune.models.networks import ActorCritic
from tests.bindings import ALL

pytestmark = pytest.mark.parametrize("framework", ALL)

MODEL = ActorCritic(ObsSpec((3,)), 2, ModelConfig(fcnet_hiddens=(8,)), has_value=False)
COEFFS = {"lr": 0.01, "grad_clip": float("inf"), "adam_epsilon": 1e-8, "target_tau": 1.0}


def loss(ops: Any, params: Any, batch: Any, coeffs: Any, target: Any = None) -> Any:
    error = MODEL.policy(ops, params, batch["obs"]) - batch["wanted"]
    total = ops.mean(ops.sum(ops.square(error), -1))
    return total, {"regression_loss": total, "other": total * 0.0}, {"row": error[..., 0]}


def learner(framework: str, seed: int = 0, **options: Any) -> Learner:
    return Learner(framework, MODEL, loss, np.random.default_rng(seed), **options)


def batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    obs = rng.standard_normal((32, 3)).astype(np.float32)
    return {"obs": obs, "wanted": np.stack([obs[:, 0] - obs[:, 1], obs[:, 2]], -1)}


INDEX = np.arange(32, dtype=np.int32).reshape(4, 8)


def assert_equal_weights(one: Learner, other: Learner) -> None:
    a, b = one.get_weights(), other.get_weights()
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_it_starts_from_the_models_weights(framework: str) -> None:
    made, expected = learner(framework, 5).get_weights(), MODEL.init(np.random.default_rng(5))
    assert list(made) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(made[name], value)


def test_it_learns_and_equal_seeds_give_equal_weights(framework: str) -> None:
    made, twin = learner(framework), learner(framework)
    losses = []
    for _ in range(100):
        stats, rows = made.update(batch(), INDEX, COEFFS)
        twin.update(batch(), INDEX, COEFFS)
        losses.append(stats["regression_loss"].mean())
        assert rows["row"].shape == INDEX.shape
    assert losses[-1] < 0.05 * losses[0]
    assert_equal_weights(made, twin)


def test_a_version_for_every_change_of_weights(framework: str) -> None:
    made = learner(framework)
    first = made.weights_version
    made.update(batch(), INDEX, COEFFS)
    assert made.weights_version == first + 1
    made.set_weights(made.get_weights())
    assert made.weights_version == first + 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_leaves_the_finite_numbers(framework: str, bad: float) -> None:
    made, data = learner(framework), batch()
    data["wanted"][17] = bad  # the third minibatch
    with pytest.raises(
        FloatingPointError, match="regression_loss became .* at step 3 of 4 of an update; try"
    ):
        made.update(data, INDEX, COEFFS)


@pytest.mark.parametrize("has_target", [False, True])
def test_state_by_name_and_exact_continuation(framework: str, has_target: bool) -> None:
    made, other = (
        learner(framework, has_target=has_target),
        learner(framework, 9, has_target=has_target),
    )
    made.update(batch(), INDEX, COEFFS)
    state = made.get_state()
    parts = {"theta", "m", "v"} | ({"target"} if has_target else set())
    assert set(state) == parts | {"t", "weights_version"}
    shapes = {name: value.shape for name, value in MODEL.init(np.random.default_rng(0)).items()}
    assert all({n: a.shape for n, a in state[part].items()} == shapes for part in parts)
    assert (state["t"], state["weights_version"]) == (4, made.weights_version)
    other.set_state(state)
    assert other.weights_version == made.weights_version
    for either in (made, other):
        either.update(batch(), INDEX, COEFFS)
    assert_equal_weights(made, other)


def test_new_weights_reset_the_optimiser_and_the_target(framework: str) -> None:
    made, fresh = learner(framework, has_target=True), learner(framework, 7, has_target=True)
    made.update(batch(), INDEX, {**COEFFS, "target_tau": 0.0})
    made.set_weights(fresh.get_weights())
    state = made.get_state()
    assert state["t"] == 0
    for name, value in fresh.get_weights().items():
        np.testing.assert_array_equal(state["target"][name], value)
        assert not state["m"][name].any() and not state["v"][name].any()


def test_weights_that_do_not_fit_are_refused_and_change_nothing(framework: str) -> None:
    made = learner(framework)
    before = made.get_weights()
    with pytest.raises(ValueError, match="parameters do not fit the model: pi/w0"):
        made.set_weights({**before, "pi/w0": np.zeros((4, 8), np.float32)})
    state = made.get_state()
    with pytest.raises(ValueError, match="pi/b1"):
        made.set_state({**state, "m": {k: v for k, v in state["m"].items() if k != "pi/b1"}})
    for name, value in before.items():
        np.testing.assert_array_equal(made.get_weights()[name], value)


def test_weights_handed_out_are_a_copy(framework: str) -> None:
    made = learner(framework)
    weights = made.get_weights()
    kept = {name: value.copy() for name, value in weights.items()}
    made.update(batch(), INDEX, COEFFS)
    for name in kept:
        np.testing.assert_array_equal(weights[name], kept[name])


@pytest.mark.parametrize("has_target", [False, True])
def test_a_reset_learner_is_a_new_one(framework: str, has_target: bool) -> None:
    used, fresh = (
        learner(framework, 0, has_target=has_target),
        learner(framework, 5, has_target=has_target),
    )
    updater = used._updater
    used.update(batch(), INDEX, COEFFS)
    used.reset(MODEL, np.random.default_rng(5))
    assert used._updater is updater and used.coeffs_in_use == {}
    for each in (used, fresh):
        each.update(batch(), INDEX, COEFFS)
    assert used.weights_version == fresh.weights_version
    one, other = used.get_state(), fresh.get_state()
    assert one.keys() == other.keys() and one["t"] == other["t"] == len(INDEX)
    for part in one.keys() - {"t", "weights_version"}:
        for name in one[part]:
            np.testing.assert_array_equal(one[part][name], other[part][name])


def test_a_model_of_another_shape_is_built_anew(framework: str) -> None:
    wide = ActorCritic(ObsSpec((3,)), 2, ModelConfig(fcnet_hiddens=(9,)), has_value=False)
    used = learner(framework, 0)
    used.reset(wide, np.random.default_rng(5))
    shapes = {name: w.shape for name, w in used.get_weights().items()}
    assert shapes == {n: w.shape for n, w in wide.init(np.random.default_rng(5)).items()}
