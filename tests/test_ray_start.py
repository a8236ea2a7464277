"""What is around the start of a Ray."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from rltune.ray_start import starting


def test_ray_s_own_end_on_sigterm_does_not_stay() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with starting():
        signal.signal(signal.SIGTERM, lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("given", "niceness"), [(None, "0"), ("7", "7")])
def test_workers_are_as_important_as_their_driver_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, given: Any, niceness: str
) -> None:
    monkeypatch.delenv("RAY_worker_niceness", raising=False)
    if given:
        monkeypatch.setenv("RAY_worker_niceness", given)
    with starting():
        assert os.environ["RAY_worker_niceness"] == niceness
