"""Values that change with timesteps."""

from __future__ import annotations

import pytest

from rltune.schedules import linear, piecewise_linear

POINTS = ((0.0, 1.0), (100.0, 0.5), (200.0, 0.9))


@pytest.mark.parametrize(
    ("timesteps", "value"), [(0, 1.0), (50, 0.75), (100, 0.5), (150, 0.7), (200, 0.9), (9999, 0.9)]
)
def test_piecewise_linear(timesteps: int, value: float) -> None:
    got = piecewise_linear(POINTS, timesteps)
    assert got == pytest.approx(value)
    assert type(got) is float


def test_a_schedule_of_one_point_is_constant() -> None:
    assert [piecewise_linear(((0.0, 0.3),), t) for t in (0, 10**9)] == [0.3, 0.3]


@pytest.mark.parametrize(("timesteps", "value"), [(0, 1.0), (5, 0.51), (10, 0.02), (11, 0.02)])
def test_linear(timesteps: int, value: float) -> None:
    assert linear(1.0, 0.02, 10, timesteps) == pytest.approx(value)


def test_no_duration_means_the_end_from_the_first_step() -> None:
    assert linear(1.0, 0.02, 0, 0) == 0.02
