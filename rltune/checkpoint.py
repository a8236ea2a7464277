"""Checkpoints: a directory of JSON and safetensors files with a manifest. Nothing in them is or needs a pickle.

A checkpoint exists once its `manifest.json` does: it is written last, by fsync and rename, and lists every other file
with its sha256.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from rltune.version import __version__

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_TENSOR = "__tensor__"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read; says which file and why."""


_lasting: ContextVar[bool] = ContextVar("lasting", default=True)


@contextmanager
def in_passing() -> Iterator[None]:
    """What `write_atomically` writes within need not outlast a power cut, so nothing waits for the disk."""
    before = _lasting.set(False)
    try:
        yield
    finally:
        _lasting.reset(before)


def write_atomically(path: Path, data: bytes) -> None:
    """`data` at `path`, whole or not at all: on disk when this returns, unless `in_passing`."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if _lasting.get():
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        if _lasting.get():
            _sync_directory(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_directory(directory: Path) -> None:
    """The names in it reach the disk too; where a directory cannot be opened (Windows), that is left to the system."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def split_tree(tree: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A nested state as (what JSON holds, named arrays): every numpy array becomes a reference to its name.

    Raises TypeError naming what a checkpoint cannot hold.
    """
    arrays: dict[str, np.ndarray] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, np.ndarray):
            if node.dtype.kind not in "biuf":
                raise TypeError(
                    f"state {path} is an array of {node.dtype}, which a checkpoint cannot hold"
                )
            while path in arrays:  # a/b may be one key, or b within a
                path += "+"
            arrays[path] = np.ascontiguousarray(node)
            return {_TENSOR: path, "shape": list(node.shape)}
        if isinstance(node, np.generic):
            return node.item()
        if isinstance(node, dict):
            return {str(key): walk(value, f"{path}/{key}") for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [walk(value, f"{path}/{i}") for i, value in enumerate(node)]
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"state {path} is a {type(node).__name__}, which a checkpoint cannot hold")

    return walk(tree, ""), arrays


def join_tree(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `split_tree` (tuples come back as lists, keys as text)."""
    if isinstance(tree, dict):
        if _TENSOR in tree:
            return arrays[tree[_TENSOR]].reshape(tree["shape"])
        return {key: join_tree(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [join_tree(value, arrays) for value in tree]
    return tree


def library_versions() -> dict[str, str]:
    """Versions of what a checkpoint's numbers depend on."""
    versions = {"python": platform.python_version(), "rltune": __version__}
    for name in ("numpy", "gymnasium", "torch", "tensorflow", "jax", "ray"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def write_checkpoint(
    directory: str | Path, manifest: dict[str, Any], trees: dict[str, Any]
) -> None:
    """Writes each nested state of `trees` as NAME.json + NAME.safetensors, then the manifest. What was a checkpoint
    there is none until then."""
    from safetensors.numpy import save

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).unlink(missing_ok=True)
    digests = {}
    for name, tree in trees.items():
        plain, arrays = split_tree(tree)
        for file, data in {
            f"{name}.json": json.dumps(plain).encode(),
            f"{name}.safetensors": save(arrays),
        }.items():
            write_atomically(directory / file, data)
            digests[file] = hashlib.sha256(data).hexdigest()
    whole = {
        "format_version": FORMAT_VERSION,
        "versions": library_versions(),
        **manifest,
        "files": digests,
    }
    write_atomically(directory / MANIFEST, json.dumps(whole, indent=2).encode())


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest of a checkpoint directory. Raises CheckpointError."""
    path = Path(directory) / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"no checkpoint at {directory}: it has no {MANIFEST}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise CheckpointError(f"{path} is no manifest")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {manifest.get('format_version')!r}; this rltune reads version {FORMAT_VERSION}"
        )
    return manifest


def read_checkpoint(directory: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the nested states. Raises CheckpointError when a file is missing or altered."""
    from safetensors.numpy import load

    manifest = read_manifest(directory)
    contents = {}
    for file, digest in manifest["files"].items():
        try:
            contents[file] = (Path(directory) / file).read_bytes()
        except FileNotFoundError:
            raise CheckpointError(f"checkpoint {directory} lacks {file}") from None
        if hashlib.sha256(contents[file]).hexdigest() != digest:
            raise CheckpointError(
                f"{Path(directory) / file} is damaged: its sha256 differs from the manifest's"
            )
    names = [file.removesuffix(".json") for file in contents if file.endswith(".json")]
    return manifest, {
        name: join_tree(json.loads(contents[f"{name}.json"]), load(contents[f"{name}.safetensors"]))
        for name in names
    }


def remove_checkpoint(directory: str | Path) -> None:
    """Removes a checkpoint, manifest first, so that an interrupted removal leaves no checkpoint that looks whole."""
    (Path(directory) / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(directory, ignore_errors=sys.platform == "win32")
