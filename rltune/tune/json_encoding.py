"""JSON of the experiment state: strict, readable, and whole when it comes back.

What JSON cannot hold without loss (functions, arrays, tuples, non-finite numbers, dicts whose keys
are no texts) becomes `{"_type": "CLOUDPICKLE_FALLBACK", "value": <hex>}`. numpy scalars become
plain numbers.
"""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any

import numpy as np

from rltune.tune.plain import plain

TYPE = "_type"
FALLBACK = "CLOUDPICKLE_FALLBACK"
PICKLED = "<pickled>"
# The pickle of one float, in hexadecimal: protocol, an optional frame, the number, the end.
_FLOAT = re.compile("80..(?:95.{16})?47([0-9a-f]{16})2e")


def dumps(value: Any, indent: int | None = None) -> str:
    """`value` as JSON. Raises what cloudpickle raises where a value cannot be pickled either."""
    return json.dumps(_encode(value), indent=indent, allow_nan=False)


def dumps_or_plain(value: Any) -> str:
    """The same, with texts for what cannot be pickled if there is such a thing in `value`."""
    try:
        return dumps(value)
    except Exception:  # whatever pickling the user's objects raises
        return dumps(plain(value))


def loads(text: str | bytes) -> Any:
    """The value that `dumps` was given. It unpickles: only for files of one's own runs.

    JSON extensions of older files (`NaN`, `-Infinity`) are read too. Raises ValueError for what is
    no JSON.
    """
    return json.loads(text, object_hook=_decode)


def is_fallback(value: Any) -> bool:
    """Whether a value of the bare JSON stands for one that JSON cannot hold."""
    return isinstance(value, dict) and value.get(TYPE) == FALLBACK


def readable(value: Any) -> Any:
    """What a value of the bare JSON tells without unpickling anything.

    A fallback is its number where it holds a float, else the text `<pickled>`.
    """
    if not is_fallback(value):
        return value
    number = _FLOAT.fullmatch(str(value.get("value")))
    return struct.unpack(">d", bytes.fromhex(number[1]))[0] if number else PICKLED


def _encode(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else _fallback(value)
    if type(value) is list:
        return [_encode(inner) for inner in value]
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: _encode(inner) for key, inner in value.items()}
    return _fallback(value)


def _fallback(value: Any) -> dict[str, str]:
    import cloudpickle

    return {TYPE: FALLBACK, "value": cloudpickle.dumps(value).hex()}


def _decode(value: dict[str, Any]) -> Any:
    if not is_fallback(value):
        return value
    import cloudpickle

    return cloudpickle.loads(bytes.fromhex(value["value"]))
