"""The comparisons with peers: cases, command lines, arithmetic and rows. No peer is installed for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import __main__ as command_line
from benchmarks import bare, case, compare, sides
from benchmarks.peer_task import Results, Task, results
from benchmarks.process import BenchmarkError, Point, Run, run

HERE = Path(case.__file__).parent


def task(folder: Path, name: str = "cartpole-ppo", **changes: Any) -> Task:
    chosen = case.load(name)
    given = {
        "algorithm": chosen.algorithm,
        "env": chosen.env,
        "config": chosen.config,
        "timesteps": 512,
        "stop_reward": 195,
        "seed": 1,
        "threads": 1,
        "folder": str(folder),
        **changes,
    }
    return Task(**given)


def trained(seconds: float, *points: tuple[float, int]) -> Run:
    return Run([Point(when, {"timesteps_total": steps}) for when, steps in points], seconds)


@pytest.mark.parametrize("name", case.names())
def test_cases_are_complete(name: str) -> None:
    chosen = case.load(name)
    assert chosen.name == name
    assert 0 < chosen.short < chosen.budget
    (spec,) = yaml.safe_load(chosen.path.read_text(encoding="utf-8")).values()
    assert spec["run"] == chosen.algorithm and spec["env"] == chosen.env
    assert chosen.equal == (spec["config"] == chosen.config)


def test_a_missed_goal_is_worse_than_any_number() -> None:
    assert compare.median([3.0, None, 1.0]) == 3.0
    assert compare.median([None, None, 1.0]) is None
    assert compare.median([1.0, None]) is None
    assert compare.median([1.0, 2.0]) == 1.5
    assert compare.median([]) is None


def comparison(
    measure: str, ours: float | None, theirs: float, bare: float | None = None
) -> compare.Comparison:
    return compare.Comparison(measure, "sb3", [ours], [theirs], [] if bare is None else [bare])


def test_ratio_is_above_one_where_rltune_is_ahead() -> None:
    assert comparison("env_steps_per_s", 300.0, 100.0).ratio() == 3
    assert comparison("reward_s", 10.0, 40.0).ratio() == 4
    assert comparison("reward_s", None, 40.0).ratio() is None


def test_the_limit_is_one_where_nothing_is_lost() -> None:
    assert comparison("env_steps_per_s", 300.0, 100.0, bare=400.0).of_limit() == 0.75
    assert comparison("first_result_s", 2.0, 9.0, bare=1.0).of_limit() == 0.5
    assert comparison("reward_s", 2.0, 9.0).of_limit() is None


def test_speed_is_what_a_longer_run_adds() -> None:
    short, long = trained(3.0, (2.0, 100), (2.5, 200)), trained(5.0, (2.0, 100), (4.0, 1200))
    assert compare.rate(short, long) == 500
    with pytest.raises(BenchmarkError, match="nothing to measure"):
        compare.rate(long, short)


def test_a_comparison_for_each_measure_and_peer() -> None:
    values: dict[str, list[compare.Values]] = {
        "rltune": [
            {"first_result_s": 1.0, "first_result_cold_s": 3.0, "reward_s": None},
            {"first_result_s": 1.5, "first_result_cold_s": 4.0, "reward_s": 7.0},
        ],
        "bare": [{"first_result_s": 0.5}, {"first_result_s": 0.6}],
        "sb3": [{"first_result_s": 2.0, "first_result_cold_s": 2.0, "reward_s": 8.0}] * 2,
        "sbx": [{"first_result_s": 5.0, "first_result_cold_s": 5.0, "reward_s": 9.0}] * 2,
    }
    made = compare.comparisons(values)
    assert [(c.measure, c.peer) for c in made] == [
        ("first_result_s", "sb3"),
        ("first_result_s", "sbx"),
        ("first_result_cold_s", "sb3"),
        ("first_result_cold_s", "sbx"),
        ("reward_s", "sb3"),
        ("reward_s", "sbx"),
    ]
    assert made[1] == compare.Comparison(
        "first_result_s", "sbx", [1.0, 1.5], [5.0, 5.0], [0.5, 0.6]
    )
    assert made[4] == compare.Comparison("reward_s", "sb3", [None, 7.0], [8.0, 8.0], [])
    alone = compare.comparisons({name: values[name] for name in ("rltune", "bare")})
    assert [(c.measure, c.peer, c.theirs) for c in alone][0] == ("first_result_s", "-", [])


class FakeSide(compare.Side):
    """Trains in no time: 2 s to start, 1,000 steps per second, a result every 100 steps."""

    def __init__(self, name: str, chosen: case.Case, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(name, sides.ours, chosen, threads=1)
        self.runs: list[tuple[int, float | None, bool]] = []
        monkeypatch.setattr(sides, "train", self.fake)

    def fake(
        self, command: sides.Command, chosen: case.Case, seed: int, threads: int, cold: bool = False
    ) -> Run:
        self.runs.append((chosen.budget, chosen.reward, cold))
        steps = range(100, max(200, chosen.budget) + 1, 100)
        lines = [
            Point(2 + cold + n / 1000, {"timesteps_total": n, "episode_reward_mean": n / 100})
            for n in steps
        ]
        return Run(lines, lines[-1].seconds + 1)


def test_a_side_is_warmed_up_and_then_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = case.load("cartpole-ppo")
    side = FakeSide("rltune", chosen, monkeypatch)
    side.warm_up()
    values = side.values(seed=1)
    assert values["first_result_s"] == 2.1 and values["first_result_cold_s"] == 3.1
    assert values["env_steps_per_s"] == pytest.approx(1000)
    assert values["reward_steps"] == 19_500 and values["reward_s"] == 21.5
    long = chosen.short + 1000 * round(compare.SPEED_S)
    assert side.runs[-4:] == [
        (chosen.short, None, False),
        (1, None, True),
        (long, None, False),
        (chosen.budget, 195, False),
    ]
    side = FakeSide("bare", chosen, monkeypatch)
    side.warm_up()
    assert set(side.values(seed=1)) == {"first_result_s", "env_steps_per_s"}


def test_own_settings_are_not_compared_by_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    side = FakeSide("sb3", case.load("cartpole-ppo-own"), monkeypatch)
    side.warm_up()
    values = side.values(seed=1)
    assert "env_steps_per_s" not in values
    assert values["first_result_cold_s"] == values["first_result_s"]


def test_peers_are_asked_for_what_they_know() -> None:
    everyone = list(sides.PEERS)
    assert sides.able(everyone, case.load("cartpole-ppo")) == everyone
    assert sides.able(everyone, case.load("cartpole-dqn")) == ["sb3", "sbx"]


def test_every_peer_has_its_program_and_exact_versions() -> None:
    for peer in sides.PEERS:
        assert (HERE / f"peer_{peer}.py").exists()
        lines = (HERE / f"requirements-{peer}.txt").read_text().splitlines()
        assert lines and all("==" in line for line in lines)
        assert "torch==2.13.0" in lines  # with nothing after it: a build for a CPU satisfies it


def test_commands_carry_the_case(tmp_path: Path) -> None:
    chosen = case.load("cartpole-ppo")
    *_, module, argument = sides.bare(threads=2)(chosen, 3, tmp_path)
    assert module == "benchmarks.bare"
    assert Task(**json.loads(argument)) == task(
        tmp_path, timesteps=chosen.budget, seed=3, threads=2
    )
    words = sides.ours(chosen, 3, tmp_path)
    assert words[words.index("-f") + 1] == str(chosen.path)
    stop = json.loads(words[words.index("--stop") + 1])
    assert stop == {"timesteps_total": chosen.budget, "episode_reward_mean": 195}


def test_a_peers_results_are_read_from_outside(tmp_path: Path) -> None:
    given = task(tmp_path)
    with results(given) as lines:
        assert isinstance(lines, Results)
        lines.write(256, None)
        assert not lines.solved
        lines.write(512, 195.0)
        assert lines.solved
    text = (tmp_path / "result.json").read_text().splitlines()
    assert [json.loads(line)["episode_reward_mean"] for line in text] == [None, 195.0]


@pytest.mark.parametrize("name", ["cartpole-ppo", "cartpole-dqn"])
def test_the_bare_work_has_the_size_of_the_case(name: str, tmp_path: Path) -> None:
    given = task(tmp_path, name)
    rows = {"PPO": 256, "DQN": 256}[given.algorithm]
    minibatches = bare.index(given, rows)
    assert minibatches.shape == {"PPO": (20, 256), "DQN": (128, 64)}[given.algorithm]
    assert 0 <= minibatches.min() and minibatches.max() < rows
    made = run(
        lambda folder: [
            *(sys.executable, "-m", "benchmarks.bare"),
            task(folder, name, timesteps=2 * rows).argument(),
        ],
        case.ROOT,
        threads=1,
    )
    assert [point.steps for point in made.points] == [rows, 2 * rows]


def test_command_line() -> None:
    everything = command_line.parse([])
    assert everything.names == case.names() and everything.peers == list(sides.PEERS)
    chosen = command_line.parse(["cartpole-ppo", "--peers", "sbx", "sb3", "--repeats", "2"])
    assert (chosen.names, chosen.peers, chosen.repeats) == (["cartpole-ppo"], ["sbx", "sb3"], 2)
    assert command_line.parse(["--peers"]).peers == []
    for wrong in (["nothing"], ["cartpole-ppo", "--peers", "nobody"]):
        with pytest.raises(SystemExit):
            command_line.parse(wrong)


def test_rows_have_the_newest_of_each_peer_in_order() -> None:
    def line(measure: str, peer: str, ours: float) -> dict[str, Any]:
        made = compare.Comparison(measure, peer, [ours], [100.0], [400.0])
        return command_line.record("cartpole-ppo", made, threads=1)

    lines = [
        line("env_steps_per_s", "sbx", 200.0),
        line("env_steps_per_s", "sb3", 150.0),
        line("first_result_s", "sb3", 200.0),
        line("env_steps_per_s", "sb3", 300.0),
    ]
    assert command_line.rows(lines) == [
        ["cartpole-ppo", "env_steps_per_s", "sb3", "300", "100", "3", "400", "0.75", "1", "1"],
        ["cartpole-ppo", "env_steps_per_s", "sbx", "200", "100", "2", "400", "0.5", "1", "1"],
        ["cartpole-ppo", "first_result_s", "sb3", "200", "100", "0.5", "400", "2", "1", "1"],
    ]
