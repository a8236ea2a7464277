"""Checkpoint directories: what goes in comes out, and nothing half-written or altered is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltune import checkpoint
from rltune.checkpoint import (
    CheckpointError,
    join_tree,
    read_checkpoint,
    read_manifest,
    remove_checkpoint,
    split_tree,
    write_atomically,
    write_checkpoint,
)
from rltune.version import __version__

TREE: dict[str, Any] = {
    "theta": {
        "pi/w0": np.arange(6, dtype=np.float32).reshape(2, 3),
        "pi/b0": np.zeros(3, np.float32),
    },
    "scalar": np.asarray(7),
    "empty": np.zeros((0, 4)),
    "bools": np.array([True, False]),
    "images": np.arange(4, dtype=np.uint8)[::-1],
    "count": np.int64(3),
    "rng": np.random.PCG64(0).state,  # 128-bit whole numbers
    "reward": float("inf"),
    "pair": (1, "two", None, True),
}


def write(directory: Path) -> Path:
    write_checkpoint(directory, {"algorithm": "PPO"}, {"learner": TREE, "other": {"a": [1.5]}})
    return directory


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    manifest, trees = read_checkpoint(write(tmp_path / "deep" / "checkpoint_1"))
    assert manifest["algorithm"] == "PPO"
    assert manifest["format_version"] == 1
    assert manifest["versions"]["rltune"] == __version__
    assert trees["other"] == {"a": [1.5]}
    got = trees["learner"]
    assert got.keys() == TREE.keys()
    for old, new in [
        *((TREE[key], got[key]) for key in ("scalar", "empty", "bools", "images")),
        *((TREE["theta"][key], got["theta"][key]) for key in TREE["theta"]),
    ]:
        assert (new.dtype, new.shape) == (old.dtype, old.shape)
        np.testing.assert_array_equal(new, old)
        assert new.flags.writeable  # as the state was when it was taken
    assert {key: got[key] for key in ("count", "rng", "reward", "pair")} == {
        "count": 3,
        "rng": TREE["rng"],
        "reward": float("inf"),
        "pair": [1, "two", None, True],
    }


def test_arrays_whose_paths_read_alike_stay_apart() -> None:
    tree = {"a": {"b": np.zeros(1)}, "a/b": np.ones(2), "/a": {"b": np.full(3, 2.0)}}
    joined = join_tree(*split_tree(tree))
    assert joined["a"]["b"].tolist() == [0]
    assert joined["a/b"].tolist() == [1, 1]
    assert joined["/a"]["b"].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        (object(), "object"),
        ({1}, "set"),
        (b"x", "bytes"),
        (np.array(["a"]), "array of <U1"),
        (np.array([None]), "array of object"),
    ],
)
def test_what_cannot_be_held_is_named(tmp_path: Path, leaf: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"state /envs/1/x is an? .*{kind}"):
        write_checkpoint(tmp_path, {}, {"workers": {"envs": [0, {"x": leaf}]}})
    assert not (tmp_path / "manifest.json").exists()


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = write_atomically

    def spy(path: Path, data: bytes) -> None:
        written.append(path.name)
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_atomically", spy)
    write(tmp_path)
    assert written[-1] == "manifest.json"
    assert sorted(read_manifest(tmp_path)["files"]) == sorted(written[:-1])
    assert sorted(os.listdir(tmp_path)) == sorted(written)  # and no temporary file is left


def test_writing_over_a_checkpoint_that_then_fails_leaves_none(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path, {}, {"learner": {"x": 1}, "other": {"x": object()}})
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_altered_file(tmp_path: Path) -> None:
    path = write(tmp_path) / "learner.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"learner\.safetensors is damaged"):
        read_checkpoint(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    (write(tmp_path) / "other.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks other\.json"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no manifest"),
        ("{}", "has format version None"),
        (json.dumps({"format_version": 2}), "has format version 2; this rltune reads version 1"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_manifest(tmp_path)


def test_no_checkpoint_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(CheckpointError, match="no checkpoint at"):
            read_manifest(path)


def test_removal_takes_the_manifest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write(tmp_path / "checkpoint_1")

    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove_checkpoint(directory)
    with pytest.raises(CheckpointError):
        read_checkpoint(directory)
    remove_checkpoint(directory)
    assert not directory.exists()


def test_nothing_on_the_way_in_is_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a checkpoint was unpickled")

    write(tmp_path)
    monkeypatch.setattr(pickle, "loads", refused)
    monkeypatch.setattr(pickle, "load", refused)
    read_checkpoint(tmp_path)
