"""The values that training really uses, compared with the config: a result must not name others than those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Use = tuple[str, str, Any]
"""(who uses it, config key, value in use)."""


class EffectiveValueError(RuntimeError):
    """Training would use, or used, other values than the config says."""


def check_values(uses: Iterable[Use], wanted: Mapping[str, Any], after: str) -> None:
    """Raises EffectiveValueError for every value in use that is not the wanted one of its key.

    `after`: what has just happened. Keys that `wanted` does not have are no settings.
    """
    wrong = [
        f"{who} has '{key}' {value!r}, the config says {wanted[key]!r}"
        for who, key, value in uses
        if key in wanted and value != wanted[key]
    ]
    if wrong:
        raise EffectiveValueError(
            f"after {after} training does not use the config's values: {'; '.join(wrong)}. "
            "Does the algorithm keep a copy of a setting that its state brings back?"
        )
