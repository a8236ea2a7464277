"""A directory for files that are read and removed again at once."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


class Scratch:
    """A directory with one directory, `INNER`, in it; made with the first use and kept until `close`, or
    until this object is no more. Some file systems take milliseconds to remove a directory.

    It is where the system keeps temporary files: a trial's own directory may be on a network disk.
    """

    INNER = "checkpoint"

    def __init__(self) -> None:
        self._directory: str | None = None
        self._remove: weakref.finalize[[str, bool], Scratch] | None = None

    @contextmanager
    def use(self) -> Iterator[str]:
        """The directory; what was put there is gone after the block. Uses do not overlap."""
        if self._directory is None:
            self._directory = tempfile.mkdtemp(prefix="rltune-")
            self._remove = weakref.finalize(self, shutil.rmtree, self._directory, True)
        inner = os.path.join(self._directory, self.INNER)
        os.makedirs(inner, exist_ok=True)  # cleaners of old temporary files may have been there
        try:
            yield self._directory
        finally:
            _empty(inner)
            _empty(self._directory, inner)

    def close(self) -> None:
        """Removes the directory. It can be used again."""
        if self._remove is not None:
            self._remove()
        self._directory = self._remove = None


def _empty(directory: str, kept: str | None = None) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.path == kept:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
