"""Convolution as one matrix product, for frameworks whose own is slow or that have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rltune.frameworks.ops import Tensor


class Axis(NamedTuple):
    """A convolution along one axis: `size` outputs, and zeros before and after."""

    size: int
    before: int
    after: int

    @classmethod
    def of(cls, size: int, kernel: int, stride: int, same: bool) -> Axis:
        """Where `same`, ceil(size / stride) outputs, an odd zero at the end; else those that need no zeros."""
        if not same:
            return cls((size - kernel) // stride + 1, 0, 0)
        outputs = -(-size // stride)
        zeros = max((outputs - 1) * stride + kernel - size, 0)
        return cls(outputs, zeros // 2, zeros - zeros // 2)


def conv2d(
    x: Tensor, w: Tensor, stride: int, same: bool, *, pad: Callable[..., Tensor], transpose: Callable[..., Tensor],
    reshape: Callable[..., Tensor], concat: Callable[[list[Tensor]], Tensor],
) -> Tensor:  # fmt: skip
    """`Ops.conv2d` from operations as numpy has them.

    Squares of stride x stride pixels become the channels of one; on those the stride is 1, and the kernel's few
    positions are slices side by side, which one product takes together.
    """
    kernel, channels, s = w.shape[:2], w.shape[2], stride
    axes = [Axis.of(x.shape[i + 1], kernel[i], s, same) for i in (0, 1)]
    squares = [-(-k // s) for k in kernel]  # that the kernel spans
    spans = [axis.size - 1 + n for axis, n in zip(axes, squares, strict=True)]
    after = [
        max(spans[i] * s - x.shape[i + 1] - axis.before, axis.after) for i, axis in enumerate(axes)
    ]
    x = pad(x, ((0, 0), *((a.before, n) for a, n in zip(axes, after, strict=True)), (0, 0)))
    x = x[:, : spans[0] * s, : spans[1] * s]
    x = reshape(x, (-1, spans[0], s, spans[1], s, channels))
    x = reshape(transpose(x, (0, 1, 3, 2, 4, 5)), (-1, *spans, s * s * channels))
    w = pad(w, (*((0, n * s - k) for n, k in zip(squares, kernel, strict=True)), (0, 0), (0, 0)))
    w = reshape(w, (squares[0], s, squares[1], s, channels, -1))
    w = reshape(
        transpose(w, (0, 2, 1, 3, 4, 5)), (squares[0] * squares[1] * s * s * channels, w.shape[-1])
    )
    height, width = axes[0].size, axes[1].size
    patches = concat(
        [x[:, i : i + height, j : j + width] for i in range(squares[0]) for j in range(squares[1])]
    )
    return patches @ w
