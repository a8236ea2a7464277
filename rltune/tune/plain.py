"""Any value as what JSON and YAML hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_PLAIN = frozenset({str, bool, int, type(None)})


def plain(value: Any, keep_non_finite: bool = False) -> Any:
    """`value` out of dicts, lists, texts and numbers alone.

    numpy scalars and arrays become numbers and lists, what has no plain form becomes its text.
    NaN and infinities become None, since JSON has no such numbers, unless `keep_non_finite`.
    """
    if type(value) in _PLAIN:  # most values, and the checks below cost more
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if keep_non_finite or math.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray):
        item = value.tolist()
        return str(value) if isinstance(item, np.generic) else plain(item, keep_non_finite)
    if isinstance(value, Mapping):
        return {str(key): plain(inner, keep_non_finite) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, keep_non_finite) for inner in value]
    return str(value)
