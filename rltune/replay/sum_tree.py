"""A binary tree of priorities, read and written for many leaves at once.

A node is a row [sum, least] of one float64 array, so that both children of a node lie in 32 bytes that are fetched
together: what the tree costs in memory that no cache holds. The children of node i are 2i and 2i + 1, the leaves are
the upper half, padded to a power of two. An inner node is always computed from its two children, never by adding
differences, so that the tree is a function of its leaves alone: rebuilding it from saved leaves gives the same bits,
and no rounding error builds up.
"""

import numpy as np

# The tree ends below its root, at the level of this many nodes: one pass over them costs less than the levels above.
TOP = 4096


class PriorityTree:
    """`capacity` priorities, zero at first: their sum, the least that is not zero, and where a prefix sum falls."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: a tree needs at least one leaf")
        self._capacity = capacity
        self._width = 1 << (capacity - 1).bit_length()
        self._top = min(self._width, TOP)
        self._nodes = np.empty((2 * self._width, 2))
        self._nodes[:] = 0.0, np.inf
        # [i] is the left child's sum and least, then the right one's.
        self._children = self._nodes.reshape(self._width, 4)

    @property
    def leaves(self) -> np.ndarray:
        """The priorities [capacity], a view that must not be written."""
        return self._nodes[self._width : self._width + self._capacity, 0]

    @property
    def total(self) -> float:
        """The sum of all priorities."""
        return float(np.sum(self._nodes[self._top : 2 * self._top, 0]))

    @property
    def least(self) -> float:
        """The smallest priority above zero, infinity when there is none."""
        return float(np.min(self._nodes[self._top : 2 * self._top, 1]))

    def set(self, indices: np.ndarray, values: np.ndarray) -> None:
        """Write `values` [B], zero or positive, to the leaves `indices` [B]; of equal indices the last one wins."""
        nodes = indices + self._width
        self._nodes[nodes] = np.stack([values, np.where(values > 0.0, values, np.inf)], axis=-1)
        width = self._width
        while width > self._top:
            width //= 2
            if nodes.size < width:
                nodes >>= 1
                self._nodes[nodes] = _joined(self._children.take(nodes, axis=0))
            else:  # as many nodes as the level is wide: all of it, which needs no index
                self._nodes[width : 2 * width] = _joined(self._children[width : 2 * width])

    def find(self, prefixes: np.ndarray) -> np.ndarray:
        """The leaves i [B] with sum(leaves[:i]) <= prefix < sum(leaves[:i + 1]).

        `prefixes` [B] lie in [0, total). A leaf of zero is never returned, whatever the rounding,
        as long as the total is positive.
        """
        width = self._top
        bounds = np.zeros(width + 1)
        ends = np.cumsum(self._nodes[width : 2 * width, 0], out=bounds[1:])
        rest = np.minimum(prefixes, np.nextafter(ends[-1], 0.0))
        nodes: np.ndarray = np.searchsorted(ends, rest, side="right")
        rest -= bounds.take(nodes)
        nodes += width
        while width < self._width:
            width *= 2
            children = self._children.take(nodes, axis=0)
            left, right = children[:, 0], children[:, 2]
            # Where a sum was rounded up, the rest may reach the sum of the right child; the check
            # keeps it from running on into leaves of zero.
            goes_right = (rest >= left) & (right > 0.0)
            rest -= left * goes_right
            nodes *= 2
            nodes += goes_right
        return nodes - width


def _joined(children: np.ndarray) -> np.ndarray:
    """The nodes [B, 2] over `children` [B, 4]."""
    nodes = np.empty((len(children), 2))
    np.add(children[:, 0], children[:, 2], out=nodes[:, 0])
    np.minimum(children[:, 1], children[:, 3], out=nodes[:, 1])
    return nodes
