"""Training N + M iterations equals training N, saving, and training M in another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents import ALGORITHMS
from rltune.checkpoint import read_checkpoint
from rltune.registry import get_trainable_cls
from rltune.tune.logger import NoopLogger
from tests.conformance import repeatable, same_state, small_config

BEFORE, AFTER = 3, 2
ROOT = Path(__file__).parents[2]
VARIANTS: dict[str, dict[str, Any]] = {
    "one environment": {},
    "vector environment": {"num_envs_per_worker": 8},
    "copies": {"num_envs_per_worker": 3},
    "normalised": {
        "observation_filter": "MeanStdFilter",
        "normalize_rewards": True,
        "num_envs_per_worker": 2,
    },
    "no seed given": {"seed": None},
    "evaluated": {
        "evaluation_interval": 2,
        "evaluation_num_episodes": 3,
        "evaluation_config": {"explore": True},
    },
    "schedules": {"lr_schedule": [[0, 0.01], [400, 0.0]]},
    "whole episodes": {"batch_mode": "complete_episodes", "num_envs_per_worker": 4},
    "adaptive penalty": {"kl_coeff": 0.2, "kl_target": 0.0001},
    "pendulum": {
        "env": "Pendulum-v1",
        "num_envs_per_worker": 2,
        "observation_filter": "MeanStdFilter",
    },
    "nested observations": {"env": "tests.envs.toy:NestedEnv"},
    "n-step": {"n_step": 3, "num_envs_per_worker": 2},
    "uniform replay": {"prioritized_replay": False, "training_intensity": 10},
}
CONTINUOUS = ("pendulum", "nested observations")


def fits(name: str, variant: str) -> bool:
    cls = get_trainable_cls(name)
    known = VARIANTS[variant].keys() <= cls.config_class.fields_by_key().keys()
    if cls.off_policy:
        return known and variant not in (*CONTINUOUS, "whole episodes")
    return known


CASES = [
    (name, variant) for name in sorted(ALGORITHMS) for variant in VARIANTS if fits(name, variant)
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """(result, checkpoint) of every case: without a break, and with one."""
    folder = tmp_path_factory.mktemp("continuation")
    whole, cases = {}, []
    for number, (name, variant) in enumerate(CASES):
        cls = get_trainable_cls(name)
        config = small_config(cls, **VARIANTS[variant])
        algorithm = cls(config, logger_creator=lambda config: NoopLogger(config, str(folder)))
        for _ in range(BEFORE):
            algorithm.train()
        checkpoint = algorithm.save(str(folder / f"{number}-break"))
        for _ in range(AFTER):
            result = algorithm.train()
        saved = algorithm.save(str(folder / f"{number}-whole"))
        whole[name, variant] = json.loads(json.dumps(repeatable(result))), saved
        out = str(folder / f"{number}-again")
        cases.append(
            {
                "algorithm": name,
                "config": config,
                "checkpoint": checkpoint,
                "iterations": AFTER,
                "out": out,
            }
        )
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    command = [sys.executable, "-m", "tests.continuation", str(folder / "cases.json")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    return {
        key: (whole[key], json.loads(Path(case["out"], "result.json").read_text()), case["out"])
        for key, case in zip(CASES, cases, strict=True)
    }


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_a_break_changes_nothing(name: str, variant: str, runs: dict[tuple[str, str], Any]) -> None:
    (expected, whole), result, out = runs[name, variant]
    assert result == expected
    manifest, state = read_checkpoint(Path(out, f"checkpoint_{BEFORE + AFTER}"))
    _, unbroken = read_checkpoint(whole)
    assert manifest["exact"] is True
    assert state.keys() == unbroken.keys()
    for part in state:
        assert same_state(state[part], unbroken[part]), part
