"""Playing whole episodes with a policy, and writing down what happened in them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rltune.checkpoint import write_atomically
from rltune.config import ConfigError

COLUMNS = ("obs", "actions", "rewards", "new_obs", "terminateds", "truncateds")
INFOS = "infos"
SUFFIXES = (".jsonl", ".npz")


@dataclass
class Episode:
    """One episode: the seed of its reset, and the sum of its rewards over `length` steps."""

    seed: int
    reward: float = 0.0
    length: int = 0
    columns: dict[str, list[Any]] = field(default_factory=dict)
    """One list per kept column, one entry per step; empty when nothing is kept."""


def play(
    env: Any, act: Callable[[Any], Any], seed: int, keep: tuple[str, ...] = ()
) -> Iterator[Episode]:
    """Whole episodes without end; episode i is reset with `seed + i`.

    `keep` names the columns to write down: any of COLUMNS, and INFOS.
    """
    while True:
        episode = Episode(seed, columns={name: [] for name in keep})
        obs, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            action = act(obs)
            new_obs, reward, terminated, truncated, info = env.step(action)
            step = dict(
                zip(COLUMNS, (obs, action, reward, new_obs, terminated, truncated), strict=True),
                infos=info,
            )
            for name, values in episode.columns.items():
                values.append(step[name])
            episode.reward += float(reward)
            episode.length += 1
            obs, ended = new_obs, terminated or truncated
        yield episode
        seed += 1


def write_episodes(path: Path, episodes: list[Episode]) -> None:
    """Episodes as JSON lines or, for `.npz`, as one array per column with `eps_id` and `t`."""
    write_atomically(path, _as_npz(episodes) if path.suffix == ".npz" else _as_json_lines(episodes))


def check_output(path: Path, observation_space: Any, infos: bool) -> None:
    """Raises ConfigError where `path` cannot hold the episodes of such an environment."""
    if path.suffix not in SUFFIXES:
        raise ConfigError([f"--out {path}: its name must end in {' or '.join(SUFFIXES)}"])
    if not path.parent.is_dir():
        raise ConfigError([f"--out {path}: there is no directory {path.parent}"])
    if path.suffix == ".npz" and (infos or observation_space.shape is None):
        what = "infos" if infos else f"observations of {type(observation_space).__name__} spaces"
        raise ConfigError([f"--out {path}: .npz holds arrays, not {what}; use .jsonl"])


def _as_json_lines(episodes: list[Episode]) -> bytes:
    lines = (
        json.dumps(
            {"eps_id": i, "seed": e.seed, "reward": e.reward, "length": e.length, **e.columns},
            default=_jsonable,
        )
        for i, e in enumerate(episodes)
    )
    return "".join(line + "\n" for line in lines).encode()


def _as_npz(episodes: list[Episode]) -> bytes:
    buffer = io.BytesIO()
    columns: dict[str, Any] = {
        name: np.asarray([row for e in episodes for row in e.columns[name]]) for name in COLUMNS
    }
    lengths = [e.length for e in episodes]
    columns["eps_id"] = np.repeat(np.arange(len(episodes)), lengths)
    columns["t"] = np.concatenate([np.arange(n) for n in lengths] or [np.arange(0)])
    np.savez_compressed(buffer, **columns)
    return buffer.getvalue()


def _jsonable(value: Any) -> Any:
    """Arrays and numpy numbers as lists and numbers; what else an info may hold as its text."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
