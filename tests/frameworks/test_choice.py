"""Which framework and device train."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import pytest

from rltune.config import ConfigError
from rltune.frameworks import PACKAGES, choose, choose_framework
from tests.bindings import INSTALLED


def only(*names: str) -> Any:
    """A `find_spec` that finds these packages."""
    return lambda package: True if package in names else None


@pytest.mark.parametrize("name", INSTALLED)
def test_one_by_name(name: str) -> None:
    assert choose_framework(name) == name


@pytest.mark.parametrize(
    ("packages", "chosen"),
    [
        (list(PACKAGES.values()), next(iter(PACKAGES))),
        *(([p], name) for name, p in PACKAGES.items()),
    ],
)
def test_auto_is_the_first_that_is_there(
    packages: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", only(*packages))
    assert choose_framework("auto") == chosen


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("auto", "framework 'jax' is not installed: pip install jax"),
        ("torch", "framework 'torch' is not installed: pip install torch"),
        ("jax", "framework 'jax' is not installed: pip install jax"),
        ("tf", "framework 'tf' is not installed: pip install tensorflow"),
    ],
)
def test_one_that_is_not_installed(name: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", only())
    with pytest.raises(ConfigError, match=error):
        choose_framework(name)


@pytest.mark.parametrize(
    ("name", "num_gpus", "visible", "chosen", "warnings"),
    [
        ("torch", 0, True, ("torch", "cpu"), 0),
        ("torch", 1, True, ("torch", "cuda"), 0),
        ("torch", 0.5, True, ("torch", "cuda"), 0),
        ("torch", 1, False, ("torch", "cpu"), 1),
        ("auto", 1, True, ("torch", "cuda"), 0),
        ("auto", 1, False, (choose_framework("auto"), "cpu"), 1),
        ("auto", 0, True, (choose_framework("auto"), "cpu"), 0),
    ],
)
def test_num_gpus_alone_decides(
    name: str,
    num_gpus: float,
    visible: bool,
    chosen: tuple[str, str],
    warnings: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch: Any = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: visible)
    with caplog.at_level(logging.WARNING, logger="rltune"):
        assert choose(name, num_gpus) == chosen
    assert len(caplog.records) == warnings


def test_jax_without_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    jax = pytest.importorskip("jax")
    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("there is a GPU")
    with caplog.at_level(logging.WARNING, logger="rltune"):
        assert choose("jax", 1) == ("jax", "cpu")
    (record,) = caplog.records
    assert "num_gpus is 1, but jax sees no GPU here" in record.getMessage()
