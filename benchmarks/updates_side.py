"""One side of `benchmarks.updates`: a fresh process that times PPO's updates under one framework, or the peer's.

Takes one JSON argument: `side` (jax, tf, torch, sb3), `minibatches` (sizes), `updates` (how many are
timed). Prints, as the last line, the seconds of one minibatch step for each size: the median update
over its steps. It runs in the peer's environment too, so it imports nothing of rltune outside rltune's sides.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

ENV = "CartPole-v1"  # 4 observations, 2 actions
ROWS, EPOCHS, ENVS = 2048, 10, 8
WARM_UP = 2  # updates before the first that counts: the first one compiles
HIDDENS = [64, 64]


class Clock:
    """Adds up the seconds that the functions it wraps take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def ours(framework: str, minibatch: int, updates: int) -> list[float]:
    """Seconds of each update: PPO's training step without its sampling."""
    from agents.ppo import PPO

    config = {
        "env": ENV,
        "framework": framework,
        "seed": 1,
        "num_envs_per_worker": ENVS,
        "rollout_fragment_length": ROWS // ENVS,
        "train_batch_size": ROWS,
        "sgd_minibatch_size": minibatch,
        "num_sgd_iter": EPOCHS,
        "model": {"fcnet_hiddens": HIDDENS, "fcnet_activation": "tanh", "vf_share_layers": False},
    }
    algorithm: Any = PPO(config=config)
    step, sampling = Clock(), Clock()
    algorithm.training_step = step(algorithm.training_step)
    algorithm.sample = sampling(algorithm.sample)
    seconds = []
    for _ in range(WARM_UP + updates):
        step.seconds = sampling.seconds = 0.0
        algorithm.train()
        seconds.append(step.seconds - sampling.seconds)
    algorithm.stop()
    return seconds[WARM_UP:]


def theirs(minibatch: int, updates: int) -> list[float]:
    """Seconds of each update: the peer's `train`."""
    import stable_baselines3
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    model: Any = stable_baselines3.PPO(
        "MlpPolicy",
        make_vec_env(ENV, n_envs=ENVS, seed=1),
        n_steps=ROWS // ENVS,
        batch_size=minibatch,
        n_epochs=EPOCHS,
        policy_kwargs={"net_arch": HIDDENS, "activation_fn": torch.nn.Tanh},
        seed=1,
        device="cpu",
    )
    train, seconds = model.train, []

    def timed() -> None:
        clock = Clock()
        clock(train)()
        seconds.append(clock.seconds)

    model.train = timed
    model.learn((WARM_UP + updates) * ROWS)
    return seconds[WARM_UP:]


def main() -> None:
    task = json.loads(sys.argv[1])
    steps = {}
    for minibatch in task["minibatches"]:
        if task["side"] == "sb3":
            seconds = theirs(minibatch, task["updates"])
        else:
            seconds = ours(task["side"], minibatch, task["updates"])
        steps[minibatch] = statistics.median(seconds) / (EPOCHS * ROWS // minibatch)
    print(json.dumps(steps))


if __name__ == "__main__":
    main()
