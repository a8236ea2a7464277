"""What a run prints: its status and its results, as texts."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rltune import result as keys
from rltune.tune.logger import pretty_print

NUMBER = int | float | np.integer | np.floating
MAX_TRIALS = 20
LOW_MEMORY = 0.9

# What a trial line shows of the last result after the time: key, unit, format.
SHOWN = (
    (keys.TRAINING_ITERATION, "iter", "d"),
    (keys.TIMESTEPS_TOTAL, "ts", "d"),
    (keys.EPISODE_REWARD_MEAN, "rew", ".3g"),
    (keys.MEAN_LOSS, "loss", ".3g"),
    (keys.MEAN_ACCURACY, "acc", ".3g"),
)


def status_block(
    trials: Sequence[Any],
    *,
    scheduler_text: str,
    resource_text: str,
    progress_text: str = "",
    max_trials: int | None = MAX_TRIALS,
) -> str:
    """The `== Status ==` block: at most `max_trials` trial lines, None for all of them."""
    states: dict[str, list[Any]] = {}
    for trial in trials:
        states.setdefault(trial.status, []).append(trial)
    counts = {state: len(states[state]) for state in sorted(states)}
    lines = ["== Status ==", scheduler_text, resource_text, memory_text()]
    lines += [f"Result logdir: {path}" for path in sorted({t.local_dir for t in trials})]
    if trials:
        lines.append(f"Number of trials: {len(trials)} ({counts})")
    if progress_text:
        lines.append(progress_text)
    shown = _shares(counts, len(trials) if max_trials is None else max_trials)
    for state in counts:
        lines.append(f"{state} trials:")
        lines += _trial_lines(states[state], shown[state])
    return "\n".join(lines) + "\n"


def trial_progress_string(trial: Any) -> str:
    """A trial's line without its name: `RUNNING, [1 CPUs, 0 GPUs], [pid=7], 3 s, 2 iter`."""
    status = trial.status
    if trial.error_file:
        status += f", {trial.num_failures} failures: {trial.error_file}"
    result = trial.last_result
    if not result:
        return str(status)
    pieces = [status, f"[{trial.resources.summary_string()}]", f"[{_location(result)}]"]
    pieces.append(f"{int(result.get(keys.TIME_TOTAL_S) or 0)} s")
    for key, unit, style in SHOWN:
        if isinstance(value := result.get(key), NUMBER):
            pieces.append(f"{format(int(value) if style == 'd' else value, style)} {unit}")
    return ", ".join(pieces)


def result_block(trial: Any, result: Mapping[str, Any]) -> str:
    """`Result for <trial>:` and the result as indented YAML."""
    return f"Result for {trial}:\n" + re.sub("^", "  ", pretty_print(result).strip(), flags=re.M)


def memory_text() -> str:
    """How full the memory of this machine is, with a warning above 90 %."""
    try:
        import psutil
    except ImportError:
        return "Memory usage on this node: unknown (pip install psutil to see it)"
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    low = ": ***LOW MEMORY*** runs may be killed" if used > LOW_MEMORY * memory.total else ""
    return f"Memory usage on this node: {used / 1e9:.1f}/{memory.total / 1e9:.1f} GB{low}"


def _shares(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """How many trials each state shows: one after the other gets one more until `total` is used."""
    shares = Counter(dict.fromkeys(counts, 0))
    while total > 0 and any(shares[state] < count for state, count in counts.items()):
        for state, count in counts.items():
            if shares[state] < count and total > 0:
                shares[state] += 1
                total -= 1
    return dict(shares)


def _trial_lines(trials: Sequence[Any], shown: int) -> list[str]:
    ordered = sorted(trials, key=lambda trial: _natural(trial.experiment_tag))
    head, tail = ordered[: shown - shown // 2], ordered[len(ordered) - shown // 2 :]
    lines = [f" - {trial}:\t{trial_progress_string(trial)}" for trial in [*head, *tail]]
    if len(ordered) > shown:
        lines.insert(len(head), f"  ... {len(ordered) - shown} not shown")
    return lines


def _natural(tag: str) -> list[tuple[int, str]]:
    """A sort key that puts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", tag)]


def _location(result: Mapping[str, Any]) -> str:
    host = result.get(keys.HOSTNAME)
    here = host is None or host == socket.gethostname()
    return f"pid={result.get(keys.PID)}" if here else f"{host} pid={result.get(keys.PID)}"
