"""Running statistics that normalise observations and rewards.

What is applied is frozen between synchronisations: values are gathered in a delta, the deltas of
all workers are merged in a fixed order, and every worker then applies the same statistics.
"""

from __future__ import annotations

import numpy as np

CLIP = 10.0
EPSILON = 1e-8


class Moments:
    """Count, mean and sum of squared deviations (`m2`) of vectors, in float64.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979.
    """

    def __init__(self, size: int) -> None:
        self.count = 0.0
        self.mean = np.zeros(size)
        self.m2 = np.zeros(size)

    def update(self, values: np.ndarray) -> None:
        """Takes in the rows of `values`, [n, size]."""
        if len(values):
            values = values.astype(np.float64)
            mean = values.mean(axis=0)
            self._combine(len(values), mean, np.square(values - mean).sum(axis=0))

    def merge(self, other: dict[str, np.ndarray]) -> None:
        """Takes in the `state` of other moments."""
        if other["count"] > 0:
            self._combine(float(other["count"]), other["mean"], other["m2"])

    def _combine(self, count: float, mean: np.ndarray, m2: np.ndarray) -> None:
        total = self.count + count
        difference = mean - self.mean
        self.mean = self.mean + difference * (count / total)
        self.m2 = self.m2 + m2 + np.square(difference) * (self.count * count / total)
        self.count = total

    def std(self) -> np.ndarray:
        """The population's standard deviation, [size]; count must not be 0."""
        return np.sqrt(self.m2 / self.count)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of the three, as arrays."""
        return {"count": np.array(self.count), "mean": self.mean.copy(), "m2": self.m2.copy()}

    def load(self, state: dict[str, np.ndarray]) -> None:
        """The inverse of `state`."""
        self.count = float(state["count"])
        self.mean = np.array(state["mean"], np.float64)
        self.m2 = np.array(state["m2"], np.float64)


class NoFilter:
    """Observations as they are; same methods as `MeanStdFilter`."""

    def apply(self, obs: np.ndarray) -> np.ndarray:
        """Returns `obs` itself."""
        return obs

    def observe(self, obs: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Gathers nothing."""

    def pop_delta(self) -> dict[str, np.ndarray]:
        """An empty delta."""
        return {}

    def merge(self, deltas: list[dict[str, np.ndarray]]) -> None:
        """Does nothing."""

    def get_state(self) -> dict[str, np.ndarray]:
        """An empty state."""
        return {}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Does nothing."""


class _Statistics:
    """What both normalisers share: applied statistics, and the delta that waits to be merged."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._applied = Moments(size)
        self._delta = Moments(size)

    def pop_delta(self) -> dict[str, np.ndarray]:
        """What was observed since the last call: count, mean, m2."""
        delta = self._delta.state()
        self._delta = Moments(self._size)
        return delta

    def merge(self, deltas: list[dict[str, np.ndarray]]) -> None:
        """Takes deltas into the applied statistics; the order decides the last bits."""
        for delta in deltas:
            self._applied.merge(delta)
        self._refresh()

    def get_state(self) -> dict[str, np.ndarray]:
        """The applied statistics and the waiting delta, as arrays."""
        parts = {"": self._applied, "delta_": self._delta}
        return {p + key: value for p, m in parts.items() for key, value in m.state().items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """The inverse of `get_state`."""
        self._applied.load(state)
        self._delta.load({key: state[f"delta_{key}"] for key in ("count", "mean", "m2")})
        self._refresh()

    def _refresh(self) -> None:
        """Called when the applied statistics have changed."""


class MeanStdFilter(_Statistics):
    """Maps observations to (obs - mean) / (std + 1e-8), clipped to [-10, 10], float32.

    The identity until the first merge with observations in it.
    """

    def _refresh(self) -> None:
        if self._applied.count > 0:
            self._mean = self._applied.mean.astype(np.float32)
            self._scale = (1.0 / (self._applied.std() + EPSILON)).astype(np.float32)

    def apply(self, obs: np.ndarray) -> np.ndarray:
        """Normalises [..., size]; a new array, `obs` itself while there are no statistics."""
        if self._applied.count == 0:
            return obs
        normalised = (obs - self._mean) * self._scale
        return np.clip(normalised, -CLIP, CLIP, out=normalised)

    def observe(self, obs: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Gathers the rows of `obs` [..., size] where `mask` [...] is true (all without a mask)."""
        rows = obs.reshape(-1, self._size) if mask is None else obs[mask]
        self._delta.update(rows)


class RewardNormalizer(_Statistics):
    """Divides rewards by the standard deviation of the running discounted return.

    The quotient is clipped to [-10, 10]; rewards are not centred. The identity until the first
    merge. As VecNormalize of Stable-Baselines3 does.
    """

    def __init__(self, num_envs: int, gamma: float) -> None:
        super().__init__(1)
        self.gamma = gamma
        self._returns = np.zeros(num_envs)

    def apply(self, rewards: np.ndarray) -> np.ndarray:
        """Normalises rewards of any shape; a new array, `rewards` itself without statistics."""
        if self._applied.count == 0:
            return rewards
        scale = 1.0 / np.sqrt(np.square(self._applied.std()[0]) + EPSILON)
        return np.clip(rewards * np.float32(scale), -CLIP, CLIP)

    def observe(
        self, rewards: np.ndarray, dones: np.ndarray, valid: np.ndarray | None = None
    ) -> None:
        """Gathers the discounted returns along rewards [T, N].

        A return starts again after a row of `dones` [T, N]; rows that are not `valid` [T, N] are
        no transitions and change nothing.
        """
        valid = np.ones(rewards.shape, bool) if valid is None else valid
        returns = np.empty(rewards.shape)
        running = self._returns
        for t in range(len(rewards)):
            returns[t] = running * self.gamma + rewards[t]
            running = np.where(valid[t], np.where(dones[t], 0.0, returns[t]), running)
        self._returns = running
        self._delta.update(returns[valid][:, None])

    def get_returns(self) -> np.ndarray:
        """The running returns [N]: they belong to the environments, so no state carries them."""
        return self._returns.copy()

    def set_returns(self, returns: np.ndarray) -> None:
        """The inverse of `get_returns`."""
        self._returns = np.array(returns, np.float64)
