"""Named parameters as one flat vector."""

from __future__ import annotations

import numpy as np
import pytest

from rltune.frameworks import ParamSpec

PARAMS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([7.0, 8.0, 9.0], np.float32),
    "scale": np.array(10.0, np.float32),
}


def test_there_and_back() -> None:
    spec = ParamSpec.of(PARAMS)
    assert spec.sizes == [6, 3, 1]
    flat = spec.pack(PARAMS)
    assert flat.dtype == np.float32
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10]
    back = spec.unpack(flat)
    assert list(back) == list(PARAMS)
    for name, value in PARAMS.items():
        np.testing.assert_array_equal(back[name], value)
        assert np.shares_memory(back[name], flat)


def test_order_is_the_specs_not_the_callers() -> None:
    spec = ParamSpec.of(PARAMS)
    np.testing.assert_array_equal(spec.pack(dict(reversed(PARAMS.items()))), spec.pack(PARAMS))


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({**PARAMS, "b": np.zeros(4)}, "b"),
        ({k: v for k, v in PARAMS.items() if k != "w"}, "w"),
        ({**PARAMS, "other": np.zeros(1)}, "other"),
        ({**PARAMS, "w": PARAMS["w"].T, "b": np.zeros(1)}, "b, w"),
    ],
)
def test_what_does_not_fit_is_named(params: dict[str, np.ndarray], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"do not fit the model: {wrong}$"):
        ParamSpec.of(PARAMS).pack(params)
