"""Loggers beside the run: order, errors, hanging, and the end (T6.4, T6.5)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltune import tune
from rltune.tune import log_writer
from rltune.tune.log_writer import LogWriter
from rltune.tune.logger import DEFAULT_LOGGERS, JsonLogger, Logger, UnifiedLogger
from tests.tune.trainables import Counter

run = partial(tune.run, trial_executor="local", verbose=0)


class Hanging(Logger):
    """Its second result never returns, until the test is over."""

    over = threading.Event()
    calls: list[int] = []

    def on_result(self, result: dict[str, Any]) -> None:
        self.calls.append(result["count"])
        if result["count"] == 2:
            self.over.wait()


class HangingFromBirth(Logger):
    def _init(self) -> None:
        Hanging.over.wait()

    def on_result(self, result: dict[str, Any]) -> None:
        raise AssertionError("called although it was never constructed")


class Leaving(Logger):
    def on_result(self, result: dict[str, Any]) -> None:
        raise SystemExit("a logger must not end the run")


class Slow(Logger):
    def on_result(self, result: dict[str, Any]) -> None:
        time.sleep(0.02)
        with open(os.path.join(self.logdir, "slow"), "a") as file:
            file.write(f"{result['count']}\n")


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("rltune.tune.trial_runner.LogWriter", partial(LogWriter, hang_s=0.2))
    Hanging.over.clear()
    Hanging.calls.clear()
    yield
    Hanging.over.set()


def counts(trial: Any, name: str = "result.json") -> list[int]:
    return [json.loads(line)["count"] for line in Path(trial.logdir, name).open()]


@pytest.mark.parametrize("cls", [Hanging, HangingFromBirth])
def test_t6_5_a_logger_that_hangs_costs_a_warning(
    cls: type[Logger], short_patience: None, caplog: pytest.LogCaptureFixture
) -> None:
    loggers = (cls, *DEFAULT_LOGGERS)
    trials = run(Counter, num_samples=3, stop={"count": 4}, loggers=loggers)
    for trial in trials:
        assert trial.status == "TERMINATED" and counts(trial) == [1, 2, 3, 4]
    assert caplog.text.count(f"{cls.__name__} has hung") == 1
    assert cls is HangingFromBirth or Hanging.calls == [1, 2]


def test_t6_5_a_logger_that_exits_costs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    [trial] = run(Counter, stop={"count": 2}, loggers=(Leaving, JsonLogger))
    assert trial.status == "TERMINATED" and counts(trial) == [1, 2]
    assert caplog.text.count("Leaving.on_result failed") == 1


def test_t6_5_a_slow_logger_gets_everything_in_order() -> None:
    trials = run(Counter, num_samples=2, stop={"count": 10}, loggers=(Slow, JsonLogger))
    for trial in trials:
        assert trial.logdir is not None
        lines = Path(trial.logdir, "slow").read_text().split()
        assert lines == [str(i) for i in range(1, 11)]
        assert counts(trial) == list(range(1, 11))


def test_t6_5_what_was_reported_is_what_is_written() -> None:
    class Changes(tune.Trainable):
        def _setup(self, config: dict[str, Any]) -> None:
            self.seen: list[int] = []

        def _train(self) -> dict[str, Any]:
            self.seen.append(len(self.seen))
            return {"count": len(self.seen), "info": {"seen": self.seen}}

    [trial] = run(Changes, stop={"count": 5}, loggers=(Slow, JsonLogger))
    assert trial.logdir is not None
    lines = [json.loads(line) for line in Path(trial.logdir, "result.json").open()]
    assert [line["info"]["seen"] for line in lines] == [list(range(n)) for n in range(1, 6)]


def test_an_interrupt_leaves_everything_written(results_dir: Path) -> None:
    def interrupts(config: dict[str, Any], reporter: Any) -> None:
        for count in range(1, 20):
            if count == 10:
                os.kill(os.getpid(), signal.SIGINT)
            reporter(count=count)

    with pytest.raises(KeyboardInterrupt):
        run(interrupts, name="x", loggers=(Slow, JsonLogger))
    [path] = (results_dir / "x").glob("*/result.json")
    assert [json.loads(line)["count"] for line in path.open()] == list(range(1, 11))


def test_the_end_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    writer, held = LogWriter(), threading.Semaphore(0)
    writer.submit([(Slow, held.acquire)])
    writer.close(timeout=0.05)
    assert "not done after 0.05 s" in caplog.text
    held.release()


def test_a_full_writer_makes_the_run_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "POLL_S", 0.001)
    writer = LogWriter(capacity=2)
    made: list[int] = []
    for i in range(20):
        writer.submit([(Slow, partial(made.append, i)), (Slow, partial(time.sleep, 0.002))])
        assert i - len(made) <= 4
    assert writer.drain(10) and made == list(range(20))
    writer.close()


def test_t6_5_the_writer_makes_the_calls(tmp_path: Path) -> None:
    writer = LogWriter()
    logger = UnifiedLogger({}, str(tmp_path), [NamesItsThread], writer=writer)
    logger.on_result({})
    writer.close()
    assert (tmp_path / "threads").read_text() == "log-writer log-writer "


class NamesItsThread(Logger):
    def _init(self) -> None:
        self.on_result({})

    def on_result(self, result: dict[str, Any]) -> None:
        with open(os.path.join(self.logdir, "threads"), "a") as file:
            file.write(f"{threading.current_thread().name} ")


class Hurry(threading.Event):
    """Tells when the writer waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.awaited.set()
        return super().wait(timeout)


@pytest.mark.parametrize("end", [LogWriter.drain, LogWriter.close])
def test_t6_5_what_comes_soon_is_taken_together(
    end: Callable[[LogWriter, float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call is made at once, later ones when the gathering is over or an end hurries it."""
    monkeypatch.setattr(log_writer, "GATHER_S", 60.0)
    writer, first, more = LogWriter(), threading.Event(), threading.Event()
    writer._hurried = hurry = Hurry()
    writer.submit([(Logger, first.set)])
    assert first.wait(10) and hurry.awaited.wait(10)
    writer.submit([(Logger, more.set)])
    assert not more.wait(0.1)
    began = time.monotonic()
    end(writer, 30.0)
    assert more.is_set() and time.monotonic() - began < 30
    assert not hurry.is_set()  # what comes after the end of a trial is gathered again
