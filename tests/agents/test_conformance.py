"""Every algorithm in the table passes the one suite."""

from __future__ import annotations

import pytest

from agents import ALGORITHMS
from tests.conformance import Conformance


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
class TestConformance(Conformance):
    """Nothing of its own."""
