"""Convolutions before the hidden layers: which there are, what they compute, and what does not suit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from agents.dqn import DQN
from agents.ppo import PPO, PPOConfig
from rltune.algorithm_config import ModelConfig
from rltune.config import ConfigError
from rltune.envs.spaces import ObsSpec
from rltune.frameworks import _numpy
from rltune.models.encoders import filters_for, image_problems, shapes
from rltune.models.networks import ActorCritic, QNetwork
from tests.bindings import ALL, ops_of, tensor
from tests.envs.toy import IdentityImageEnv

UINT8 = np.dtype(np.uint8)
FILTERS = ((4, (4, 4), 2), (6, (3, 2), 1), (8, (2, 2), 1))
SMALL = ModelConfig(conv_filters=FILTERS, fcnet_hiddens=(5,))
IMAGE = ObsSpec((8, 7, 2), UINT8)
MODELS: dict[str, Any] = {
    "separate": ActorCritic(IMAGE, 3, SMALL),
    "shared": ActorCritic(IMAGE, 3, SMALL, share=True),
    "q": QNetwork(IMAGE, 3, SMALL, (6,), dueling=True),
}


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, *IMAGE.shape), np.uint8)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((84, 84, 4), [(84, 84, 4), (21, 21, 16), (11, 11, 32), (1, 1, 256)]),
        ((42, 42, 3), [(42, 42, 3), (21, 21, 16), (11, 11, 32), (1, 1, 256)]),
    ],
)
def test_the_sizes_that_have_filters_of_their_own(
    shape: tuple[int, ...], sizes: list[tuple[int, ...]]
) -> None:
    assert shapes(shape, filters_for(shape, ModelConfig())) == sizes


def test_other_shapes_are_flattened_unless_filters_are_given() -> None:
    assert filters_for((8, 7, 2), ModelConfig()) == ()
    assert filters_for((84, 84), ModelConfig()) == ()
    assert filters_for(None, SMALL) == ()
    assert filters_for((8, 7, 2), SMALL) == FILTERS
    assert filters_for((84, 84, 4), ModelConfig(conv_filters=())) == ()


def test_parameters() -> None:
    params = MODELS["separate"].init(np.random.default_rng(0))
    expected = {
        "conv0/w": (4, 4, 2, 4),
        "conv0/b": (4,),
        "conv1/w": (3, 2, 4, 6),
        "conv1/b": (6,),
        "conv2/w": (2, 2, 6, 8),
        "conv2/b": (8,),
        "w0": (3 * 3 * 8, 5),
        "b0": (5,),
        "w1": (5, 3),
        "b1": (3,),
    }
    assert {k.removeprefix("pi/"): v.shape for k, v in params.items() if k[:3] == "pi/"} == expected
    assert params["vf/conv0/w"].shape == (4, 4, 2, 4) and params["vf/w1"].shape == (5, 1)
    assert not np.array_equal(params["vf/conv0/w"], params["pi/conv0/w"])
    flat = params["pi/conv0/w"].reshape(32, 4)
    np.testing.assert_allclose(flat.T @ flat, 2 * np.eye(4), atol=1e-5)  # relu: gain sqrt 2
    shared = MODELS["shared"].init(np.random.default_rng(0))
    assert not any(name.startswith("vf/") for name in shared)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("name", MODELS)
def test_frameworks_compute_the_same(framework: str, name: str) -> None:
    model = MODELS[name]
    params = model.init(np.random.default_rng(3))
    tensors = {key: tensor(framework, value) for key, value in params.items()}
    ops, obs = ops_of(framework), tensor(framework, pictures(11))
    for method in ("policy", "value"):
        expected = getattr(model, method)(_numpy, params, pictures(11))
        got = np.asarray(getattr(model, method)(ops, tensors, obs))
        assert expected.dtype == got.dtype == np.float32
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_rows_and_time_major_rows(name: str) -> None:
    model, obs = MODELS[name], pictures(3, 5)
    params = model.init(np.random.default_rng(0))
    nested = model.policy(_numpy, params, obs)
    flat = model.policy(_numpy, params, obs.reshape(15, *IMAGE.shape))
    np.testing.assert_allclose(nested, flat.reshape(3, 5, 3), rtol=1e-5, atol=1e-6)
    assert model.value(_numpy, params, obs).shape == (3, 5)


@pytest.mark.parametrize("name", ["separate", "shared"])
def test_policy_and_value_at_once(name: str) -> None:
    model = MODELS[name]
    params = model.init(np.random.default_rng(0))
    both = model.policy_and_value(_numpy, params, pictures(4))
    alone = (getattr(model, method)(_numpy, params, pictures(4)) for method in ("policy", "value"))
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("more", "kind", "expected"),
    [
        ({}, np.uint8, [-1.0, 0.0, 127 / 128]),
        ({"zero_mean": False}, np.uint8, [0.0, 128 / 255, 1.0]),
        ({}, np.float32, [0.0, 128.0, 255.0]),
    ],
)
def test_how_pixels_are_scaled(more: Any, kind: Any, expected: list[float]) -> None:
    """A kernel of one place and weight 1 shows what the first layer sees."""
    config = ModelConfig(
        conv_filters=((1, (1, 1), 1),), conv_activation="linear", fcnet_hiddens=(), **more
    )
    encoder = ActorCritic(ObsSpec((1, 3, 1), np.dtype(kind)), 2, config).trunk.encoder
    params = {
        "pi/conv0/w": np.ones((1, 1, 1, 1), np.float32),
        "pi/conv0/b": np.zeros(1, np.float32),
    }
    obs = np.array([0, 128, 255], kind).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(encoder.encode(_numpy, params, "pi", obs), [expected], rtol=1e-6)


def test_the_activation_is_that_of_the_config() -> None:
    found = []
    for name in ("relu", "tanh", "linear"):
        config = ModelConfig(conv_filters=FILTERS, conv_activation=name, fcnet_hiddens=())
        encoder = ActorCritic(IMAGE, 2, config).trunk.encoder
        params = encoder.init(np.random.default_rng(0), "pi")
        found.append(encoder.encode(_numpy, params, "pi", pictures(20)))
    relu, tanh, linear = found
    assert relu.min() == 0 and linear.min() < -1 and -1 < tanh.min() < 0


@pytest.mark.parametrize(
    ("space", "config", "message"),
    [
        (
            spaces.Box(-1, 1, (4,)),
            {"model": {"conv_filters": [[4, 2, 1]]}},
            "'model.conv_filters' is set, but observations are no images",
        ),
        (
            spaces.Discrete(3),
            {"model": {"conv_filters": [[4, 2, 1]]}},
            "observations are no images",
        ),
        (
            spaces.Box(0, 255, (9, 8, 1), np.uint8),
            {"model": {"conv_filters": [[4, 3, 2], [4, [5, 6], 1]]}},
            "the last kernel is 5 x 6, but the layers before it leave 5 x 4 of images of 9 x 8",
        ),
        (
            spaces.Box(0, 255, (84, 84, 4), np.uint8),
            {"observation_filter": "MeanStdFilter"},
            "'observation_filter' 'MeanStdFilter' is not for images",
        ),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), {}, ""),
        (spaces.Box(0, 255, (8, 8, 4), np.uint8), {"observation_filter": "MeanStdFilter"}, ""),
        (spaces.Dict(a=spaces.Discrete(2)), {}, ""),
    ],
)
def test_what_does_not_suit(space: Any, config: dict[str, Any], message: str) -> None:
    problems = list(image_problems(space, PPOConfig.from_dict(config)))
    assert len(problems) == bool(message)
    assert not message or message in problems[0]


@pytest.mark.parametrize(
    "filters", [3, [[4, 2]], [[0, 2, 1]], [[4, [2], 1]], [[4, 2, 1.5]], [["4", 2, 1]]]
)
def test_filters_that_are_none(filters: Any) -> None:
    with pytest.raises(ConfigError, match=r"'model.conv_filters' is .*; it must be a list of"):
        PPOConfig.from_dict({"model": {"conv_filters": filters}})


def test_filters_as_yaml_has_them_and_back() -> None:
    config = PPOConfig.from_dict({"model": {"conv_filters": [[16, [8, 4], 4], [32, 3, 1]]}})
    assert config.model.conv_filters == ((16, (8, 4), 4), (32, (3, 3), 1))
    assert PPOConfig.from_dict(config.to_dict()) == config


def test_pixels_stay_bytes_up_to_the_first_layer() -> None:
    """In the fragments, the replay buffer and the batch; and `auto` trains convolutions with torch."""
    config = {"env": IdentityImageEnv, "model": {"conv_filters": [[4, 4, 2], [4, 3, 1]]}, "seed": 1}
    seen: list[dict[str, np.ndarray]] = []
    for cls in (PPO, DQN):
        algorithm = cls({**config, "train_batch_size": 16, "sgd_minibatch_size": 8}) if cls is PPO \
            else cls({**config, "learning_starts": 10, "timesteps_per_iteration": 20})  # fmt: skip
        update = algorithm.learner.update

        def keep(batch: Any, *rest: Any, update: Any = update) -> Any:
            seen.append(batch)
            return update(batch, *rest)

        algorithm.learner.update = keep
        assert algorithm.train()["framework"] == ops_framework()
        assert seen.pop()["obs"].dtype == np.uint8
        if cls is DQN:
            columns = algorithm.replay._columns
            assert columns["obs"].dtype == columns["new_obs"].dtype == np.uint8
        action = algorithm.compute_action(np.zeros((12, 12, 1), np.uint8))
        assert action in range(4)


def ops_framework() -> str:
    """What `auto` is for images on this machine's CPU."""
    from rltune.frameworks import choose_framework, for_images

    return for_images("auto", choose_framework("auto"), "cpu")


@pytest.mark.parametrize(
    ("name", "device", "expected"), [("jax", "cpu", "jax"), ("auto", "cuda", "jax")]
)
def test_a_framework_that_was_asked_for_stays(name: str, device: str, expected: str) -> None:
    from rltune.frameworks import for_images

    assert for_images(name, "jax", device) == expected


def test_images_alone_mean_torch() -> None:
    pytest.importorskip("torch")
    from rltune.frameworks import for_images

    assert for_images("auto", "jax", "cpu") == "torch"
