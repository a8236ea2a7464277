"""Typed configs in general, on a small config of their own."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest

from agents.dqn import DQNConfig
from agents.pg import PGConfig
from agents.ppo import PPOConfig
from rltune.config import (
    OBSOLETE,
    RENAMED,
    UNSUPPORTED,
    Config,
    ConfigError,
    Schedule,
    nearest,
    option,
)

CONFIGS = (PGConfig, PPOConfig, DQNConfig)


@dataclass(frozen=True)
class InnerConfig(Config):
    size: int = option(4, "a size", low=1)


@dataclass(frozen=True)
class ToyConfig(Config):
    rate: float = option(0.5, "a rate", low=0, high=1, coeff=True)
    limit: float | None = option(None, "a limit", above=0, coeff=True)
    count: int = option(3, "a count", low=1)
    maybe: int | None = option(None, "a count or nothing")
    flag: bool = option(False, "a flag")
    mode: str = option("fast", "a word", choices=("fast", "slow"))
    table: dict[str, Any] = option(dict, "a mapping")
    sizes: tuple[int, ...] = option((8, 8), "sizes")
    plan: Schedule | None = option(None, "a schedule")
    lambda_: float = option(1.0, "a key that is a Python word", key="lambda")
    inner: InnerConfig = option(InnerConfig, "a section")
    anything: Any = option(None, "whatever")

    def problems(self) -> Iterator[str]:
        if self.flag and self.mode == "slow":
            yield "'flag' and 'mode: slow' exclude each other"
        if self.count > 100 and self.maybe is None:
            yield "'count' above 100 needs 'maybe'"


def problems_of(raw: dict[Any, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ToyConfig.from_dict(raw)
    return caught.value.problems


@pytest.mark.parametrize(
    ("raw", "field", "value"),
    [
        ({"rate": "1e-4"}, "rate", 1e-4),  # YAML 1.1 reads 1e-4 as text
        ({"rate": 1}, "rate", 1.0),
        ({"rate": np.float32(0.25)}, "rate", 0.25),
        ({"limit": None}, "limit", None),
        ({"limit": 3}, "limit", 3.0),
        ({"count": 4.0}, "count", 4),
        ({"count": np.int64(5)}, "count", 5),
        ({"maybe": None}, "maybe", None),
        ({"flag": np.bool_(True)}, "flag", True),
        ({"mode": "slow"}, "mode", "slow"),
        ({"table": {"a": [1]}}, "table", {"a": [1]}),
        ({"sizes": [1, 2]}, "sizes", (1, 2)),
        ({"sizes": []}, "sizes", ()),
        ({"plan": [[0, 1], [1000, "1e-2"]]}, "plan", ((0.0, 1.0), (1000.0, 0.01))),
        ({"lambda": 0.9}, "lambda_", 0.9),
        ({"inner": {"size": 7}}, "inner", InnerConfig(7)),
        ({"anything": int}, "anything", int),
    ],
)
def test_values_become_their_type(raw: dict[str, Any], field: str, value: Any) -> None:
    got = getattr(ToyConfig.from_dict(raw), field)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("rate", "fast", "a number"),
        ("rate", True, "a number"),
        ("rate", None, "a number"),
        ("rate", [0.1], "a number"),
        ("count", 2.5, "a whole number"),
        ("count", "3", "a whole number"),
        ("count", True, "a whole number"),
        ("count", float("inf"), "a whole number"),
        ("count", float("nan"), "a whole number"),
        ("maybe", "x", "a whole number or null"),
        ("flag", 1, "true or false"),
        ("flag", "yes", "true or false"),
        ("mode", 3, "text"),
        ("table", [1], "a mapping"),
        ("table", None, "a mapping"),
        ("sizes", 64, "a list of whole numbers"),
        ("sizes", "64", "a list of whole numbers"),
        ("sizes", [64, 0.5], "a list of whole numbers"),
        ("plan", [[0, 1], [0, 2]], "a list of [timesteps, value] with rising timesteps or null"),
        ("plan", [], "a list of [timesteps, value] with rising timesteps or null"),
        ("plan", [[0]], "a list of [timesteps, value] with rising timesteps or null"),
        ("plan", ["01"], "a list of [timesteps, value] with rising timesteps or null"),
        ("plan", [[float("inf"), 1]], "a list of [timesteps, value] with rising timesteps or null"),
        ("inner", 3, "a mapping"),
        ("inner", None, "a mapping"),
    ],
)
def test_a_wrong_type_is_named_with_what_was_expected(key: str, value: Any, expected: str) -> None:
    assert problems_of({key: value}) == [f"'{key}' is {value!r}; it must be {expected}"]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"rate": -0.1}, "'rate' is -0.1; it must be at least 0"),
        ({"rate": 1.5}, "'rate' is 1.5; it must be at most 1"),
        ({"limit": 0}, "'limit' is 0.0; it must be above 0"),
        ({"rate": float("nan")}, "'rate' is nan; it must be finite"),
        ({"rate": "inf"}, "'rate' is inf; it must be finite"),
        ({"limit": float("inf")}, "'limit' is inf; it must be finite; null is off"),
        ({"inner": {"size": 0}}, "'inner.size' is 0; it must be at least 1"),
        (
            {"mode": "fsat"},
            "'mode' is 'fsat'; it must be one of ['fast', 'slow']; nearest: 'fast'",
        ),
        ({"mode": "zzz"}, "'mode' is 'zzz'; it must be one of ['fast', 'slow']"),
    ],
)
def test_ranges_and_choices(raw: dict[str, Any], problem: str) -> None:
    assert problems_of(raw) == [problem]


def test_bounds_are_inclusive() -> None:
    assert [ToyConfig.from_dict({"rate": rate}).rate for rate in (0, 1)] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"raet": 1}, "Unknown key 'raet' in config of Toy; nearest: 'rate'"),
        (
            {"inner": {"sise": 1}},
            "Unknown key 'inner.sise' in config of Inner; nearest: 'inner.size'",
        ),
        ({"zzzz": 1}, "Unknown key 'zzzz' in config of Toy; see `rltune config Toy`"),
        ({7: 1}, "Unknown key '7' in config of Toy; see `rltune config Toy`"),
        # `lambda_` is the field's name, never a key.
        ({"lambda_": 1}, "Unknown key 'lambda_' in config of Toy; nearest: 'lambda'"),
        (
            {"gae_lambda": 1},
            "Unknown key 'gae_lambda' in config of Toy; here it is called 'lambda'",
        ),
    ],
)
def test_unknown_keys(raw: dict[Any, Any], problem: str) -> None:
    assert problems_of(raw) == [problem]


def test_every_problem_is_in_one_error() -> None:
    raw = {"raet": 1, "count": 0, "flag": 3, "inner": {"size": -1, "other": 0}}
    with pytest.raises(ConfigError) as caught:
        ToyConfig.from_dict(raw)
    assert len(caught.value.problems) == 5
    lines = str(caught.value).splitlines()
    assert lines[0] == "Toy config has 5 problems:"
    assert [line.strip() for line in lines[1:]] == caught.value.problems


def test_a_single_problem_is_the_whole_message() -> None:
    assert str(ConfigError(["'a' is wrong"])) == "'a' is wrong"


def test_contradictions_are_listed_together() -> None:
    assert problems_of({"flag": True, "mode": "slow", "count": 101}) == [
        "'flag' and 'mode: slow' exclude each other",
        "'count' above 100 needs 'maybe'",
    ]


def test_an_error_survives_the_way_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(ConfigError(["a", "b"], "PPO config")))
    assert (copy.problems, str(copy)) == (["a", "b"], "PPO config has 2 problems:\n  a\n  b")


def test_parsing_changes_nothing_and_configs_are_frozen() -> None:
    raw = {"table": {"a": {"b": [1]}}, "inner": {"size": 2}}
    before = json.dumps(raw)
    config = ToyConfig.from_dict(raw)
    assert json.dumps(raw) == before
    with pytest.raises(FrozenInstanceError):
        config.count = 5  # type: ignore[misc]
    config.to_dict()["table"]["a"]["b"].append(2)
    assert config.table == {"a": {"b": [1]}}


def test_coeffs_are_floats_and_off_is_infinity() -> None:
    assert ToyConfig.from_dict({"rate": 1}).coeffs() == {"rate": 1.0, "limit": float("inf")}
    assert ToyConfig.from_dict({"limit": 2}).coeffs()["limit"] == 2.0


def test_nearest() -> None:
    assert nearest("lamda", ["gamma", "lambda"]) == "lambda"
    assert nearest("qqqq", ["gamma", "lambda"]) is None


@pytest.mark.parametrize("cls", CONFIGS)
def test_other_names_lead_to_a_key_that_exists(cls: type[Config]) -> None:
    known = cls.fields_by_key()
    for key in RENAMED.keys() - known.keys() - {"fcnet_hiddens", "fcnet_activation"}:
        with pytest.raises(ConfigError) as caught:
            cls.from_dict({key: 1})
        if "here it is called" in str(caught.value):
            name = str(caught.value).split("'")[3]
            assert name.split(".")[0] in known


def test_other_names_are_of_some_algorithm() -> None:
    keys = {key for cls in CONFIGS for key in cls.fields_by_key()}
    sections = PPOConfig.fields_by_key()["model"].default_factory().fields_by_key()  # type: ignore[operator]
    keys |= {f"model.{key}" for key in sections}
    for key, names in RENAMED.items():
        assert set(names.split()) <= keys, key
        assert key not in keys


def test_keys_without_effect_are_no_settings() -> None:
    keys = {key for cls in CONFIGS for key in cls.fields_by_key()}
    keys |= set(PPOConfig().model.fields_by_key())
    assert not keys & (UNSUPPORTED.keys() | OBSOLETE.keys())
    assert not UNSUPPORTED.keys() & OBSOLETE.keys()
    assert not RENAMED.keys() & (UNSUPPORTED.keys() | OBSOLETE.keys())
