"""The frameworks that tests run with: all of them, those that are not installed as skipped ones."""

from __future__ import annotations

import importlib.util

import pytest

from rltune.frameworks import PACKAGES

INSTALLED = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]
ALL = [
    pytest.param(
        name,
        marks=[] if name in INSTALLED else pytest.mark.skip(reason=f"no {package} here"),
    )
    for name, package in PACKAGES.items()
]
