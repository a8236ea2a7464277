"""Networks: shapes, names, deterministic first weights, and forward passes on numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rltune.algorithm_config import ModelConfig
from rltune.envs.spaces import ObsSpec
from rltune.frameworks import _numpy as ops
from rltune.models.layers import orthogonal
from rltune.models.networks import ActorCritic, QNetwork
from tests.bindings import ALL, ops_of, tensor

OBS = ObsSpec((3,))
SMALL = ModelConfig(fcnet_hiddens=(8, 6))
MODELS: dict[str, Any] = {
    "policy": ActorCritic(OBS, 2, SMALL, has_value=False),
    "separate value": ActorCritic(OBS, 2, SMALL),
    "shared layers": ActorCritic(OBS, 2, SMALL, share=True),
    "free log std": ActorCritic(OBS, 4, SMALL, free_log_std=2),
    "no hidden layers": ActorCritic(OBS, 2, ModelConfig(fcnet_hiddens=()), share=True),
    "q": QNetwork(OBS, 2, SMALL, (5,), dueling=False),
    "dueling": QNetwork(OBS, 2, SMALL, (5,), dueling=True),
    "q without hiddens": QNetwork(OBS, 2, SMALL, (), dueling=False),
}
PI = {
    "pi/w0": (3, 8),
    "pi/b0": (8,),
    "pi/w1": (8, 6),
    "pi/b1": (6,),
    "pi/w2": (6, 2),
    "pi/b2": (2,),
}
VF = {**{k.replace("pi", "vf"): s for k, s in PI.items()}, "vf/w2": (6, 1), "vf/b2": (1,)}
TRUNK = {"q/w0": (3, 8), "q/b0": (8,), "q/w1": (8, 6), "q/b1": (6,)}


def head(name: str, outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}/w0": (6, 5),
        f"{name}/b0": (5,),
        f"{name}/w1": (5, outputs),
        f"{name}/b1": (outputs,),
    }


SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "policy": PI,
    "separate value": {**PI, **VF},
    "shared layers": {**PI, "value_head/w0": (6, 1), "value_head/b0": (1,)},
    "free log std": {**PI, "log_std": (2,), **VF},
    "no hidden layers": {
        "pi/w0": (3, 2),
        "pi/b0": (2,),
        "value_head/w0": (3, 1),
        "value_head/b0": (1,),
    },
    "q": {**TRUNK, **head("action_value", 2)},
    "dueling": {**TRUNK, **head("advantage", 2), **head("state_value", 1)},
    "q without hiddens": {**TRUNK, "action_value/w0": (6, 2), "action_value/b0": (2,)},
}


def init(model: Any, seed: int = 0) -> dict[str, np.ndarray]:
    params: dict[str, np.ndarray] = model.init(np.random.default_rng(seed))
    return params


@pytest.mark.parametrize("name", MODELS)
def test_names_and_shapes(name: str) -> None:
    params = init(MODELS[name])
    assert {key: value.shape for key, value in params.items()} == SHAPES[name]
    assert {value.dtype for value in params.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", MODELS)
def test_equal_generators_give_equal_weights(name: str) -> None:
    first, again, other = (init(MODELS[name], seed) for seed in (0, 0, 1))
    assert list(first) == list(again)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert all(not np.array_equal(first[key], other[key]) for key in first if "/w" in key)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_for_rows_and_for_time_major_rows(name: str) -> None:
    model, params = MODELS[name], init(MODELS[name], 2)
    obs = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    flat, nested = (model.policy(ops, params, x) for x in (obs.reshape(20, 3), obs))
    outputs = 4 if name == "free log std" else 2
    assert flat.shape == (20, outputs)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(nested, flat.reshape(4, 5, outputs), rtol=1e-5, atol=1e-6)
    if model.has_value or isinstance(model, QNetwork):
        values = model.value(ops, params, obs)
        assert (values.shape, values.dtype) == ((4, 5), np.float32)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("name", MODELS)
def test_frameworks_compute_the_same(framework: str, name: str) -> None:
    model, params = MODELS[name], init(MODELS[name], 3)
    obs = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
    tensors = {key: tensor(framework, value) for key, value in params.items()}
    got = np.asarray(model.policy(ops_of(framework), tensors, tensor(framework, obs)))
    np.testing.assert_allclose(got, model.policy(ops, params, obs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(3, 8), (8, 3), (4, 4), (1, 5), (5, 1)])
def test_orthogonal(rows: int, columns: int) -> None:
    w = orthogonal(np.random.default_rng(0), rows, columns, 2.0) / 2.0
    gram = w @ w.T if rows <= columns else w.T @ w
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-6)


def test_orthogonal_matrices_have_no_preferred_sign() -> None:
    """Without the correction by R's signs QR favours some: the mean of a corner is not 0."""
    corners = [orthogonal(np.random.default_rng(i), 2, 2, 1.0)[0, 0] for i in range(400)]
    assert abs(np.mean(corners)) < 0.15


def gain(params: dict[str, np.ndarray], name: str) -> float:
    return float(np.linalg.norm(params[name], 2))


def test_gains_of_the_first_weights() -> None:
    params = init(MODELS["separate value"])
    expected = {"pi/w0": 2**0.5, "pi/w1": 2**0.5, "pi/w2": 0.01, "vf/w0": 2**0.5, "vf/w2": 1.0}
    for name, value in expected.items():
        assert gain(params, name) == pytest.approx(value, rel=1e-5)
    linear = ActorCritic(OBS, 2, ModelConfig(fcnet_hiddens=(8,), fcnet_activation="linear"))
    assert gain(init(linear), "pi/w0") == pytest.approx(1.0, rel=1e-5)
    assert not any(value.any() for name, value in params.items() if "/b" in name)


def test_a_policy_starts_near_uniform() -> None:
    obs = 10 * np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    assert np.abs(MODELS["policy"].policy(ops, init(MODELS["policy"]), obs)).max() < 0.05


def test_a_free_log_std_does_not_depend_on_the_observation() -> None:
    config = ModelConfig(fcnet_hiddens=(8,), init_log_std=-0.5)
    obs = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    free = ActorCritic(OBS, 4, config, free_log_std=2)
    np.testing.assert_array_equal(free.policy(ops, init(free), obs)[:, 2:], -0.5)
    bound = ActorCritic(OBS, 4, config)
    assert "log_std" not in init(bound)
    assert np.ptp(bound.policy(ops, init(bound), obs)[:, 2:], axis=0).min() > 0


@pytest.mark.parametrize(
    ("activation", "hidden"),
    [("tanh", np.tanh([1.5, -2.5])), ("relu", [1.5, 0]), ("linear", [1.5, -2.5])],
)
def test_a_forward_pass_by_hand(activation: str, hidden: Any) -> None:
    config = ModelConfig(fcnet_hiddens=(2,), fcnet_activation=activation)
    model = ActorCritic(ObsSpec((1,)), 1, config, share=True)
    params = {
        "pi/w0": np.array([[1.0, -1.0]]), "pi/b0": np.array([0.5, -1.5]),
        "pi/w1": np.array([[2.0], [3.0]]), "pi/b1": np.array([4.0]),
        "value_head/w0": np.array([[-1.0], [1.0]]), "value_head/b0": np.array([0.25]),
    }  # fmt: skip
    obs = np.array([[1.0]])
    policy = 2 * hidden[0] + 3 * hidden[1] + 4
    np.testing.assert_allclose(model.policy(ops, params, obs), [[policy]])
    np.testing.assert_allclose(model.value(ops, params, obs), [hidden[1] - hidden[0] + 0.25])


def test_a_separate_value_does_not_read_the_policy() -> None:
    model = MODELS["separate value"]
    params, obs = init(model), np.ones((1, 3), np.float32)
    before = model.value(ops, params, obs)
    params["pi/w0"] = params["pi/w0"] + 1
    np.testing.assert_array_equal(model.value(ops, params, obs), before)


def test_dueling_by_hand() -> None:
    """V = 10, A = (1, 2, 6), mean 3: Q = V + A - 3."""
    model = QNetwork(ObsSpec((1,)), 3, ModelConfig(fcnet_hiddens=()), (), dueling=True)
    params = {
        "advantage/w0": np.array([[1.0, 2.0, 6.0]]), "advantage/b0": np.zeros(3),
        "state_value/w0": np.array([[9.0]]), "state_value/b0": np.array([1.0]),
    }  # fmt: skip
    np.testing.assert_allclose(model.policy(ops, params, np.array([[1.0]])), [[8.0, 9.0, 13.0]])
    np.testing.assert_allclose(model.value(ops, params, np.array([[1.0]])), [13.0])


def test_heads_have_relu_layers() -> None:
    model = QNetwork(ObsSpec((1,)), 1, ModelConfig(fcnet_hiddens=()), (2,), dueling=False)
    params = {
        "action_value/w0": np.array([[1.0, -1.0]]), "action_value/b0": np.zeros(2),
        "action_value/w1": np.array([[5.0], [7.0]]), "action_value/b1": np.array([0.5]),
    }  # fmt: skip
    got = model.policy(ops, params, np.array([[2.0], [-2.0]]))
    np.testing.assert_allclose(got, [[10.5], [14.5]])
