"""Pinned objects (T12.1) and nested updates."""

from __future__ import annotations

from typing import Any

import pytest

from rltune.tune.flatten import flatten_dict
from rltune.tune.util import deep_update, get_pinned_object, merge_dicts


def test_t12_1_only_ids_of_pinned_objects() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match="no id of pin_in_object_store"):
        get_pinned_object("hello")


def test_deep_update_lays_dict_over_dict() -> None:
    below: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": 3, "e": {"f": 1}}
    above = {"a": {"b": 5}, "e": 7, "g": {"h": 1}}
    merged = merge_dicts(below, above)
    assert merged == {"a": {"b": 5, "c": 2}, "d": 3, "e": 7, "g": {"h": 1}}
    assert below["a"]["b"] == 1
    assert deep_update(below, above) is below and below == merged


def test_deep_update_names_the_key_that_is_unknown() -> None:
    with pytest.raises(KeyError, match="`lrr`; did you mean 'lr'"):
        deep_update({"lr": 1}, {"lrr": 2}, new_keys_allowed=False)
    free = deep_update({"env": {"x": 1}}, {"env": {"y": {"z": 2}}}, False, ["env"])
    assert free == {"env": {"x": 1, "y": {"z": 2}}}


def test_flatten() -> None:
    assert flatten_dict({"a": {"b": {"c": 1}, "d": 2}, 3: 4, "e": {}}) == {
        "a/b/c": 1,
        "a/d": 2,
        "3": 4,
    }
    assert flatten_dict({"a": {"b": 1}}, ":") == {"a:b": 1}
