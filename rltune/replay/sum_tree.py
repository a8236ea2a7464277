"""Binary trees over a row of numbers, read and written for many leaves at once.

A tree is one float64 array: the root at 1, the children of node i at 2i and 2i + 1, the leaves in
the upper half, padded to a power of two. An inner node is always computed from its two children,
never by adding differences, so that the tree is a function of its leaves alone: rebuilding it from
saved leaves gives the same bits, and no rounding error builds up.
"""

import numpy as np

# `find` enters the tree at the level of this many nodes: one search in their cumulative sums costs
# less than the walk down to them.
COARSE = 1024


class SegmentTree:
    """`capacity` leaves and, at the root, their reduction by `ufunc`, whose identity fills them."""

    def __init__(self, capacity: int, ufunc: np.ufunc, identity: float) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: a tree needs at least one leaf")
        self._capacity = capacity
        self._ufunc = ufunc
        self._width = 1 << (capacity - 1).bit_length()
        self._tree = np.full(2 * self._width, identity)

    @property
    def leaves(self) -> np.ndarray:
        """The values [capacity], a view that must not be written."""
        return self._tree[self._width : self._width + self._capacity]

    @property
    def root(self) -> float:
        """All leaves reduced to one number."""
        return float(self._tree[1])

    def set(self, indices: np.ndarray, values: np.ndarray | float) -> None:
        """Write `values` [B] to the leaves `indices` [B]; of equal indices the last one wins."""
        tree = self._tree
        nodes = indices + self._width
        tree[nodes] = values
        width = self._width
        while width > 1:
            width //= 2
            if nodes.size < width:
                nodes = nodes >> 1
                left = 2 * nodes
                tree[nodes] = self._ufunc(tree[left], tree[left + 1])
            else:  # as many nodes as the level is wide: all of it, which needs no index
                children = tree[2 * width : 4 * width]
                self._ufunc(children[::2], children[1::2], out=tree[width : 2 * width])


class SumTree(SegmentTree):
    """Sums of leaves that are zero or positive; finds the leaf in which a prefix sum falls."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, np.add, 0.0)

    @property
    def total(self) -> float:
        """The sum of all leaves."""
        return self.root

    def find(self, prefixes: np.ndarray) -> np.ndarray:
        """The leaves i [B] with sum(leaves[:i]) <= prefix < sum(leaves[:i + 1]).

        `prefixes` [B] lie in [0, total). A leaf of zero is never returned, whatever the rounding,
        as long as the total is positive.
        """
        tree = self._tree
        width = min(self._width, COARSE)
        sums = tree[width : 2 * width]
        ends = np.cumsum(sums)
        rest = np.minimum(prefixes, np.nextafter(ends[-1], 0.0))
        nodes: np.ndarray = np.searchsorted(ends, rest, side="right")
        rest -= np.concatenate([[0.0], ends[:-1]])[nodes]
        nodes += width
        while width < self._width:
            width *= 2
            nodes *= 2
            left = tree[nodes]
            # Where a sum was rounded up, the rest may reach the sum of the right child; the check
            # keeps it from running on into leaves of zero.
            goes_right = (rest >= left) & (tree[nodes + 1] > 0.0)
            rest -= left * goes_right
            nodes += goes_right
        return nodes - width


class MinTree(SegmentTree):
    """The least of all leaves; a leaf that should not count holds infinity."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, np.minimum, np.inf)

    @property
    def minimum(self) -> float:
        """The smallest leaf, infinity when none was set."""
        return self.root
