"""`rltune rollout`: runs a checkpoint's policy for whole episodes and says how good it is."""

from __future__ import annotations

import statistics
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from rltune.cli.outcome import SUCCESS, bad_input
from rltune.cli.params import json_object
from rltune.config import ConfigError

PROGRESS_PREFIX = "__progress_"


@click.command("rollout", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--run", help="Algorithm or registered trainable; default: the one that wrote the checkpoint."
)
@click.option("--env", help="Another environment with the same spaces.")
@click.option(
    "--config", type=json_object, default={}, help="Settings that override the checkpoint's."
)
@click.option(
    "--episodes",
    type=click.IntRange(min=0),
    default=0,
    help="Number of episodes; overrides --steps.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=10000,
    show_default=True,
    help="Least number of steps.",
)
@click.option(
    "--explore", is_flag=True, help="Sample actions as training does, instead of the best ones."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Episode i is reset with SEED + i; default: drawn and shown.",
)
@click.option(
    "--render/--no-render",
    default=False,
    show_default=True,
    help="Show the environment in a window.",
)
@click.option("--video-dir", type=click.Path(file_okay=False), help="Record every episode there.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the steps: .jsonl or .npz.",
)
@click.option("--save-info", is_flag=True, help="With --out: the infos too.")
@click.option(
    "--track-progress",
    is_flag=True,
    help=f"With --out: keep {PROGRESS_PREFIX}OUT beside it up to date.",
)
def rollout(checkpoint: str, **flags: Any) -> int:
    """Run the policy of CHECKPOINT in its environment.

    Whole episodes, and the best actions unless --explore is given.
    """
    from rltune.checkpoint import read_manifest
    from rltune.cli.checks import MISTAKES
    from rltune.cli.episodes import check_output

    with bad_input(*MISTAKES):
        _check_flags(flags)
        manifest = read_manifest(checkpoint)
        overrides = {"num_workers": 0, **flags["config"]}
        if flags["env"] is not None:
            overrides["env"] = flags["env"]
        env = _make_env({**manifest["config"], **overrides}, flags)
        if flags["out"]:
            check_output(flags["out"], env.observation_space, flags["save_info"])
        _check_spaces(env, manifest)
        algorithm = _load(checkpoint, manifest["algorithm"], flags["run"], overrides)
    try:
        _run(algorithm, env, flags)
    finally:
        env.close()
        algorithm.stop()
    return SUCCESS


def _check_flags(flags: dict[str, Any]) -> None:
    if flags["out"] is None and (flags["save_info"] or flags["track_progress"]):
        needing = "--save-info" if flags["save_info"] else "--track-progress"
        raise ConfigError([f"{needing} needs --out FILE"])
    if flags["render"] and flags["video_dir"]:
        raise ConfigError(
            ["--render and --video-dir exclude each other: an environment renders in one way"]
        )
    if flags["video_dir"] and find_spec("moviepy") is None:
        raise ConfigError(["--video-dir needs moviepy: pip install moviepy"])


def _make_env(config: dict[str, Any], flags: dict[str, Any]) -> Any:
    """One environment like the checkpoint's, rendering as the flags ask."""
    from rltune.envs.atari import Frames
    from rltune.envs.errors import EnvError
    from rltune.envs.make import make_env, resolve_env

    mode = "human" if flags["render"] else "rgb_array" if flags["video_dir"] else None
    env_config = {**config.get("env_config", {}), **({"render_mode": mode} if mode else {})}
    env = make_env(resolve_env(config["env"], env_config, Frames.of(config)))
    if env.render_mode != mode and mode is not None:
        flag = "--render" if flags["render"] else "--video-dir"
        raise EnvError(f"{flag}: env {config['env']!r} does not render as {mode!r}")
    return _recorded(env, flags["video_dir"]) if flags["video_dir"] else env


def _recorded(env: Any, directory: str) -> Any:
    from gymnasium.wrappers import RecordVideo

    return RecordVideo(env, directory, episode_trigger=lambda _: True, name_prefix="rollout")


def _check_spaces(env: Any, manifest: dict[str, Any]) -> None:
    """Raises ConfigError unless the policy fits the environment; bounds may differ."""
    from rltune.envs.space_json import space_from_dict

    for name in ("observation_space", "action_space"):
        trained, here = space_from_dict(manifest[name]), getattr(env, name)
        both_boxes = type(trained) is type(here) and hasattr(here, "low")
        if not (trained.shape == here.shape if both_boxes else trained == here):
            text = f"{name} of the environment is {here}; the policy was trained on {trained}"
            raise ConfigError([text])


def _load(checkpoint: str, saved_by: str, run: str | None, overrides: dict[str, Any]) -> Any:
    """The algorithm as it was saved, but for the overrides."""
    from rltune.cli.checks import algorithm_class

    cls = algorithm_class(run or saved_by)
    if cls.__name__ != saved_by:
        raise ConfigError([f"--run {run}: the checkpoint was saved by {saved_by}"])
    try:
        return cls.from_checkpoint(checkpoint, overrides)
    except ValueError as error:
        raise ConfigError([f"{checkpoint}: {error}"]) from error


def _run(algorithm: Any, env: Any, flags: dict[str, Any]) -> None:
    """Plays until enough was seen; what was finished is written even when it is interrupted."""
    from rltune.checkpoint import write_atomically
    from rltune.cli.episodes import COLUMNS, INFOS, Episode, play, write_episodes
    from rltune.seeding import draw_seed

    out = flags["out"]
    keep = () if out is None else COLUMNS + (INFOS,) * flags["save_info"]
    seed = draw_seed() if flags["seed"] is None else flags["seed"]
    done: list[Episode] = []
    act = partial(algorithm.compute_action, explore=flags["explore"])
    try:
        for e in play(env, act, seed, keep):
            done.append(e)
            click.echo(
                f"Episode {len(done)}: reward {e.reward:g}, length {e.length}, seed {e.seed}"
            )
            reached, goal, unit = _progress(done, flags)
            if flags["track_progress"]:
                text = f"{reached} / {goal} {unit} completed\n"
                write_atomically(out.with_name(PROGRESS_PREFIX + out.name), text.encode())
            if reached >= goal:
                break
    finally:
        if out is not None:
            write_episodes(out, done)
        if done:
            click.echo(_summary(done))


def _progress(done: list[Any], flags: dict[str, Any]) -> tuple[int, int, str]:
    """How much was seen, how much is wanted, and of what."""
    if flags["episodes"]:
        return len(done), flags["episodes"], "episodes"
    return sum(episode.length for episode in done), flags["steps"], "steps"


def _summary(episodes: list[Any]) -> str:
    rewards = [e.reward for e in episodes]
    return (
        f"Seeds {episodes[0].seed} to {episodes[-1].seed}, episodes {len(rewards)}, reward"
        f" mean {statistics.fmean(rewards):.2f}, std {statistics.pstdev(rewards):.2f},"
        f" min {min(rewards):g}, max {max(rewards):g}, length mean"
        f" {statistics.fmean(e.length for e in episodes):.1f}"
    )
