"""What is measured: a case is a YAML file in cases/.

rltune trains from it as it stands, and the peers' settings are read from the same file, so that they
cannot drift apart. A case with a key `rltune` compares each side's own settings instead: that key
names rltune's file, and `config` is the peers'.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
CASES = HERE / "cases"
NEVER = 1e9  # a reward that no case reaches: the run goes on to its last step


@dataclass(frozen=True)
class Case:
    """What all sides train.

    `path` is what rltune trains from and `config` the peers' settings. A run ends after `budget` env
    steps or at `reward`; without a reward only speed is measured. Speed is not measured where
    settings differ (`equal` is false). `short` is the env steps of the shorter speed run.
    """

    name: str
    path: Path
    algorithm: str
    env: str
    config: dict[str, Any]
    equal: bool
    reward: float | None
    budget: int
    short: int


def load(name: str) -> Case:
    """The case of `cases/<name>.yaml`. Raises FileNotFoundError if there is none."""
    path = CASES / f"{name}.yaml"
    (spec,) = yaml.safe_load(path.read_text(encoding="utf-8")).values()
    stop = spec["stop"]
    budget = stop["timesteps_total"]
    return Case(
        name=name,
        path=ROOT / spec["rltune"] if "rltune" in spec else path,
        algorithm=spec["run"],
        env=spec["env"],
        config=spec["config"],
        equal="rltune" not in spec,
        reward=stop.get("episode_reward_mean"),
        budget=budget,
        short=budget // 50,
    )


def names() -> list[str]:
    """The names of all cases."""
    return sorted(path.stem for path in CASES.glob("*.yaml"))
