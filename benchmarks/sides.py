"""Who trains a case: rltune, the peers, and the bare work of it, each in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import peers
from benchmarks.case import NEVER, ROOT, Case
from benchmarks.peer_task import Task
from benchmarks.process import Run, run

PEERS = {"sb3": ("PPO", "DQN"), "sbx": ("PPO", "DQN"), "rllib": ("PPO",)}
"""Peer -> the algorithms that its program knows."""

Command = Callable[[Case, int, Path], list[str]]
"""What trains a case with a seed, writing its result.json below a folder."""


def able(names: list[str], case: Case) -> list[str]:
    """Those of the peers that know the case's algorithm."""
    return [name for name in names if case.algorithm in PEERS[name]]


def ours(case: Case, seed: int, folder: Path) -> list[str]:
    """rltune: `python train.py -f case.yaml`."""
    stop = {"timesteps_total": case.budget, "episode_reward_mean": _reward(case)}
    return [
        *(sys.executable, "train.py", "-f", str(case.path), "--seed", str(seed)),
        *("--stop", json.dumps(stop), "--local-dir", str(folder)),
    ]


def theirs(peer: str, threads: int) -> Command:
    """A peer: its program, in its environment, which is made if need be."""
    return _program(peers.python(peer), f"benchmarks.peer_{peer}", threads)


def bare(threads: int) -> Command:
    """The least that any program can do for the case, in rltune's environment."""
    return _program(Path(sys.executable), "benchmarks.bare", threads)


def _program(interpreter: Path, module: str, threads: int) -> Command:
    def command(case: Case, seed: int, folder: Path) -> list[str]:
        task = Task(
            algorithm=case.algorithm,
            env=case.env,
            config=case.config,
            timesteps=case.budget,
            stop_reward=_reward(case),
            seed=seed,
            threads=threads,
            folder=str(folder),
        )
        return [str(interpreter), "-m", module, task.argument()]

    return command


def _reward(case: Case) -> float:
    return NEVER if case.reward is None else case.reward


def train(command: Command, case: Case, seed: int, threads: int, cold: bool = False) -> Run:
    """A whole training in a process with `threads` threads and as many cores. `cold`: rltune keeps no
    compiled programs (the peers never do).
    """
    settings = {"RLTUNE_JAX_CACHE": "off"} if cold else {}
    return run(lambda folder: command(case, seed, folder), ROOT, threads, threads, settings)
