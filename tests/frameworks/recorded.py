"""What stands in for a CUDA graph where there is no GPU: operations of torch, recorded once and run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SYNCHRONISES = {"_local_scalar_dense", "nonzero", "_unique2", "masked_select"}
"""Operations whose result the CPU waits for: a capture fails at them."""


def recorded(step: Callable[[], None]) -> Callable[[], None]:
    """As a CUDA graph does: runs `step`, then records it, and afterwards runs the same operations on the same tensors,
    written to the same places, without its Python. Numbers that were no tensors stay what they were.
    """
    step()
    with _Recorder() as recorder:
        step()
    return recorder.replay


class _Recorder(TorchDispatchMode):
    """Everything that runs while it is entered, backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in SYNCHRONISES, f"{name} cannot be captured"
        result = func(*args, **(kwargs or {}))
        if name != "detach" and not func.is_view:
            self.calls.append((func, args, kwargs or {}, _tensors(result)))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, places in self.calls:
            again = _tensors(func(*args, **kwargs))
            for place, tensor in zip(places, again, strict=True):
                if place.data_ptr() != tensor.data_ptr():  # the others were written in place
                    place.copy_(tensor)


def _tensors(result: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
