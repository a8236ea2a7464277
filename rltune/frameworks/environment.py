"""Environment variables that a framework reads once, and that others should not see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def setting(name: str, value: str | None) -> Iterator[None]:
    """The variable is `value` for so long, then what it was. None: nothing is set."""
    if value is None:
        yield
        return
    former = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if former is not None:
            os.environ[name] = former
