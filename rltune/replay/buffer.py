"""A ring of single environment steps whose n-step returns are computed when sampled."""

from typing import Any

import numpy as np

REQUIRED = ("obs", "actions", "rewards", "terminateds", "truncateds", "new_obs", "valid")
FLAGS = ("terminateds", "truncateds", "valid")
# Read along the whole n-step window; every other column is returned as of the window's first row.
WINDOWED = ("rewards", "new_obs", *FLAGS)


class ReplayBuffer:
    """The last `capacity` steps of N environments, kept as columns [L, N, ...], L = capacity // N.

    A row's index is `time * N + env`, with time the place in the ring. Storage is allocated by the
    first `add` in the dtypes that it brings (uint8 stays uint8); the operating system commits the
    memory as rows are written. `rng` (from `numpy.random.default_rng`) belongs to the buffer.
    `len(buffer)` counts the valid rows.
    """

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: a replay buffer holds at least one row")
        self.capacity = capacity
        self._rng = rng
        self._clear()

    def _clear(self) -> None:
        self._columns: dict[str, np.ndarray] = {}
        self._linked = np.zeros((0, 0), bool)
        self._cursor = 0  # the time that is written next; once the ring is full, the oldest
        self._times = 0  # times written so far, at most L
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, fragment: dict[str, np.ndarray], starts: np.ndarray | None = None) -> np.ndarray:
        """Append T steps of every environment, over the oldest ones; return the indices written.

        `fragment` holds the columns [T, N, ...] named in `REQUIRED` and any others. `new_obs` is
        the true next observation of its row. Rows whose `valid` is False (the reset that follows
        an ended episode) keep their place but are never sampled nor summed.
        `starts` [N]: True where the fragment does not go on from the environment's previous row
        (a lost worker, a restored environment); no n-step return crosses such a cut.

        Raises ValueError if columns, shapes or dtypes do not fit those of the first fragment.
        """
        if not self._columns:
            self._allocate(fragment)
        self._check(fragment)
        length, num_envs = self._linked.shape
        linked = self._links(fragment, starts)[-length:]
        steps = len(linked)
        times = (self._cursor + np.arange(steps)) % length

        valid = fragment["valid"][-length:]
        self._count += int(np.sum(valid)) - int(np.sum(self._columns["valid"][times]))
        for name, column in self._columns.items():
            column[times] = fragment[name][-length:]
        self._linked[times] = linked
        self._cursor = int(self._cursor + steps) % length
        self._times = min(length, self._times + steps)
        self._linked[self._cursor] = False  # the oldest time: what came before it is overwritten
        return (times[:, None] * num_envs + np.arange(num_envs)).ravel()

    def _allocate(self, fragment: dict[str, np.ndarray]) -> None:
        missing = [name for name in REQUIRED if name not in fragment]
        if missing:
            raise ValueError(f"the fragment lacks the columns {missing}: it has {list(fragment)}")
        num_envs = fragment["valid"].shape[1]
        length = self.capacity // num_envs
        if length == 0:
            raise ValueError(
                f"capacity {self.capacity} is below the {num_envs} environments: "
                "a replay buffer needs at least one row for each"
            )
        self._columns = {
            name: np.zeros(
                (length, num_envs, *column.shape[2:]), bool if name in FLAGS else column.dtype
            )
            for name, column in fragment.items()
        }
        self._linked = np.zeros((length, num_envs), bool)

    def _check(self, fragment: dict[str, np.ndarray]) -> None:
        if fragment.keys() != self._columns.keys():
            raise ValueError(
                f"the fragment has the columns {sorted(fragment)}, "
                f"the buffer {sorted(self._columns)}: they must be the same"
            )
        steps = len(fragment["valid"])
        for name, column in fragment.items():
            stored = self._columns[name]
            shape = (steps, *stored.shape[1:])
            if column.shape != shape or not np.can_cast(column.dtype, stored.dtype, "same_kind"):
                raise ValueError(
                    f"column {name!r} is {column.dtype}{list(column.shape)}, "
                    f"the buffer expects {stored.dtype}{list(shape)}"
                )

    def _links(self, fragment: dict[str, np.ndarray], starts: np.ndarray | None) -> np.ndarray:
        """[T, N]: True where a row goes on with the episode of the row before it."""
        linked = np.array(fragment["valid"], bool)
        ended = fragment["terminateds"] | fragment["truncateds"]
        linked[1:] &= ~ended[:-1]
        newest = self._cursor - 1
        linked[:1] &= ~self._columns["terminateds"][newest]
        linked[:1] &= ~self._columns["truncateds"][newest]
        if starts is not None:
            linked[:1] &= ~starts
        return linked

    def sample(
        self, num_batches: int, batch_size: int, n_step: int, gamma: float
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draw valid rows uniformly, with replacement: columns [num_batches * batch_size, ...].

        Returns the columns of `gather`, `weights` (ones) and the rows' indices.
        Raises ValueError if the buffer holds no valid row.
        """
        if len(self) == 0:
            raise ValueError("the replay buffer holds no valid row: add some before sampling")
        indices = self._draw(num_batches, batch_size)
        columns = self.gather(indices, n_step, gamma)
        columns["weights"] = np.ones(len(indices), np.float32)
        return columns, indices

    def _draw(self, num_batches: int, batch_size: int) -> np.ndarray:
        rows = self._times * self._linked.shape[1]
        valid = self._columns["valid"].reshape(-1)
        indices = self._rng.integers(rows, size=num_batches * batch_size)
        if len(self) < rows:
            while (missed := np.flatnonzero(~valid.take(indices))).size:
                indices[missed] = self._rng.integers(rows, size=missed.size)
        return indices

    def gather(self, indices: np.ndarray, n_step: int, gamma: float) -> dict[str, np.ndarray]:
        """The n-step transitions that begin at `indices` [B], as columns [B, ...].

        A window ends after `n_step` rows, with its episode (terminated or truncated), before a cut
        or at the newest row: m rows. `rewards` is sum_k gamma^k r_k over them, `new_obs` that of
        the last one, `discounts` gamma^m, or 0 if the last one terminated; a truncated episode
        bootstraps. The target is `rewards + discounts * V(new_obs)`.
        """
        flat = {
            name: column.reshape(-1, *column.shape[2:]) for name, column in self._columns.items()
        }
        linked = self._linked.reshape(-1)
        num_envs = self._linked.shape[1]
        powers = gamma ** np.arange(n_step + 1)

        # `take` copies whole rows, in less than half the time of an index in brackets.
        rewards = flat["rewards"].take(indices).astype(np.float64)
        last, used = indices, np.ones(len(indices), np.int64)
        going, following = np.ones(len(indices), bool), indices
        for k in range(1, n_step):
            following = (following + num_envs) % linked.size
            going &= linked.take(following)
            rewards += np.where(going, powers[k] * flat["rewards"].take(following), 0.0)
            last = np.where(going, following, last)
            used += going
        terminated = flat["terminateds"].take(last)

        columns = {name: flat[name].take(indices, 0) for name in flat if name not in WINDOWED}
        columns["rewards"] = rewards.astype(np.float32)
        columns["new_obs"] = flat["new_obs"].take(last, 0)
        columns["discounts"] = np.where(terminated, 0.0, powers.take(used)).astype(np.float32)
        return columns

    def get_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that exact continuation needs: named arrays, and the rest as JSON values.

        The arrays are read-only views of the written rows: store them before the next `add`.
        """
        arrays = {f"columns/{name}": column for name, column in self._columns.items()}
        arrays["linked"] = self._linked
        arrays = {name: array[: self._times] for name, array in arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        meta = {
            "capacity": self.capacity,
            "cursor": self._cursor,
            "times": self._times,
            "rng": self._rng.bit_generator.state,
        }
        return arrays, meta

    def set_state(self, state: tuple[dict[str, np.ndarray], dict[str, Any]]) -> None:
        """Become the buffer that `get_state` described.

        Raises ValueError if that one had another capacity.
        """
        arrays, meta = state
        if meta["capacity"] != self.capacity:
            raise ValueError(
                f"the saved replay buffer has capacity {meta['capacity']}, this one "
                f"{self.capacity}: restore it with the capacity that it was saved with"
            )
        self._clear()
        saved = _columns_of(arrays)
        self._cursor, self._times = meta["cursor"], meta["times"]
        if saved:
            self._allocate(saved)
            for name, array in saved.items():
                self._columns[name][: self._times] = array
            self._linked[: self._times] = arrays["linked"]
            self._count = int(np.sum(saved["valid"]))
        self._rng.bit_generator.state = meta["rng"]

    def inherit(self, state: tuple[dict[str, np.ndarray], dict[str, Any]]) -> np.ndarray:
        """Take over the newest rows of another buffer that fit here; the generator stays this one's.

        Episodes that went on there do not go on here: their last rows count as truncated.
        Returns the times, in that buffer's ring, of the rows taken.
        """
        arrays, meta = state
        self._clear()
        saved, times = _columns_of(arrays), meta["times"]
        if not times:
            return np.arange(0)
        self._allocate(saved)
        oldest_first: np.ndarray = (meta["cursor"] + np.arange(times)) % times
        taken = oldest_first[-len(self._linked) :]
        self._times = len(taken)
        self._cursor = self._times % len(self._linked)
        for name, array in saved.items():
            self._columns[name][: self._times] = array[taken]
        self._linked[: self._times] = arrays["linked"][taken]
        self._linked[0] = False  # what came before it is not here
        newest = self._times - 1
        self._columns["truncateds"][newest] |= ~self._columns["terminateds"][newest]
        self._count = int(np.sum(self._columns["valid"]))
        return taken


def _columns_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns among the arrays of a state."""
    prefix = "columns/"
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
