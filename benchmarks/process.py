"""One whole training process, watched from outside: what it had reached, and when."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.005
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class BenchmarkError(RuntimeError):
    """A process that failed, or that did not end in its time."""


@dataclass(frozen=True)
class Point:
    """One result line, and the seconds from process start until it could be read."""

    seconds: float
    result: dict[str, Any]

    @property
    def steps(self) -> int:
        return int(self.result["timesteps_total"])

    @property
    def reward(self) -> float:
        """The mean over the last 100 episodes; NaN before the first has ended."""
        value = self.result.get("episode_reward_mean")
        return float("nan") if value is None else float(value)


@dataclass(frozen=True)
class Run:
    """A process from start to exit. `seconds` is its whole wall time."""

    points: list[Point]
    seconds: float

    def reached(self, reward: float) -> Point | None:
        """The first result whose `episode_reward_mean` is at least `reward`."""
        return next((point for point in self.points if point.reward >= reward), None)


def run(
    command: Callable[[Path], list[str]],
    cwd: Path,
    threads: int,
    cores: int | None = None,
    settings: Mapping[str, str] | None = None,
    timeout: float = 3600,
) -> Run:
    """Runs `command(folder)` and follows the result.json that it writes below `folder`.

    The process gets `threads` threads per library, only so many `cores` (None: all), and `settings`
    as further environment variables. Raises BenchmarkError if it fails, writes no result, or takes
    more than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="rltune-bench-") as name:
        folder, errors = Path(name) / "results", Path(name) / "output"
        folder.mkdir()
        with errors.open("w") as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                command(folder),
                cwd=cwd,
                env={**environment(threads), **(settings or {})},
                stdout=output,
                stderr=output,
            )
            if cores is not None:
                pin(process.pid, cores)
            try:
                points = _follow(process, folder, start, timeout)
            finally:
                process.kill()
                code = process.wait()
            seconds = time.perf_counter() - start
        if code or not points:
            raise BenchmarkError(f"exit code {code}:\n{errors.read_text()[-2000:]}")
    return Run(points, seconds)


def last_line(
    interpreter: Path | str,
    script: Path,
    task: Mapping[str, Any],
    environ: Mapping[str, str],
    cores: int | None = None,
    timeout: float = 1800,
) -> str:
    """What `script`, given `task` as JSON, prints last; confined to so many cores (None: all).

    It imports from the checkout that it lies in. Raises BenchmarkError if it fails.
    """
    with subprocess.Popen(
        [str(interpreter), str(script), json.dumps(task)],
        env={**environ, "PYTHONPATH": str(script.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        if cores is not None:
            pin(process.pid, cores)
        try:
            output, errors = process.communicate(timeout=timeout)
        finally:
            process.kill()
    if process.returncode:
        raise BenchmarkError(f"exit code {process.returncode}:\n{errors[-2000:]}")
    return output.splitlines()[-1]


def environment(threads: int) -> dict[str, str]:
    """The environment of a measured process: `threads` threads for every numerical library, and Python keeps what
    it compiles, as it does unless told otherwise: a checkout's modules would be compiled in every run."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def pin(pid: int, cores: int) -> None:
    """Confines a process to the first so many cores; does nothing where the system cannot."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, sorted(os.sched_getaffinity(0))[:cores])


def _follow(
    process: subprocess.Popen[bytes], folder: Path, start: float, timeout: float
) -> list[Point]:
    points: list[Point] = []
    position = 0
    path: Path | None = None
    while True:
        ended = process.poll() is not None
        path = path or next(folder.rglob("result.json"), None)
        if path is not None:
            lines, position = _new_lines(path, position)
            now = time.perf_counter() - start
            points += [Point(now, json.loads(line)) for line in lines]
        if ended:
            return points
        if time.perf_counter() - start > timeout:
            raise BenchmarkError(f"not finished after {timeout} s")
        time.sleep(POLL_SECONDS)


def _new_lines(path: Path, position: int) -> tuple[list[bytes], int]:
    """The complete lines after `position`, and the position after them."""
    with path.open("rb") as file:
        file.seek(position)
        text = file.read()
    complete = text[: text.rfind(b"\n") + 1]
    return complete.splitlines(), position + len(complete)
