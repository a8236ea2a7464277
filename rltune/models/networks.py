"""Networks: an encoder of observations, hidden layers, and heads. All parameters are in one flat dict."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rltune.algorithm_config import ModelConfig
from rltune.envs.spaces import ObsSpec
from rltune.frameworks.ops import Ops, Tensor
from rltune.models.encoders import make_encoder
from rltune.models.layers import Params, activation, dense, hidden_gain, init_layers


class Model(Protocol):
    """A policy network, with a value function where the algorithm has one."""

    has_value: bool

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Fresh float32 parameters by name; equal generators give equal parameters under every framework."""

    def policy(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        """What the action distribution is made of, [..., num_outputs], for obs [..., *obs.shape]."""

    def value(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        """Value estimates [...]."""


class Trunk:
    """What policy and value heads stand on: an encoder and fully connected hidden layers."""

    def __init__(self, obs: ObsSpec, config: ModelConfig):
        self.config, self.encoder = config, make_encoder(obs, config)
        self.sizes = [self.encoder.size, *config.fcnet_hiddens]
        self.layers = len(config.fcnet_hiddens)

    def init(
        self, rng: np.random.Generator, name: str, *head: tuple[int, float]
    ) -> dict[str, np.ndarray]:
        """Parameters below `name`; `head` is one more layer's size and gain, called as those of the trunk."""
        sizes = [*self.sizes, *(size for size, _ in head)]
        gains = [hidden_gain(self.config.fcnet_activation)] * self.layers
        return self.encoder.init(rng, name) | init_layers(
            rng, name, sizes, [*gains, *(gain for _, gain in head)]
        )

    def features(self, ops: Ops, params: Params, name: str, obs: Tensor) -> Tensor:
        """The last hidden layer [..., sizes[-1]]."""
        activate = activation(ops, self.config.fcnet_activation)
        x = self.encoder.encode(ops, params, name, obs)
        for i in range(self.layers):
            x = activate(dense(ops, params, name, x, i))
        return x


class ActorCritic:
    """A policy network and, if asked for, a value network beside it or a value head on its hidden layers."""

    def __init__(
        self, obs: ObsSpec, num_outputs: int, config: ModelConfig, *, has_value: bool = True, share: bool = False,
        free_log_std: int = 0,
    ):  # fmt: skip
        """`free_log_std`: that many log-std parameters follow the network's own outputs (0: none)."""
        self.trunk, self.num_outputs, self.config = Trunk(obs, config), num_outputs, config
        self.has_value, self.share, self.free_log_std = has_value, share, free_log_std

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        # A small last layer starts the policy near uniform: Andrychowicz et al. 2021, https://arxiv.org/abs/2006.05990
        params = self.trunk.init(rng, "pi", (self.num_outputs - self.free_log_std, 0.01))
        if self.free_log_std:
            params["log_std"] = np.full(self.free_log_std, self.config.init_log_std, np.float32)
        if self.has_value and self.share:
            params |= init_layers(rng, "value_head", [self.trunk.sizes[-1], 1], [1.0])
        elif self.has_value:
            params |= self.trunk.init(rng, "vf", (1, 1.0))
        return params

    def policy(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        return self._policy_head(ops, params, self.trunk.features(ops, params, "pi", obs))

    def value(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        return self._value_head(
            ops, params, self.trunk.features(ops, params, "pi" if self.share else "vf", obs)
        )

    def policy_and_value(self, ops: Ops, params: Params, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Both; layers that they share are computed once."""
        features = self.trunk.features(ops, params, "pi", obs)
        value = (
            self._value_head(ops, params, features) if self.share else self.value(ops, params, obs)
        )
        return self._policy_head(ops, params, features), value

    def _policy_head(self, ops: Ops, params: Params, features: Tensor) -> Tensor:
        out = dense(ops, params, "pi", features, self.trunk.layers)
        if not self.free_log_std:
            return out
        return ops.concat([out, out * 0.0 + params["log_std"]])

    def _value_head(self, ops: Ops, params: Params, features: Tensor) -> Tensor:
        if self.share:
            return dense(ops, params, "value_head", features)[..., 0]
        return dense(ops, params, "vf", features, self.trunk.layers)[..., 0]


class QNetwork:
    """Q-values [B, actions]: a trunk, then `hiddens` and a head; twice where dueling, Q = V + A - mean A
    (Wang et al. 2016, https://arxiv.org/abs/1511.06581, eq. 9)."""

    has_value = False

    def __init__(
        self,
        obs: ObsSpec,
        num_actions: int,
        config: ModelConfig,
        hiddens: tuple[int, ...],
        dueling: bool,
    ):
        self.trunk, self.num_actions = Trunk(obs, config), num_actions
        self.hiddens, self.dueling = hiddens, dueling

    def init(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        params = self.trunk.init(rng, "q")
        for name, outputs in self._heads().items():
            sizes = [self.trunk.sizes[-1], *self.hiddens, outputs]
            params |= init_layers(rng, name, sizes, [2**0.5] * len(self.hiddens) + [1.0])
        return params

    def _heads(self) -> dict[str, int]:
        return (
            {"advantage": self.num_actions, "state_value": 1}
            if self.dueling
            else {"action_value": self.num_actions}
        )

    def policy(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        features = self.trunk.features(ops, params, "q", obs)
        outputs = [self._head(ops, params, name, features) for name in self._heads()]
        if not self.dueling:
            return outputs[0]
        advantage, state_value = outputs
        return state_value + advantage - ops.sum(advantage, -1)[..., None] / self.num_actions

    def _head(self, ops: Ops, params: Params, name: str, x: Tensor) -> Tensor:
        for i in range(len(self.hiddens)):
            x = ops.relu(dense(ops, params, name, x, i))
        return dense(ops, params, name, x, len(self.hiddens))

    def value(self, ops: Ops, params: Params, obs: Tensor) -> Tensor:
        """The greedy action's value."""
        return ops.max(self.policy(ops, params, obs))
