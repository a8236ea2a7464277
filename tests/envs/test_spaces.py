import json

import numpy as np
import pytest
from gymnasium import spaces

from rltune.envs.batching import empty_batch, write_row
from rltune.envs.errors import EnvError
from rltune.envs.spaces import (
    ActionAdapter,
    ObsPreprocessor,
    space_from_dict,
    space_to_dict,
    unsupported_reason,
)


def batch(space, rows):
    out = empty_batch(space, len(rows))
    for index, row in enumerate(rows):
        write_row(out, index, row)
    return out


def test_flat_float32_passes_without_a_copy():
    preprocessor = ObsPreprocessor(spaces.Box(-1, 1, (3,)))
    obs = np.ones((2, 3), np.float32)
    assert preprocessor(obs) is obs and preprocessor.spec.shape == (3,)


@pytest.mark.parametrize(
    ("kind", "kept"), [(np.uint8, np.uint8), (np.float64, np.float32), (np.int32, np.float32)]
)
def test_images_stay_images(kind, kept):
    space = spaces.Box(0, 9, (4, 5, 3), kind)
    preprocessor = ObsPreprocessor(space, keep_images=True)
    obs = np.full((2, 4, 5, 3), 7, kind)
    images = preprocessor(obs)
    assert preprocessor.spec == ((4, 5, 3), kept) and preprocessor.spec.is_image
    assert images.dtype == kept and images.shape == obs.shape and np.all(images == 7)
    assert (images is obs) == (kind == kept)
    assert preprocessor.single(obs[0]).shape == (4, 5, 3)
    assert ObsPreprocessor(space).spec.shape == (60,)


def test_only_boxes_of_three_dimensions_are_images():
    for space in (spaces.Box(0, 9, (4, 5), np.uint8), spaces.MultiBinary([2, 2, 2])):
        assert not ObsPreprocessor(space, keep_images=True).spec.is_image


PAIR = spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 9, (1,))])


@pytest.mark.parametrize(
    ("space", "rows", "expected"),
    [
        (spaces.Box(0, 255, (1, 2), np.uint8), [[[1, 255]]], [[1, 255]]),
        (spaces.Box(0, 9, (), np.float64), [4.5, 6], [[4.5], [6]]),
        (spaces.Discrete(3), [2, 0], [[0, 0, 1], [1, 0, 0]]),
        (spaces.Discrete(3, start=-1), [-1, 1], [[1, 0, 0], [0, 0, 1]]),
        (spaces.MultiDiscrete([2, 3]), [[1, 0], [0, 2]], [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]),
        (spaces.MultiDiscrete([2, 2], start=[5, 1]), [[5, 2]], [[1, 0, 0, 1]]),
        (spaces.MultiDiscrete([[2], [2]]), [[[1], [0]]], [[0, 1, 1, 0]]),
        (spaces.MultiBinary([2, 2]), [[[1, 0], [0, 1]]], [[1, 0, 0, 1]]),
        (PAIR, [(1, [7])], [[0, 1, 7]]),
        (spaces.Dict(a=PAIR, b=spaces.Discrete(2)), [{"b": 0, "a": (0, [3])}], [[1, 0, 3, 1, 0]]),
    ],
)
def test_observations_are_flattened(space, rows, expected):
    preprocessor = ObsPreprocessor(space)
    flat = preprocessor(batch(space, rows))
    assert flat.dtype == np.float32 and flat.shape == (len(rows), *preprocessor.spec.shape)
    np.testing.assert_array_equal(flat, expected)
    np.testing.assert_array_equal(preprocessor.single(rows[0]), flat[0])


@pytest.mark.parametrize(
    ("space", "role", "supported"),
    [
        (spaces.MultiBinary(3), "observation", True),
        (spaces.MultiBinary(3), "action", False),
        (spaces.Dict(a=spaces.Discrete(2)), "action", False),
        (spaces.Tuple([spaces.Dict(a=spaces.Text(3))]), "observation", False),
        (spaces.Sequence(spaces.Discrete(2)), "observation", False),
        (spaces.MultiDiscrete([2]), "action", True),
    ],
)
def test_unsupported_spaces_have_a_reason(space, role, supported):
    reason = unsupported_reason(space, role)
    assert (reason is None) == supported
    if not supported:
        assert role in reason and "Box" in reason
        with pytest.raises(EnvError, match="not supported"):
            (ActionAdapter if role == "action" else ObsPreprocessor)(space)


def test_discrete_actions_respect_the_start():
    adapter = ActionAdapter(spaces.Discrete(3, start=5))
    assert adapter.shape == () and adapter.dtype == np.int32 and adapter.nvec.tolist() == [3]
    actions = adapter.to_env(np.array([0, 2], np.int32))
    assert actions.tolist() == [5, 7] and actions.dtype == np.int64
    assert adapter.space.contains(actions[0])


def test_multi_discrete_actions_get_their_shape_back():
    space = spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [0, 0]])
    adapter = ActionAdapter(space)
    assert adapter.shape == (4,) and adapter.nvec.tolist() == [2, 3, 4, 5]
    actions = adapter.to_env(np.array([[1, 2, 3, 4]], np.int32))
    assert actions.tolist() == [[[1, 3], [3, 4]]] and space.contains(actions[0])


BOX = spaces.Box(np.array([[-2, 0]], np.float32), np.array([[2, 1]], np.float32))


def test_box_actions_are_clipped_or_left():
    actions = np.array([[-3.0, 0.5], [1.0, 7.0]], np.float32)
    assert ActionAdapter(BOX).to_env(actions).tolist() == [[[-2, 0.5]], [[1, 1]]]
    left = ActionAdapter(BOX, clip_actions=False).to_env(actions)
    assert left.tolist() == [[[-3, 0.5]], [[1, 7]]]
    assert actions.tolist() == [[-3, 0.5], [1, 7]] and not np.shares_memory(left, actions)


def test_normalised_box_actions():
    adapter = ActionAdapter(BOX, normalize_actions=True)
    actions = adapter.to_env(np.array([[-1, -1], [0, 0], [1, 1], [5, -5]], np.float32))
    assert actions[:, 0].tolist() == [[-2, 0], [0, 0.5], [2, 1], [2, 0]]


def test_unbounded_dimensions_are_not_normalised():
    space = spaces.Box(np.array([-np.inf, 0], np.float32), np.array([np.inf, 10], np.float32))
    actions = ActionAdapter(space, normalize_actions=True).to_env(np.array([[30.0, 0.0]]))
    assert actions.tolist() == [[30, 5]]


def test_integer_boxes_are_rounded():
    space = spaces.Box(0, 255, (1,), np.uint8)
    assert ActionAdapter(space).to_env(np.array([[300.0], [3.7]])).tolist() == [[255], [4]]


@pytest.mark.parametrize(
    "space",
    [
        BOX,
        spaces.Box(-np.inf, np.inf, (4,)),
        spaces.Box(np.array([-np.inf, 0.1]), np.array([1.0, np.inf]), dtype=np.float64),
        spaces.Box(0, 255, (84, 84, 4), np.uint8),
        spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64),
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([[2, 3]], start=[[1, 0]]),
        spaces.MultiBinary([2, 3]),
        spaces.Dict(z=spaces.Discrete(2), a=spaces.Tuple([spaces.MultiBinary(2)])),
    ],
)
def test_spaces_survive_json(space):
    text = json.dumps(space_to_dict(space), allow_nan=False)
    assert space_from_dict(json.loads(text)) == space
    assert len(text) < 400


def test_a_space_without_description():
    with pytest.raises(EnvError, match="Text"):
        space_to_dict(spaces.Text(3))
    with pytest.raises(EnvError, match="Text"):
        space_from_dict({"type": "Text"})
