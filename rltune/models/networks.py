"""Multi-layer perceptrons: parameters are a flat dict of named arrays, a forward pass is a pure function of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rltune.algorithm_config import ModelConfig
from rltune.frameworks.ops import Ops, Tensor

Params = dict[str, Tensor]


class Model(Protocol):
    """A policy network, with a value function where the algorithm has one."""

    has_value: bool

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Fresh float32 parameters by name; equal generators give equal parameters under every framework."""

    def policy(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        """What the action distribution is made of, [B, num_outputs], for obs [B, obs_size]."""

    def value(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        """Value estimates [B]."""


def orthogonal(rng: np.random.Generator, rows: int, columns: int, gain: float) -> np.ndarray:
    """Saxe et al. 2014 (https://arxiv.org/abs/1312.6120)."""
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.sign(np.diag(r))
    return np.ascontiguousarray((q if rows >= columns else q.T) * gain, np.float32)


def init_layers(
    rng: np.random.Generator, name: str, sizes: list[int], gains: list[float]
) -> dict[str, np.ndarray]:
    """Weights `name/w0` [in, out] and biases `name/b0` [out], ..., one pair per gain."""
    params = {}
    for i, (rows, columns, gain) in enumerate(zip(sizes, sizes[1:], gains, strict=False)):
        params[f"{name}/w{i}"] = orthogonal(rng, rows, columns, gain)
        params[f"{name}/b{i}"] = np.zeros(columns, np.float32)
    return params


def hidden_gain(activation: str) -> float:
    return 1.0 if activation == "linear" else 2**0.5


def hidden(ops: Ops, params: Params, name: str, x: Tensor, config: ModelConfig) -> Tensor:
    """The hidden layers."""
    activate = {"tanh": ops.tanh, "relu": ops.relu, "linear": lambda y: y}[config.fcnet_activation]
    for i in range(len(config.fcnet_hiddens)):
        x = activate(x @ params[f"{name}/w{i}"] + params[f"{name}/b{i}"])
    return x


def dense(params: Params, name: str, x: Tensor, layer: int = 0) -> Tensor:
    """One layer without activation."""
    return x @ params[f"{name}/w{layer}"] + params[f"{name}/b{layer}"]


class ActorCritic:
    """A policy network and, if asked for, a value network beside it or a value head on its hidden layers."""

    def __init__(
        self, obs_size: int, num_outputs: int, config: ModelConfig, *, has_value: bool = True, share: bool = False,
        free_log_std: int = 0,
    ):  # fmt: skip
        """`free_log_std`: that many log-std parameters follow the network's own outputs (0: none)."""
        self.obs_size, self.num_outputs, self.config = obs_size, num_outputs, config
        self.has_value, self.share, self.free_log_std = has_value, share, free_log_std

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        trunk = [self.obs_size, *self.config.fcnet_hiddens]
        gains = [hidden_gain(self.config.fcnet_activation)] * len(self.config.fcnet_hiddens)
        # A small last layer starts the policy near uniform: Andrychowicz et al. 2021, https://arxiv.org/abs/2006.05990
        params = init_layers(
            rng, "pi", [*trunk, self.num_outputs - self.free_log_std], [*gains, 0.01]
        )
        if self.free_log_std:
            params["log_std"] = np.full(self.free_log_std, self.config.init_log_std, np.float32)
        if self.has_value and self.share:
            params |= init_layers(rng, "value_head", [trunk[-1], 1], [1.0])
        elif self.has_value:
            params |= init_layers(rng, "vf", [*trunk, 1], [*gains, 1.0])
        return params

    def policy(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        out = dense(
            params,
            "pi",
            hidden(ops, params, "pi", obs, self.config),
            len(self.config.fcnet_hiddens),
        )
        if not self.free_log_std:
            return out
        return ops.concat([out, out * 0.0 + params["log_std"]])

    def value(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        if self.share:
            return dense(params, "value_head", hidden(ops, params, "pi", obs, self.config))[..., 0]
        return dense(
            params,
            "vf",
            hidden(ops, params, "vf", obs, self.config),
            len(self.config.fcnet_hiddens),
        )[..., 0]


class QNetwork:
    """Q-values [B, actions]: a trunk, then `hiddens` and a head; twice where dueling, Q = V + A - mean A
    (Wang et al. 2016, https://arxiv.org/abs/1511.06581, eq. 9)."""

    has_value = False

    def __init__(
        self,
        obs_size: int,
        num_actions: int,
        config: ModelConfig,
        hiddens: tuple[int, ...],
        dueling: bool,
    ):
        self.obs_size, self.num_actions, self.config = obs_size, num_actions, config
        self.hiddens, self.dueling = hiddens, dueling

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        gain = hidden_gain(self.config.fcnet_activation)
        trunk = [self.obs_size, *self.config.fcnet_hiddens]
        params = init_layers(rng, "q", trunk, [gain] * len(self.config.fcnet_hiddens))
        for name, outputs in self._heads().items():
            sizes = [trunk[-1], *self.hiddens, outputs]
            params |= init_layers(rng, name, sizes, [2**0.5] * len(self.hiddens) + [1.0])
        return params

    def _heads(self) -> dict[str, int]:
        return (
            {"advantage": self.num_actions, "state_value": 1}
            if self.dueling
            else {"action_value": self.num_actions}
        )

    def policy(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        features = hidden(ops, params, "q", obs, self.config)
        outputs = [self._head(ops, params, name, features) for name in self._heads()]
        if not self.dueling:
            return outputs[0]
        advantage, state_value = outputs
        return state_value + advantage - ops.sum(advantage, -1)[..., None] / self.num_actions

    def _head(self, ops: Ops, params: Params, name: str, x: Tensor) -> Tensor:
        for i in range(len(self.hiddens)):
            x = ops.relu(dense(params, name, x, i))
        return dense(params, name, x, len(self.hiddens))

    def value(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        """The greedy action's value."""
        return ops.max(self.policy(ops, params, obs))
