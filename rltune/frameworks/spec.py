"""Parameters as one flat vector: an ordered list of names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from rltune.frameworks import _numpy
from rltune.frameworks.ops import Ops


@dataclass(frozen=True)
class ParamSpec:
    """Names and shapes in storage order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, params: Mapping[str, np.ndarray]) -> ParamSpec:
        return cls(tuple(params), tuple(p.shape for p in params.values()))

    @property
    def sizes(self) -> list[int]:
        return [prod(shape) for shape in self.shapes]

    def pack(self, params: Mapping[str, np.ndarray]) -> np.ndarray:
        """One float32 vector; raises ValueError when names or shapes differ."""
        given = {name: np.shape(p) for name, p in params.items()}
        expected = dict(zip(self.names, self.shapes, strict=True))
        if given != expected:
            wrong = sorted(
                n for n in given.keys() | expected.keys() if given.get(n) != expected.get(n)
            )
            raise ValueError(f"parameters do not fit the model: {', '.join(wrong)}")
        return np.concatenate([np.ravel(params[name]) for name in self.names]).astype(np.float32)

    def unpack(self, flat: Any, ops: Ops = _numpy) -> dict[str, Any]:
        """Name to array (or tensor of the framework that `ops` belong to): views of `flat` where that can be."""
        parts = ops.split(flat, self.sizes)
        return {
            name: ops.reshape(part, shape)
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }
