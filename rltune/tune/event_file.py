"""TensorBoard event files: TFRecords of Event messages, one write per event.

Scalars are put into the form of the messages (event.proto, summary.proto) here: tensorboardX, which
knows them all, takes longer to import than a small task needs for its first result. Only the HParams
page, at the end, is its work.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from threading import get_ident
from typing import Any

import google_crc32c
import numpy as np

from rltune.tune.append_file import AppendFile

_numbers = itertools.count()


class EventFile:
    """A new event file in `directory`; every event is in the file once `write` returns."""

    def __init__(self, directory: str):
        # Two files of one directory may begin in the same second: a trial that is started again.
        unique = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._file = AppendFile(os.path.join(directory, f"events.out.tfevents.{unique}"))
        self._tags: dict[str, bytes] = {}
        self._append(_FILE_VERSION, b"brain.Event:2")

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """All values of one step as a single event."""
        numbers = memoryview(_floats(scalars.values()))
        values = [self._head(tag) + numbers[4 * i : 4 * i + 4] for i, tag in enumerate(scalars)]
        self._append(_SUMMARY, b"".join(values), step)

    def _head(self, tag: str) -> bytes:
        """A value of a summary up to its number, which takes four bytes."""
        head = self._tags.get(tag)
        if head is None:
            value = _field(_TAG, tag.encode()) + _SIMPLE_VALUE
            head = self._tags[tag] = _VALUE + _varint(len(value) + 4) + value
        return head

    def write_hparams(
        self, hparams: Mapping[str, bool | float | str], metrics: Sequence[str]
    ) -> None:
        """Settings and the tags of the scalars they led to, for TensorBoard's HParams page.

        Raises ImportError where tensorboardX is missing.
        """
        for summary in _summaries()(hparams, dict.fromkeys(metrics)):
            self._append(_SUMMARY, summary.SerializeToString())

    def close(self) -> None:
        self._file.close()

    def _append(self, key: bytes, content: bytes, step: int = 0) -> None:
        data = b"".join(
            (_WALL_TIME, struct.pack("<d", time.time()), _STEP, _varint(step), _field(key, content))
        )
        header = struct.pack("<Q", len(data))
        checksums = (struct.pack("<I", _checksum(part)) for part in (header, data))
        self._file.append(b"".join((header, next(checksums), data, next(checksums))))


def _checksum(data: bytes) -> int:
    """As TFRecord files hold it."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# Keys of the fields: their number and how they are written, as the protocol buffers' format has it.
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY = b"\x09", b"\x10", b"\x1a", b"\x2a"  # of an Event
_VALUE = b"\x0a"  # of a Summary
_TAG, _SIMPLE_VALUE = b"\x0a", b"\x15"  # of a Summary.Value


def _varint(number: int) -> bytes:
    """A whole number of 64 bits, seven of them a byte, the lowest first."""
    number &= 2**64 - 1
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _field(key: bytes, content: bytes) -> bytes:
    return key + _varint(len(content)) + content


def _floats(numbers: Iterable[float]) -> bytes:
    """Four bytes for each number; one beyond their range is infinite."""
    with np.errstate(over="ignore"):
        return np.array([float(number) for number in numbers]).astype("<f4").tobytes()


@cache
def _summaries() -> Callable[..., Iterable[Any]]:
    """tensorboardX's summaries of hyperparameters, imported with torch out of its sight."""
    finder = _NoTorch()
    sys.meta_path.insert(0, finder)
    try:
        from tensorboardX.summary import hparams
    finally:
        sys.meta_path.remove(finder)
    summaries: Callable[..., Iterable[Any]] = hparams
    return summaries


class _NoTorch(MetaPathFinder):
    """No torch for the thread that made this.

    It takes seconds; tensorboardX imports it for a type annotation and goes on where there is none. Other threads
    may import it meanwhile; a torch that is loaded already is found.
    """

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch" and get_ident() == self._thread:
            raise ModuleNotFoundError("torch is not needed here", name=name)
