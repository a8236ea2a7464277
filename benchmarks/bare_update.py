"""The updates of PPO and DQN in plain jax, all minibatches in one compiled call: no more than the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.peers import cache

ACTIONS = 2
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
Loss = Callable[[Any, Any, dict[str, Any]], Any]

jax.config.update("jax_compilation_cache_dir", str(cache() / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


class Update:
    """Called with columns and an index, it takes one Adam step for each row of the index."""

    def __init__(self, algorithm: str, config: dict[str, Any], obs_size: int) -> None:
        sizes = [obs_size, *config["model"]["fcnet_hiddens"]]
        rng = np.random.default_rng(0)
        outputs = {"policy": ACTIONS, "value": 1} if algorithm == "PPO" else {"q": ACTIONS}
        nets = {name: _layers(rng, [*sizes, last]) for name, last in outputs.items()}
        theta, self._unravel = ravel_pytree(nets)
        self._config = config
        self._loss = {"PPO": self._ppo, "DQN": self._dqn}[algorithm]
        self._activation = ACTIVATIONS[config["model"]["fcnet_activation"]]
        zeros = np.zeros(theta.shape, np.float32)
        # Five buffers, each given away to the next call.
        self._state = (theta, zeros, zeros, np.asarray(theta), np.float32(0))
        self._run = jax.jit(self._steps, donate_argnums=0)

    def __call__(self, batch: dict[str, np.ndarray], index: np.ndarray) -> None:
        self._state, losses = self._run(self._state, batch, index)
        losses.block_until_ready()

    def _steps(self, state: Any, batch: dict[str, Any], index: Any) -> Any:
        return jax.lax.scan(
            lambda carry, rows: self._step(carry, {n: c[rows] for n, c in batch.items()}),
            state,
            index,
        )

    def _step(self, state: Any, rows: dict[str, Any]) -> Any:
        theta, m, v, target, t = state
        loss, gradient = jax.value_and_grad(self._loss)(theta, target, rows)
        norm = jnp.sqrt(jnp.sum(gradient**2))
        gradient *= jnp.minimum(1.0, self._config["grad_clip"] / (norm + 1e-6))
        t += 1
        m = ADAM["b1"] * m + (1 - ADAM["b1"]) * gradient
        v = ADAM["b2"] * v + (1 - ADAM["b2"]) * gradient**2
        scale = self._config["lr"] * jnp.sqrt(1 - ADAM["b2"] ** t) / (1 - ADAM["b1"] ** t)
        theta = theta - scale * m / (jnp.sqrt(v) + ADAM["eps"])
        if (every := self._config.get("target_network_update_freq")) is not None:
            target = jnp.where(t % every == 0, theta, target)
        return (theta, m, v, target, t), loss

    def _net(self, layers: Any, x: Any) -> Any:
        *hidden, (weights, bias) = layers
        for inner, offset in hidden:
            x = self._activation(x @ inner + offset)
        return x @ weights + bias

    def _ppo(self, theta: Any, _: Any, rows: dict[str, Any]) -> Any:
        """https://arxiv.org/abs/1707.06347; rewards stand for advantages, value targets and so on."""
        nets, numbers, clip = self._unravel(theta), rows["rewards"], self._config["clip_param"]
        logs = jax.nn.log_softmax(self._net(nets["policy"], rows["obs"]))
        ratio = jnp.exp(_taken(logs, rows["actions"]) - jnp.log(1 / ACTIONS))
        gain = jnp.minimum(ratio * numbers, jnp.clip(ratio, 1 - clip, 1 + clip) * numbers)
        entropy = -jnp.sum(jnp.exp(logs) * logs, axis=1)
        error = (self._net(nets["value"], rows["obs"])[:, 0] - numbers) ** 2
        weights = self._config["entropy_coeff"], self._config["vf_loss_coeff"]
        return jnp.mean(-gain - weights[0] * entropy + weights[1] * error)

    def _dqn(self, theta: Any, target: Any, rows: dict[str, Any]) -> Any:
        """https://doi.org/10.1038/nature14236; an observation is its own successor."""
        ahead = self._net(self._unravel(target)["q"], rows["obs"]).max(axis=1)
        values = _taken(self._net(self._unravel(theta)["q"], rows["obs"]), rows["actions"])
        error = values - (rows["rewards"] + self._config["gamma"] * ahead)
        size = jnp.abs(error)
        return jnp.mean(jnp.where(size <= 1, 0.5 * error**2, size - 0.5))


def _layers(rng: np.random.Generator, sizes: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = zip(sizes, sizes[1:], strict=False)
    return [
        (rng.normal(0, 0.1, pair).astype(np.float32), np.zeros(pair[1], np.float32))
        for pair in pairs
    ]


def _taken(values: Any, actions: Any) -> Any:
    """The value of each row's action."""
    return jnp.take_along_axis(values, actions[:, None], axis=1)[:, 0]
