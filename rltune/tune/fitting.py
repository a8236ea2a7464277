"""Whether a trial can ever fit into a cluster, and who holds what it waits for, as texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rltune.tune.trial import Trial

Amounts = Mapping[str, float]

# How many trials a text names.
SHOWN = 5

# What to lower in `resources_per_trial`, by Ray's names; others are custom resources.
_KEYS = {"CPU": ("cpu", "extra_cpu"), "GPU": ("gpu", "extra_gpu")}


def why_never(
    needed: Amounts,
    processes: Sequence[Amounts],
    nodes: Sequence[Amounts],
    may_grow: bool,
) -> str | None:
    """Why a trial cannot start however long it waits; None if it can.

    Args:
        needed: all that the trial needs.
        processes: what each of its processes needs, which has to be on one node.
        nodes: what each node has.
        may_grow: wait for more of what there is some of.
    """
    total = sums(nodes)
    lacking = {
        name: amount
        for name, amount in needed.items()
        if amount > total.get(name, 0) and not (may_grow and total.get(name, 0) > 0)
    }
    if lacking:
        texts = [f"{n:g} {name} of {total.get(name, 0):g}" for name, n in lacking.items()]
        return f"{', '.join(texts)} in the cluster. {_advice(lacking)}"
    for process in [] if may_grow else processes:
        if not any(_covers(node, process) for node in nodes):
            return f"no single node has {_text(process)} for one process. {_advice(process)}"
    return None


def busy_text(
    waiting: Sequence[Trial], running: Sequence[Trial], total: Amounts, free: Amounts
) -> str:
    """What trials wait for, and who holds it.

    Args:
        waiting: trials that have no place yet, started or not.
        running: trials that have theirs.
        total, free: what the cluster has, and what of it nobody uses.
    """
    names = dict.fromkeys(name for trial in waiting for name in trial.resources.totals())
    held = sums([trial.resources.totals() for trial in running])
    parts = []
    for name in names:
        holders = [
            f"{trial} ({trial.resources.totals()[name]:g})"
            for trial in running
            if name in trial.resources.totals()
        ]
        others = total.get(name, 0) - free.get(name, 0) - held.get(name, 0)
        foreign = [f"others than this run ({others:g})"] if others > 1e-6 else []
        by = f", held by {_few(holders, foreign)}" if holders or foreign else ""
        parts.append(f"{name}: {free.get(name, 0):g} of {total.get(name, 0):g} free{by}")
    return f"Waiting for resources: {_few(list(map(str, waiting)))}. {'; '.join(parts)}."


def sums(amounts: Sequence[Amounts]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0) + amount
    return total


def _few(texts: Sequence[str], last: Sequence[str] = ()) -> str:
    """The first few of the texts and the number of the others, then `last`."""
    others = len(texts) - SHOWN
    more = [f"{others} more"] if others > 0 else []
    return ", ".join([*texts[:SHOWN], *more, *last])


def _covers(node: Amounts, process: Amounts) -> bool:
    return all(node.get(name, 0) >= amount for name, amount in process.items())


def _text(amounts: Amounts) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items())


def _advice(amounts: Amounts) -> str:
    custom = ("custom_resources", "extra_custom_resources")
    keys: dict[str, Any] = dict.fromkeys(k for name in amounts for k in _KEYS.get(name, custom))
    return f"Lower {' or '.join(keys)} in resources_per_trial"
