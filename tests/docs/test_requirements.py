"""docs/requirements.md names a test for each requirement, and only tests that exist."""

from __future__ import annotations

import pytest

from tests.docs import requirements

# How many requirements each section has.
SECTIONS = {1: 12, 2: 4, 3: 8, 4: 9, 5: 6, 6: 6, 7: 3, 8: 3, 9: 5, 10: 2, 12: 1, 13: 6}
LISTED = requirements.listed()
EXISTING = requirements.found()


@pytest.mark.parametrize(
    "number", [f"T{section}.{i}" for section, n in SECTIONS.items() for i in range(1, n + 1)]
)
def test_requirement_is_listed_with_tests_that_exist(number: str) -> None:
    assert LISTED[number], f"{number} has no test"
    gone = set(LISTED[number]) - set(EXISTING.get(number, []))
    assert not gone, f"{gone}: run `python -m tests.docs.requirements`"


def test_the_last_column_is_written_anew() -> None:
    text = "| T1.1 | what | - |\n| T1.2 | other | `old.py::test_old` |\n"
    tests = {"T1.1": ["a.py::test_t1_1", "a.py::test_t1_1_b"]}
    expected = "| T1.1 | what | `a.py::test_t1_1`<br>`a.py::test_t1_1_b` |\n| T1.2 | other | - |\n"
    assert requirements.rewritten(text, tests) == expected
