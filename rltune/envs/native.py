"""Vector implementations that an environment brings itself (`vector_entry_point` of its spec)."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from rltune.envs.batching import copy_batch, write_row
from rltune.envs.vector_env import SeedStream, Step, VectorEnv


class GymnasiumVectorEnv(VectorEnv):
    """Any Gymnasium vector environment, in its own autoreset mode.

    NEXT_STEP: the row after the end of an episode carries only the reset and is marked not valid.
    SAME_STEP: the last observation comes from the infos. DISABLED: ended rows are reset by mask.
    One seed serves all N environments, so results depend on how they are grouped, and their state
    cannot be saved: `set_state` begins new episodes.
    """

    def __init__(self, env: gymnasium.vector.VectorEnv, sequence: np.random.SeedSequence) -> None:
        self._env = env
        self.num_envs = env.num_envs
        self.single_observation_space = env.single_observation_space
        self.single_action_space = env.single_action_space
        self._mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self._stream = SeedStream(sequence)
        self._resetting = np.zeros(self.num_envs, bool)

    def reset(self) -> Any:
        """Starts a new episode in every environment; returns their first observations, [N, ...]."""
        obs, _ = self._env.reset(seed=self._stream.next())
        self._resetting = np.zeros(self.num_envs, bool)
        self.obs = _own(obs)
        return self.obs

    def step(self, actions: np.ndarray) -> Step:
        """Steps all rows; see the class for rows that ended."""
        raw, rewards, terminateds, truncateds, infos = self._env.step(actions)
        obs = final_obs = _own(raw)
        terminateds, truncateds = np.array(terminateds, bool), np.array(truncateds, bool)
        valid, ended = ~self._resetting, terminateds | truncateds
        if self._mode is AutoresetMode.NEXT_STEP:
            self._resetting = ended
        elif ended.any() and self._mode is AutoresetMode.SAME_STEP:
            final_obs = copy_batch(obs)
            for index in np.flatnonzero(ended).tolist():
                write_row(final_obs, index, infos["final_obs"][index])
        elif ended.any():
            obs = _own(self._env.reset(options={"reset_mask": ended})[0])
        self.obs = obs
        rewards = np.where(valid, rewards, 0.0).astype(np.float32)
        return Step(obs, rewards, terminateds, truncateds, final_obs, valid)

    def get_state(self) -> dict[str, Any]:
        """The seed stream."""
        return {"kind": "gymnasium", "stream": self._stream.get_state()}

    def set_state(self, state: dict[str, Any]) -> bool:
        """Begins new episodes with seeds that the saved run had not used; returns False."""
        if state.get("kind") == "gymnasium":
            self._stream.set_state(state["stream"])
        self.restored = np.zeros(self.num_envs, bool)
        self.reset()
        return False

    def close(self) -> None:
        """Closes the vector environment."""
        self._env.close()


class RowResetVectorEnv(VectorEnv):
    """A vector environment with arrays `state [k, N]`, `steps [N]`, `prev_done [N]`.

    Such as Gymnasium's CartPoleVectorEnv. Ended rows are reset here, within the same step, each
    from its own stream of episode seeds, by an environment of one row: no row is spent on an
    autoreset, an episode is the one that the same seed gives in a single environment, and results
    do not depend on how environments are grouped. The state is saved and restored exactly.
    """

    def __init__(
        self,
        env: gymnasium.vector.VectorEnv,
        nursery: gymnasium.vector.VectorEnv,
        sequences: list[np.random.SeedSequence],
    ) -> None:
        self._env: Any = env
        self._nursery: Any = nursery
        self.num_envs = env.num_envs
        self.single_observation_space = env.single_observation_space
        self.single_action_space = env.single_action_space
        self._streams = [SeedStream(sequence) for sequence in sequences]
        env.action_space = _AcceptsAll()
        self._valid = np.ones(self.num_envs, bool)
        self._valid.setflags(write=False)  # one array serves every step

    @staticmethod
    def fits(env: Any) -> bool:
        """Whether the environment (already reset once) has the arrays that this class needs."""
        arrays = [getattr(env, name, None) for name in ("state", "steps", "prev_done")]
        shapes = [array.shape for array in arrays if isinstance(array, np.ndarray)]
        row_shape = (env.num_envs,)
        arrays_fit = len(shapes) == 3 and shapes == [
            (*shapes[0][:1], *row_shape),
            row_shape,
            row_shape,
        ]
        return arrays_fit and env.metadata.get("autoreset_mode") is AutoresetMode.NEXT_STEP

    def reset(self) -> np.ndarray:
        """Starts a new episode in every environment; returns their first observations, [N, ...]."""
        obs = np.array(self._env.reset(seed=0)[0])
        self._reset_rows(obs, range(self.num_envs))
        self.obs = obs
        return obs

    def _reset_rows(self, obs: np.ndarray, rows: Any) -> None:
        env, nursery = self._env, self._nursery
        for row in rows:
            first, _ = nursery.reset(seed=self._streams[row].next())
            env.state[:, row] = nursery.state[:, 0]
            obs[row] = first[0]
        env.steps[rows] = 0
        env.prev_done[rows] = False

    def step(self, actions: np.ndarray) -> Step:
        """Steps all rows at once; all are valid."""
        raw, rewards, terminateds, truncateds, _ = self._env.step(actions)
        obs = final_obs = np.array(raw)
        terminateds, truncateds = np.array(terminateds, bool), np.array(truncateds, bool)
        ended = (terminateds | truncateds).nonzero()[0]
        if len(ended):
            final_obs = obs.copy()
            self._reset_rows(obs, ended)
        self.obs = obs
        rewards = np.array(rewards, np.float32)
        return Step(obs, rewards, terminateds, truncateds, final_obs, self._valid)

    def get_state(self) -> dict[str, Any]:
        """The environment's arrays and the seed streams."""
        return {
            "kind": "row_reset",
            "streams": [stream.get_state() for stream in self._streams],
            "state": self._env.state.copy(),
            "steps": self._env.steps.copy(),
            "obs": self.obs.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> bool:
        """Puts the arrays back; begins new episodes if they are of another kind or size."""
        exact = state.get("kind") == "row_reset" and len(state["streams"]) == self.num_envs
        self.restored = np.full(self.num_envs, exact)
        self.reset()
        if exact:
            for stream, saved in zip(self._streams, state["streams"], strict=True):
                stream.set_state(saved)
            self._env.state[:] = state["state"]
            self._env.steps[:] = state["steps"]
            self.obs = np.array(state["obs"])
        return exact

    def close(self) -> None:
        """Closes the vector environment."""
        self._env.close()
        self._nursery.close()


class _AcceptsAll(gymnasium.Space[Any]):
    """Stands in for the batched action space: CartPoleVectorEnv checks it in every step.

    That check is a fifth of its step, and actions come from a policy made for the space.
    """

    def contains(self, x: Any) -> bool:
        return True


def _own(batch: Any) -> Any:
    """Numpy arrays that the environment will not write again."""
    if isinstance(batch, dict):
        return {key: _own(child) for key, child in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_own(child) for child in batch)
    return np.array(batch)
