"""The closed list of operations that models, distributions, losses and the optimiser are written in.

`+ - * /`, comparisons and indexing are the tensors' own. Every binding has exactly these names.
"""

from __future__ import annotations

from typing import Any, Protocol

Tensor = Any
"""A tensor of whatever framework the ops belong to."""

OPS = (
    "matmul exp log tanh relu sqrt square abs minimum maximum clip where "
    "sum mean max log_softmax softplus gather one_hot "
    "stop_gradient concat reshape split cast_float conv2d"
).split()


class Ops(Protocol):
    """What a binding offers. `axis` is always the last one where none is named."""

    def matmul(self, x: Tensor, w: Tensor) -> Tensor:
        """x [..., n] times w [n, m]."""

    def exp(self, x: Tensor) -> Tensor: ...
    def log(self, x: Tensor) -> Tensor: ...
    def tanh(self, x: Tensor) -> Tensor: ...
    def relu(self, x: Tensor) -> Tensor: ...
    def sqrt(self, x: Tensor) -> Tensor: ...
    def square(self, x: Tensor) -> Tensor: ...
    def abs(self, x: Tensor) -> Tensor: ...

    def minimum(self, x: Tensor, y: Tensor | float) -> Tensor:
        """Elementwise; `y` may be a number."""

    def maximum(self, x: Tensor, y: Tensor | float) -> Tensor:
        """Elementwise; `y` may be a number."""

    def clip(self, x: Tensor, low: float, high: float) -> Tensor: ...

    def where(self, condition: Tensor, x: Tensor, y: Tensor) -> Tensor: ...

    def sum(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Over one axis, or everything."""

    def mean(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Over all rows [B], or over those whose mask is 1."""

    def max(self, x: Tensor) -> Tensor:
        """Largest along the last axis."""

    def log_softmax(self, x: Tensor) -> Tensor: ...
    def softplus(self, x: Tensor) -> Tensor: ...

    def gather(self, x: Tensor, index: Tensor) -> Tensor:
        """x[i, index[i]] for x [B, n] and whole numbers index [B]."""

    def one_hot(self, index: Tensor, size: int) -> Tensor: ...
    def stop_gradient(self, x: Tensor) -> Tensor: ...
    def concat(self, xs: list[Tensor]) -> Tensor: ...
    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor: ...

    def split(self, x: Tensor, sizes: list[int]) -> list[Tensor]:
        """Consecutive parts of the last axis."""

    def cast_float(self, x: Tensor) -> Tensor: ...

    def conv2d(self, x: Tensor, w: Tensor, stride: int, same: bool) -> Tensor:
        """Images x [B, height, width, channels] convolved with w [height, width, channels, outputs].

        `same`: zeros around the image keep ceil(size / stride) places, an odd one comes last (TensorFlow's SAME); else
        the kernel stays within it (VALID).
        """
