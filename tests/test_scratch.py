"""The directory for files of a moment."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from rltune.scratch import Scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def fill(directory: str) -> None:
    inner = Path(directory, Scratch.INNER)
    assert [path.name for path in Path(directory).rglob("*")] == [Scratch.INNER]
    (inner / "a").mkdir()
    for path in (inner / "a" / "weights", inner / "state", Path(directory, "beside")):
        path.write_text("x")
    (inner / "link").symlink_to(directory)


def test_each_use_finds_the_same_directory_empty() -> None:
    scratch, used = Scratch(), set()
    for _ in range(2):
        with scratch.use() as directory:
            fill(directory)
            used.add(directory)
    with pytest.raises(ValueError, match="full"), scratch.use() as directory:
        fill(directory)
        raise ValueError("full")
    with scratch.use() as directory:
        fill(directory)
    assert used == {directory}


def test_it_is_made_again_when_somebody_removed_it() -> None:
    scratch = Scratch()
    with scratch.use() as directory:
        fill(directory)
    shutil.rmtree(directory)
    with scratch.use() as again:
        fill(again)


@pytest.mark.parametrize("close", [True, False])
def test_nothing_is_left_of_it(temporary: Path, close: bool) -> None:
    scratch = Scratch()
    assert os.listdir(temporary) == []  # made when it is needed
    with scratch.use() as directory:
        fill(directory)
    assert os.listdir(temporary) == [os.path.basename(directory)]
    if close:
        scratch.close()
    else:
        del scratch
        gc.collect()
    assert os.listdir(temporary) == []
