"""What trials write: T6.4, T6.5, T4.8."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rltune.tune.append_file import AppendFile
from rltune.tune.event_file import _summaries
from rltune.tune.logger import (
    DEFAULT_LOGGERS,
    CSVLogger,
    JsonLogger,
    Logger,
    NoopLogger,
    TFLogger,
    UnifiedLogger,
    pretty_print,
)


def result(iteration: int, **more: Any) -> dict[str, Any]:
    return {"training_iteration": iteration, "config": {"lr": 0.1}, **more}


def strict_lines(path: Path) -> list[Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def rows(directory: Path) -> list[dict[str, str]]:
    with open(directory / "progress.csv", newline="") as file:
        return list(csv.DictReader(file))


def write(cls: type[Logger], directory: Path, *results: dict[str, Any]) -> None:
    logger = cls({"lr": 0.1}, str(directory))
    for one in results:
        logger.on_result(one)
    logger.close()


def test_t6_4_the_default_files(tmp_path: Path) -> None:
    logger = UnifiedLogger({"lr": 0.1}, str(tmp_path))
    for i in range(3):
        logger.on_result(result(i + 1, mean_loss=0.5))
    logger.close()
    names = {path.name.split("tfevents")[0] for path in tmp_path.iterdir()}
    assert names == {
        "params.json",
        "params.pkl",
        "progress.csv",
        "result.json",
        "events.out.",
    }
    assert len(strict_lines(tmp_path / "result.json")) == len(rows(tmp_path)) == 3
    assert isinstance(DEFAULT_LOGGERS, tuple)


def test_t6_4_every_line_is_strict_json(tmp_path: Path) -> None:
    odd = {
        "nan": float("nan"),
        "inf": [np.float32("inf"), -np.inf],
        "np": np.int64(3),
        "half": np.float16(0.5),
        "yes": np.bool_(True),
        "array": np.arange(4).reshape(2, 2),
        "tuple": (1, {2}),
        3: "key",
        "object": Path("x"),
    }
    write(JsonLogger, tmp_path, result(1, odd=odd))
    [line] = strict_lines(tmp_path / "result.json")
    assert line["odd"] == {
        "nan": None,
        "inf": [None, None],
        "np": 3,
        "half": 0.5,
        "yes": True,
        "array": [[0, 1], [2, 3]],
        "tuple": [1, [2]],
        "3": "key",
        "object": "x",
    }


def test_t6_4_the_config_is_written_once(tmp_path: Path) -> None:
    config = {"b": np.float32(2), "a": {"f": len}, "big": list(range(1000))}
    logger = JsonLogger(config, str(tmp_path))
    logger.on_result({"training_iteration": 1, "config": config})
    assert (tmp_path / "result.json").stat().st_size < 100
    params = json.loads((tmp_path / "params.json").read_text())
    assert list(params) == ["a", "b", "big"]
    assert params["b"] == 2.0 and "len" in params["a"]["f"]
    assert pickle.loads((tmp_path / "params.pkl").read_bytes())["a"]["f"] is len
    logger.update_config({"lr": 7})
    assert json.loads((tmp_path / "params.json").read_text()) == {"lr": 7}
    assert pickle.loads((tmp_path / "params.pkl").read_bytes()) == {"lr": 7}


def test_a_config_that_cannot_be_pickled_costs_only_the_pickle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    JsonLogger({"generator": (i for i in range(3))}, str(tmp_path)).on_result(result(1))
    assert "params.pkl is not written" in caplog.text
    assert not (tmp_path / "params.pkl").exists()
    assert strict_lines(tmp_path / "result.json") == [{"training_iteration": 1}]


def test_t6_4_csv_flattens_and_leaves_the_config_out(tmp_path: Path) -> None:
    write(CSVLogger, tmp_path, result(1, a={"b": {"c": 1.5}}, t="x,y\nz"))
    assert rows(tmp_path) == [{"training_iteration": "1", "a/b/c": "1.5", "t": "x,y\nz"}]


def test_t6_4_later_keys_reach_the_csv(tmp_path: Path) -> None:
    write(CSVLogger, tmp_path, result(1, t="a\nb"), result(2, new=5), result(3, info={"x": 6}))
    found = rows(tmp_path)
    assert list(found[0]) == ["training_iteration", "t", "new", "info/x"]
    assert [row["new"] for row in found] == ["", "5", ""]
    assert [row["info/x"] for row in found] == ["", "", "6"]
    assert [row["t"] for row in found] == ["a\nb", "", ""]


def test_t4_8_logs_are_continued_without_a_second_header(tmp_path: Path) -> None:
    write(UnifiedLogger, tmp_path, result(1, a=1, b=2))
    write(UnifiedLogger, tmp_path, {"b": 4, **result(2, a=3)}, result(3, b=6, c=7))
    found = rows(tmp_path)
    assert [(row["a"], row["b"], row["c"]) for row in found] == [
        ("1", "2", ""),
        ("3", "4", ""),
        ("", "6", "7"),
    ]
    assert [line["training_iteration"] for line in strict_lines(tmp_path / "result.json")] == [
        1,
        2,
        3,
    ]
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2


def test_t4_8_part_of_a_line_is_cut_off(tmp_path: Path) -> None:
    write(JsonLogger, tmp_path, result(1))
    with open(tmp_path / "result.json", "a") as file:
        file.write('{"training_iteration": 2, "me')
    write(JsonLogger, tmp_path, result(2))
    assert strict_lines(tmp_path / "result.json") == [
        {"training_iteration": 1},
        {"training_iteration": 2},
    ]


def test_a_line_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    class Half:
        """A file on a disk that is full after half of a line."""

        def __init__(self, file: Any):
            self.file = file

        def write(self, data: bytes) -> int:
            return int(self.file.write(data[: len(data) // 2]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    file = AppendFile(tmp_path / "lines")
    file.append(b"one\n")
    whole, file._file = file._file, Half(file._file)  # type: ignore[assignment]
    with pytest.raises(OSError, match="only 2 of 4 bytes"):
        file.append(b"two\n")
    file._file = whole
    file.append(b"three\n")
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"one\nthree\n"


def test_a_long_line_without_an_end_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"one\n" + b"x" * 200_000)
    AppendFile(path).close()
    assert path.read_bytes() == b"one\n"
    path.write_bytes(b"x" * 200_000)
    AppendFile(path).close()
    assert path.read_bytes() == b""


class Recorder(Logger):
    """Keeps its calls."""

    calls: list[tuple[str, Any]] = []

    def _init(self) -> None:
        type(self).calls = [("init", self.config)]

    def on_result(self, result: dict[str, Any]) -> None:
        self.calls.append(("result", result))

    def update_config(self, config: dict[str, Any]) -> None:
        self.calls.append(("config", config))

    def flush(self) -> None:
        self.calls.append(("flush", None))

    def close(self) -> None:
        self.calls.append(("close", None))


class Broken(Logger):
    """Fails whenever it is called."""

    def on_result(self, result: dict[str, Any]) -> None:
        raise RuntimeError("no room")

    def close(self) -> None:
        raise RuntimeError("no room")


class Unbuildable(Logger):
    """Cannot be constructed."""

    def _init(self) -> None:
        raise ImportError("no such library")


def test_t6_5_custom_loggers_get_every_call(tmp_path: Path) -> None:
    logger = UnifiedLogger({"a": 1}, str(tmp_path), [Recorder])
    logger.on_result(result(1))
    logger.update_config({"a": 2})
    logger.flush()
    logger.close()
    assert Recorder.calls == [
        ("init", {"a": 1}),
        ("result", result(1)),
        ("config", {"a": 2}),
        ("flush", None),
        ("close", None),
    ]
    assert not list(tmp_path.iterdir())


def test_t1_2_no_loggers_at_all(tmp_path: Path) -> None:
    write_nothing = UnifiedLogger({}, str(tmp_path), [])
    write_nothing.on_result(result(1))
    write_nothing.close()
    NoopLogger({}, str(tmp_path)).on_result(result(1))
    assert not list(tmp_path.iterdir())


def test_t6_4_a_logger_that_fails_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = UnifiedLogger({}, str(tmp_path), [Unbuildable, Broken, Recorder])
    for i in range(3):
        logger.on_result(result(i))
    logger.close()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [w.getMessage().split()[0] for w in warnings] == ["Unbuildable", "Broken.on_result"]
    assert "no room" in caplog.text
    assert [name for name, _ in Recorder.calls] == ["init", "result", "result", "result", "close"]


def test_on_result_must_be_written(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError):
        Logger({}, str(tmp_path)).on_result({})


def test_a_missing_tensorboardx_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C10: the run goes on, only its hyperparameters are not shown."""

    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    _summaries.cache_clear()
    logger = UnifiedLogger({"lr": 0.1}, str(tmp_path), [TFLogger, JsonLogger])
    logger.on_result(result(1))
    logger.close()
    assert "TFLogger" in caplog.text and "tensorboardX" in caplog.text
    assert strict_lines(tmp_path / "result.json")
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_t5_6_pretty_print() -> None:
    text = pretty_print(result(1, b=np.float32(0.5), a=None, c={"d": [1]}, n=float("nan")))
    assert text == "b: 0.5\nc:\n  d:\n  - 1\nn: .nan\ntraining_iteration: 1\n"
    assert "config" not in yaml.safe_load(text)
