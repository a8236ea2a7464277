"""The console: T5.3, T5.4, T5.5, T5.6."""

from __future__ import annotations

import re
import socket
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from rltune.resources import Resources
from rltune.tune.progress import (
    memory_text,
    result_block,
    status_block,
    trial_progress_string,
)

TRIAL_LINE = re.compile(
    r"^( - )?.+:\s+(PENDING|RUNNING|PAUSED|TERMINATED|ERROR)(, \d+ failures: \S+)?"
    r"((, \[[^\]]*CPUs[^\]]*\])?,? \[(\S+ )?pid=\d+\], \d+ s(, \d+ iter)?(, \d+ ts)?(, \S+ rew)?"
    r"(, \S+ loss)?(, \S+ acc)?)?$"
)
ALL = {
    "pid": 7,
    "hostname": socket.gethostname(),
    "time_total_s": 12.9,
    "training_iteration": 3,
    "timesteps_total": 400,
    "episode_reward_mean": np.float32(195.126),
    "mean_loss": 0.123456,
    "mean_accuracy": 0.5,
}


class FakeTrial(SimpleNamespace):
    """What the texts read of a trial."""

    def __str__(self) -> str:
        return f"f_{self.experiment_tag}"


def trial(tag: str = "0", status: str = "RUNNING", result: Any = None, **more: Any) -> FakeTrial:
    fields = {
        "experiment_tag": tag,
        "status": status,
        "last_result": result,
        "resources": Resources(1, 0, extra_cpu=2),
        "error_file": None,
        "num_failures": 0,
        "local_dir": "/results/exp",
    }
    return FakeTrial(**{**fields, **more})


def block(trials: list[FakeTrial], **more: Any) -> list[str]:
    text = status_block(trials, scheduler_text="FIFO.", resource_text="Resources used: 1/2", **more)
    return text.splitlines()


def shown(lines: list[str]) -> list[str]:
    return [line.split(":")[0].removeprefix(" - ") for line in lines if line.startswith(" - ")]


def test_t5_4_a_trial_without_a_result() -> None:
    assert trial_progress_string(trial(status="PENDING")) == "PENDING"


def test_t5_4_all_pieces() -> None:
    assert trial_progress_string(trial(result=ALL)) == (
        "RUNNING, [3 CPUs, 0 GPUs], [pid=7], 12 s, 3 iter, 400 ts, 195 rew, 0.123 loss, 0.5 acc"
    )


def test_t5_4_none_is_left_out() -> None:
    result = {**ALL, "timesteps_total": None, "mean_loss": None, "mean_accuracy": "high"}
    line = trial_progress_string(trial(result=result))
    assert line.endswith("12 s, 3 iter, 195 rew")


def test_t5_4_failures_and_other_hosts() -> None:
    failed = trial(
        status="ERROR", error_file="/x/error.txt", num_failures=2, result={**ALL, "hostname": "far"}
    )
    text = trial_progress_string(failed)
    assert text.startswith("ERROR, 2 failures: /x/error.txt, [3 CPUs, 0 GPUs], [far pid=7], 12 s")


@pytest.mark.parametrize(
    "one",
    [
        trial(),
        trial(result=ALL),
        trial(result=ALL, resources=Resources(1, 0.5, custom_resources={"hi": 2})),
        trial(result={**ALL, "hostname": "far", "mean_loss": float("nan")}),
        trial(status="ERROR", error_file="/e.txt", num_failures=1),
    ],
)
def test_t5_5_lines_match_the_pattern(one: FakeTrial) -> None:
    [line] = [line for line in block([one]) if line.startswith(" - ")]
    assert TRIAL_LINE.match(line)


def test_t5_3_order_of_lines() -> None:
    trials = [trial("1", "TERMINATED"), trial("2", "RUNNING"), trial("0", local_dir="/other")]
    assert block(trials) == [
        "== Status ==",
        "FIFO.",
        "Resources used: 1/2",
        memory_text(),
        "Result logdir: /other",
        "Result logdir: /results/exp",
        "Number of trials: 3 ({'RUNNING': 2, 'TERMINATED': 1})",
        "RUNNING trials:",
        " - f_0:\tRUNNING",
        " - f_2:\tRUNNING",
        "TERMINATED trials:",
        " - f_1:\tTERMINATED",
    ]


def test_t5_3_no_trials() -> None:
    assert len(block([])) == 4


def test_t5_3_tags_sort_naturally() -> None:
    tags = ["10_lr=1", "2_lr=10", "2_lr=9", "x"]
    assert shown(block([trial(tag) for tag in tags])) == [
        "f_2_lr=9",
        "f_2_lr=10",
        "f_10_lr=1",
        "f_x",
    ]


def test_t5_3_twenty_trials_shared_among_states() -> None:
    trials = [trial(str(i), "RUNNING" if i < 3 else "PENDING") for i in range(40)]
    lines = block(trials)
    names = shown(lines)
    assert len(names) == 20
    assert names[-3:] == ["f_0", "f_1", "f_2"]
    assert names[:17] == [f"f_{i}" for i in [*range(3, 12), *range(32, 40)]]
    assert lines.count("  ... 20 not shown") == 1
    assert len(shown(block(trials, max_trials=None))) == 40


@pytest.mark.parametrize("limit", range(8))
def test_t5_3_any_limit_is_kept(limit: int) -> None:
    trials = [trial(str(i), ["RUNNING", "PENDING"][i % 2]) for i in range(6)]
    lines = block(trials, max_trials=limit)
    hidden = [int(n) for line in lines for n in re.findall(r"\.\.\. (\d+) not shown", line)]
    assert len(shown(lines)) == min(limit, 6)
    assert sum(hidden) == 6 - min(limit, 6)


def test_t5_3_low_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(total=16e9, available=1e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert memory_text().startswith("Memory usage on this node: 15.0/16.0 GB: ***LOW MEMORY***")
    memory.available = 8e9
    assert memory_text() == "Memory usage on this node: 8.0/16.0 GB"


def test_t5_6_result_block() -> None:
    text = result_block(trial(), {"b": {"c": 1}, "a": 2, "config": {"x": 1}, "none": None})
    assert text == "Result for f_0:\n  a: 2\n  b:\n    c: 1"
