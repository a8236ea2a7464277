"""TensorBoard event files: TFRecords of Event messages, one write per event.

The messages are tensorboardX's, without the torch that importing it would load (two seconds).
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from threading import get_ident
from types import SimpleNamespace
from typing import Any

from rltune.tune.append_file import AppendFile

_numbers = itertools.count()


class EventFile:
    """A new event file in `directory`; every event is in the file once `write` returns.

    Raises ImportError when tensorboardX is not installed.
    """

    def __init__(self, directory: str):
        self._formats = _formats()
        # Two files of one directory may begin in the same second: a trial that is started again.
        unique = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._file = AppendFile(os.path.join(directory, f"events.out.tfevents.{unique}"))
        self._append(file_version="brain.Event:2")

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """All values of one step as a single event."""
        value = self._formats.Summary.Value
        values = [value(tag=tag, simple_value=number) for tag, number in scalars.items()]
        self._append(step=step, summary=self._formats.Summary(value=values))

    def write_hparams(
        self, hparams: Mapping[str, bool | float | str], metrics: Sequence[str]
    ) -> None:
        """Settings and the tags of the scalars they led to, for TensorBoard's HParams page."""
        from tensorboardX.summary import hparams as hparam_summaries

        for summary in hparam_summaries(hparams, dict.fromkeys(metrics)):
            self._append(summary=summary)

    def close(self) -> None:
        self._file.close()

    def _append(self, **fields: Any) -> None:
        data = self._formats.Event(wall_time=time.time(), **fields).SerializeToString()
        checksum = self._formats.masked_crc32c
        header = struct.pack("<Q", len(data))
        parts = header, struct.pack("<I", checksum(header)), data, struct.pack("<I", checksum(data))
        self._file.append(b"".join(parts))


@cache
def _formats() -> SimpleNamespace:
    """What tensorboardX knows of the format, imported with torch out of its sight."""
    finder = _NoTorch()
    sys.meta_path.insert(0, finder)
    try:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.record_writer import masked_crc32c
    finally:
        sys.meta_path.remove(finder)
    return SimpleNamespace(Event=Event, Summary=Summary, masked_crc32c=masked_crc32c)


class _NoTorch(MetaPathFinder):
    """No torch for the thread that made this.

    tensorboardX imports it for a type annotation and goes on where there is none. Other threads
    may import it meanwhile; a torch that is loaded already is found.
    """

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torch" and get_ident() == self._thread:
            raise ModuleNotFoundError("torch is not needed here", name=name)
