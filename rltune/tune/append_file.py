"""A file that grows by whole records and survives what interrupts a write."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class AppendFile:
    """Appends records to `path`, each with one write: a killed process leaves no part of one.

    In an existing file records are lines; part of one at its end (left by a power cut) is cut off.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._file = open(path, "a+b", buffering=0)
        self._size = self._end_of_last_line()
        os.ftruncate(self._file.fileno(), self._size)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def append(self, record: bytes) -> None:
        """Writes all of `record`; where it does not fit, OSError and no part of it is left."""
        written = self._file.write(record)
        if written != len(record):
            os.ftruncate(self._file.fileno(), self._size)
            raise OSError(
                errno.ENOSPC,
                f"{self._path}: only {written} of {len(record)} bytes could be written.",
            )
        self._size += written

    def close(self) -> None:
        self._file.close()

    def _end_of_last_line(self) -> int:
        end = self._file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            self._file.seek(start)
            newline = self._file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0
