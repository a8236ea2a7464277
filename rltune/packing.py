"""A directory as bytes and back: a checkpoint that lives in memory.

A zip archive without compression, no pickle.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def pack(directory: str, entry: str) -> bytes:
    """Every file and directory under `directory`, and `entry`, a name relative to it that
    `unpack` gives back.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for path in sorted(Path(directory).rglob("*")):
            archive.write(path, path.relative_to(directory))
        archive.comment = entry.encode()
    return buffer.getvalue()


def unpack(packed: bytes, directory: str) -> str:
    """Puts the files of `pack` under `directory`; returns its `entry`."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(directory)
        return archive.comment.decode()
