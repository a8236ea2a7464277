"""Nested results and configs as one level of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten_dict(nested: Mapping[Any, Any], delimiter: str = "/") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a/b": 1}`. Order is kept; an empty mapping leaves nothing."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            for inner, leaf in flatten_dict(value, delimiter).items():
                flat[f"{key}{delimiter}{inner}"] = leaf
        else:
            flat[str(key)] = value
    return flat
