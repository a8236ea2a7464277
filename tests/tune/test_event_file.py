"""TensorBoard event files: T6.4, C10."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltune.tune.event_file import EventFile
from rltune.tune.logger import TFLogger

ROOT = Path(__file__).resolve().parents[2]


def read_events(path: Path) -> list[Any]:
    """The events of a file, its checksums verified, as tensorboardX reads them."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        for start, part in ((8, data[:8]), (12 + length, body)):
            (checksum,) = struct.unpack("<I", data[start : start + 4])
            assert checksum == masked_crc32c(part)
        events.append(Event.FromString(body))
        data = data[16 + length :]
    return events


def only_file(directory: Path) -> Path:
    [path] = directory.glob("events.out.tfevents.*")
    return path


def scalars(event: Any) -> dict[str, float]:
    return {value.tag: value.simple_value for value in event.summary.value}


def test_an_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    file = EventFile(str(tmp_path))
    file.write({"a": 1.5, "b": -2}, step=7)
    version, event = read_events(only_file(tmp_path))
    assert version.file_version == "brain.Event:2"
    assert event.step == 7 and scalars(event) == {"a": 1.5, "b": -2.0}
    assert event.wall_time > 1e9
    file.close()


def test_numbers_of_every_kind_are_read_back(tmp_path: Path) -> None:
    wanted = {
        "zero": 0.0,
        "huge": 1e300,
        "small": -1e-300,
        "nan": np.nan,
        "é" * 200: 2.0,
        "true": True,
    }
    file = EventFile(str(tmp_path))
    file.write(wanted, step=2**40)
    _, event = read_events(only_file(tmp_path))
    assert event.step == 2**40
    expected = {**wanted, "huge": np.inf, "small": -0.0}
    np.testing.assert_array_equal(list(scalars(event).values()), list(expected.values()))
    assert list(scalars(event)) == list(wanted)


def test_t6_4_tags_and_steps(tmp_path: Path) -> None:
    logger = TFLogger({"lr": 0.5}, str(tmp_path))
    base = {"pid": 1, "timestamp": 2, "time_total_s": 3.0, "config": {"lr": 0.5}}
    logger.on_result({**base, "training_iteration": 1, "mean_loss": 4.0, "a": {"b": np.int64(1)}})
    more = {"done": True, "text": "x", "none": None, "list": [1], "loss": np.float32(0.25)}
    logger.on_result({**base, "training_iteration": 2, "timesteps_total": 100, **more})
    _, first, second = read_events(only_file(tmp_path))
    assert first.step == 1 and second.step == 100
    assert scalars(first) == {
        "ray/tune/training_iteration": 1.0,
        "ray/tune/mean_loss": 4.0,
        "ray/tune/a/b": 1.0,
    }
    assert scalars(second) == {
        "ray/tune/training_iteration": 2.0,
        "ray/tune/timesteps_total": 100.0,
        "ray/tune/loss": 0.25,
    }


def test_t6_4_hparams_at_the_end(tmp_path: Path) -> None:
    logger = TFLogger({"lr": 0.5, "net": {"act": "relu", "sizes": [1]}, "on": True}, str(tmp_path))
    logger.on_result({"training_iteration": 1, "mean_loss": 4.0})
    logger.close()
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    found = {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in read_events(only_file(tmp_path))
        for value in event.summary.value
        if value.tag.startswith("_hparams_")
    }
    start = found["_hparams_/session_start_info"].session_start_info.hparams
    assert start["lr"].number_value == 0.5 and start["on"].bool_value
    assert start["net/act"].string_value == "relu"
    metrics = found["_hparams_/experiment"].experiment.metric_infos
    assert {m.name.tag for m in metrics} == {"ray/tune/training_iteration", "ray/tune/mean_loss"}


def test_two_files_of_one_second_do_not_share_a_name(tmp_path: Path) -> None:
    for _ in range(3):
        EventFile(str(tmp_path)).close()
    assert len(list(tmp_path.iterdir())) == 3


PROBE = """
import sys
from rltune.tune.logger import UnifiedLogger
logger = UnifiedLogger({"lr": 0.1}, sys.argv[1])
logger.on_result({"training_iteration": 1})
assert "tensorboardX" not in sys.modules  # it would be the slowest import before the first result
logger.close()
assert "tensorboardX" in sys.modules
assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "ray")]
assert not [f for f in sys.meta_path if type(f).__name__ == "_NoTorch"]
"""
AFTERWARDS = """
import torch
import tensorboardX
tensorboardX.SummaryWriter(sys.argv[1]).add_scalar("x", torch.tensor(1.0), 1)
"""


@pytest.mark.parametrize("then", ["", AFTERWARDS], ids=["alone", "then_torch"])
def test_torch_is_not_loaded(tmp_path: Path, then: str) -> None:
    """A fresh process logs with all default loggers and has no torch; it can have it later."""
    if then:
        pytest.importorskip("torch")
    code = PROBE + then
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "result.json").exists()
    assert list(tmp_path.glob("events.out.tfevents.*"))
