"""The format of the experiment state: T4.6."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rltune.tune.json_encoding import dumps, loads, readable
from rltune.tune.sample import function

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.text() | st.integers()
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(TREES)
def test_t4_6_values_come_back_whole(value: Any) -> None:
    assert loads(dumps(value)) == value


def test_t4_6_functions_survive() -> None:
    offset = 3
    back = loads(dumps({"f": function(lambda x: x + offset), "plain": [1, "a", None]}))
    assert back["f"](1) == 4
    assert back["plain"] == [1, "a", None]


def test_t4_6_what_json_cannot_hold_is_marked() -> None:
    encoded = json.loads(dumps({"t": (1, 2), "n": 1, "s": np.int64(4)}))
    assert encoded["n"] == 1 and encoded["s"] == 4
    assert encoded["t"]["_type"] == "CLOUDPICKLE_FALLBACK"
    assert set(encoded["t"]) == {"_type", "value"}
    bytes.fromhex(encoded["t"]["value"])


def test_t4_6_the_text_is_strict_json() -> None:
    text = dumps({"nan": float("nan"), "inf": [float("-inf")]})
    assert "NaN" not in text and "Infinity" not in text
    back = loads(text)
    assert np.isnan(back["nan"]) and back["inf"] == [float("-inf")]


def test_extensions_of_older_files_are_read() -> None:
    assert loads('{"x": -Infinity}') == {"x": float("-inf")}


def test_arrays_keep_their_type() -> None:
    back = loads(dumps({"a": np.arange(3, dtype=np.int16)}))
    assert back["a"].dtype == np.int16 and back["a"].tolist() == [0, 1, 2]


def test_no_json_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        loads("{")


@given(st.floats())
def test_what_reads_without_unpickling_sees_every_number(value: float) -> None:
    shown = readable(json.loads(dumps(value)))
    assert shown == value or (np.isnan(shown) and np.isnan(value))


def test_nothing_is_unpickled_to_be_read() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("unpickled",)

    assert readable(json.loads(dumps(Bomb()))) == "<pickled>"
    assert readable({"_type": "CLOUDPICKLE_FALLBACK"}) == "<pickled>"
    assert readable({"_type": "mine", "value": 1}) == {"_type": "mine", "value": 1}
