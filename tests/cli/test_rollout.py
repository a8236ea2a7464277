"""`rltune rollout`: whole episodes of a checkpoint's policy, reproducible, written down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner, Result

from agents.pg import PG
from rltune.cli.episodes import COLUMNS, play
from rltune.cli.rollout import rollout


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained policy: what it does is not the point here."""
    algorithm = PG({"env": "CartPole-v1", "seed": 1, "model": {"fcnet_hiddens": [8]}})
    path = algorithm.save(str(tmp_path_factory.mktemp("checkpoint")))
    algorithm.stop()
    return path


def run(*args: str) -> Result:
    result = CliRunner().invoke(rollout, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def episodes(result: Result) -> list[tuple[float, int, int]]:
    """(reward, length, seed) of each episode that was printed."""
    pattern = re.compile(r"^Episode \d+: reward (\S+), length (\d+), seed (\d+)$", re.MULTILINE)
    found = pattern.findall(result.stdout)
    return [(float(reward), int(length), int(seed)) for reward, length, seed in found]


def test_episodes_and_their_statistics(checkpoint: str) -> None:
    result = run(checkpoint, "--episodes", "3", "--seed", "5")
    assert result.exit_code == 0
    rewards = [reward for reward, _, _ in episodes(result)]
    assert [seed for _, _, seed in episodes(result)] == [5, 6, 7]
    assert result.stdout.splitlines()[-1].startswith(
        f"Seeds 5 to 7, episodes 3, reward mean {np.mean(rewards):.2f}, std {np.std(rewards):.2f},"
        f" min {min(rewards):g}, max {max(rewards):g}"
    )


def test_same_seed_same_episodes(checkpoint: str) -> None:
    first, again, other = (
        episodes(run(checkpoint, "--episodes", "2", "--seed", seed)) for seed in ("5", "5", "9")
    )
    assert first == again
    assert first != other


def test_a_drawn_seed_repeats_the_episodes_it_is_shown_with(checkpoint: str) -> None:
    drawn = episodes(run(checkpoint, "--episodes", "1"))
    assert episodes(run(checkpoint, "--episodes", "1", "--seed", str(drawn[0][2]))) == drawn


def test_explore_changes_the_actions(checkpoint: str) -> None:
    greedy = episodes(run(checkpoint, "--episodes", "3", "--seed", "5"))
    assert episodes(run(checkpoint, "--episodes", "3", "--seed", "5", "--explore")) != greedy


def test_steps_end_with_the_episode_that_reaches_them(checkpoint: str) -> None:
    lengths = [length for _, length, _ in episodes(run(checkpoint, "--steps", "25", "--seed", "1"))]
    assert sum(lengths[:-1]) < 25 <= sum(lengths)


def test_episodes_override_steps(checkpoint: str) -> None:
    assert len(episodes(run(checkpoint, "--steps", "1", "--episodes", "2"))) == 2


def test_json_lines(checkpoint: str, tmp_path: Path) -> None:
    out = tmp_path / "steps.jsonl"
    printed = episodes(run(checkpoint, "--episodes", "2", "--out", str(out)))
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(e["reward"], e["length"], e["seed"]) for e in written] == printed
    assert all(len(e[name]) == e["length"] for e in written for name in COLUMNS)
    assert "infos" not in written[0]
    assert written[0]["obs"][1] == written[0]["new_obs"][0]
    assert [e["terminateds"][-1] or e["truncateds"][-1] for e in written] == [True, True]


def test_infos_are_written_when_asked_for(checkpoint: str, tmp_path: Path) -> None:
    out = tmp_path / "steps.jsonl"
    run(checkpoint, "--episodes", "1", "--out", str(out), "--save-info")
    (episode,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert episode["infos"] == [{}] * episode["length"]


def test_npz(checkpoint: str, tmp_path: Path) -> None:
    out = tmp_path / "steps.npz"
    printed = episodes(run(checkpoint, "--episodes", "2", "--out", str(out)))
    with np.load(out) as written:
        lengths = [length for _, length, _ in printed]
        assert written["obs"].shape == (sum(lengths), 4)
        assert written["eps_id"].tolist() == [0] * lengths[0] + [1] * lengths[1]
        assert written["t"].tolist() == [*range(lengths[0]), *range(lengths[1])]


def test_progress_beside_the_output(checkpoint: str, tmp_path: Path) -> None:
    out = tmp_path / "steps.jsonl"
    run(checkpoint, "--episodes", "2", "--out", str(out), "--track-progress")
    assert (tmp_path / "__progress_steps.jsonl").read_text() == "2 / 2 episodes completed\n"


def test_env_and_config_override_the_checkpoint(checkpoint: str) -> None:
    def lengths(*args: str) -> list[int]:
        return [length for _, length, _ in episodes(run(checkpoint, "--episodes", "1", *args))]

    assert lengths("--config", '{"env_config": {"max_episode_steps": 4}}') == [4]
    assert lengths("--env", "tests.cli.test_rollout:short_cartpole") == [3]


def short_cartpole(config: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v0", max_episode_steps=3)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--track-progress"], "--track-progress needs --out"),
        (["--save-info"], "--save-info needs --out"),
        (["--out", "steps.pkl"], ".jsonl or .npz"),
        (["--out", "no/such/place.npz"], "there is no directory"),
        (["--out", "steps.npz", "--save-info"], "use .jsonl"),
        (["--render", "--video-dir", "videos"], "exclude each other"),
        (["--run", "PPO"], "saved by PG"),
        (["--env", "Pendulum-v1"], "trained on"),
        (["--env", "CartPol-v1"], "CartPole-v1"),
        (["--config", '{"lrr": 1}'], "nearest: 'lr'"),
        (["--config", '{"model": {"fcnet_hiddens": [3]}}'], "do not fit"),
    ],
)
def test_mistakes(
    args: list[str], words: str, checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(checkpoint, *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    assert "manifest.json" in run(str(tmp_path)).stderr
    assert run(str(tmp_path / "none")).exit_code == 2


def test_missing_moviepy_is_said(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltune.cli.rollout.find_spec", lambda name: None)
    result = run(checkpoint, "--video-dir", "videos")
    assert (result.exit_code, "pip install moviepy" in result.stderr) == (2, True)


def test_render_asks_the_environment_for_a_window(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str | None] = []
    make = gymnasium.make

    def record(spec: Any, **kwargs: Any) -> Any:
        modes.append(kwargs.pop("render_mode", None))
        env = make(spec, **kwargs)
        env.unwrapped.render_mode = modes[-1]
        env.unwrapped.render = lambda: None
        return env

    monkeypatch.setattr(gymnasium, "make", record)
    run(checkpoint, "--episodes", "1", "--render")
    run(checkpoint, "--episodes", "1")
    assert modes.count("human") == 1


class Chain(gymnasium.Env[int, int]):
    """Pays the action; ends after as many steps as the seed says."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        assert seed is not None
        self.left = seed
        return self.left, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return self.left, float(action), self.left == 0, False, {"left": self.left}


def test_play_by_hand() -> None:
    stream = play(Chain(), act=lambda obs: 10 * obs, seed=2, keep=(*COLUMNS, "infos"))
    first, second = next(stream), next(stream)
    assert (first.seed, first.reward, first.length) == (2, 30.0, 2)
    assert (second.seed, second.reward, second.length) == (3, 60.0, 3)
    assert first.columns == {
        "obs": [2, 1],
        "actions": [20, 10],
        "rewards": [20.0, 10.0],
        "new_obs": [1, 0],
        "terminateds": [False, True],
        "truncateds": [False, False],
        "infos": [{"left": 1}, {"left": 0}],
    }
