"""Which framework and device train."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import pytest

from rltune.config import ConfigError
from rltune.frameworks import choose_device, choose_framework


def test_auto_is_torch() -> None:
    pytest.importorskip("torch")
    assert choose_framework("auto") == choose_framework("torch") == "torch"


@pytest.mark.parametrize("name", ["tf", "jax"])
def test_one_that_is_not_there_yet(name: str) -> None:
    with pytest.raises(ConfigError, match=f"framework '{name}' is not supported yet"):
        choose_framework(name)


def test_one_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="framework 'torch' is not installed: pip install torch"):
        choose_framework("auto")


@pytest.mark.parametrize(
    ("num_gpus", "visible", "device", "warnings"),
    [(0, True, "cpu", 0), (1, True, "cuda", 0), (0.5, True, "cuda", 0), (1, False, "cpu", 1)],
)
def test_num_gpus_alone_decides(
    num_gpus: float,
    visible: bool,
    device: str,
    warnings: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch: Any = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: visible)
    with caplog.at_level(logging.WARNING, logger="rltune"):
        assert choose_device("torch", num_gpus) == device
    assert len(caplog.records) == warnings
