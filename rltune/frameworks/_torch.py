"""torch: the operations and a lean eager update loop on one flat parameter vector."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as functional

from rltune.frameworks.adam import adam, clip_by_norm
from rltune.frameworks.ops import Ops, Tensor
from rltune.frameworks.updater import UpdaterSettings

exp, log, tanh, relu, sqrt, square, abs = (
    torch.exp, torch.log, torch.tanh, torch.relu, torch.sqrt, torch.square, torch.abs,
)  # fmt: skip
clip, where, softplus = torch.clamp, torch.where, functional.softplus


def minimum(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.minimum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, max=y)


def maximum(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.maximum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, min=y)


def sum(x: Tensor, axis: int | None = None) -> Tensor:
    return torch.sum(x) if axis is None else torch.sum(x, axis)


def mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    return torch.mean(x) if mask is None else torch.sum(x * mask) / torch.sum(mask)


def max(x: Tensor) -> Tensor:
    return torch.amax(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    return torch.log_softmax(x, -1)


def gather(x: Tensor, index: Tensor) -> Tensor:
    return torch.gather(x, -1, index.unsqueeze(-1)).squeeze(-1)


def one_hot(index: Tensor, size: int) -> Tensor:
    return functional.one_hot(index, size).float()


def stop_gradient(x: Tensor) -> Tensor:
    return x.detach()


def concat(xs: list[Tensor]) -> Tensor:
    return torch.cat(xs, -1)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.reshape(x, shape)


def split(x: Tensor, sizes: list[int]) -> list[Tensor]:
    return list(torch.split(x, sizes, -1))


def cast_float(x: Tensor) -> Tensor:
    return x.float()


def has_gpu() -> bool:
    return bool(torch.cuda.is_available())


OPS: Ops = sys.modules[__name__]


def make_updater(settings: UpdaterSettings) -> TorchUpdater:
    return TorchUpdater(settings)


class TorchUpdater:
    """See `rltune.frameworks.updater.Updater`."""

    def __init__(self, settings: UpdaterSettings):
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self._device = torch.device(settings.device)
        size = int(np.sum(settings.spec.sizes))
        self._theta, self._m, self._v, self._target = (
            torch.zeros(size, device=self._device) for _ in range(4)
        )
        self._t = 0

    def update(
        self,
        batch: Mapping[str, np.ndarray],
        index: np.ndarray,
        coeffs: Mapping[str, float | np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        tensors = {name: self._tensor(column) for name, column in batch.items()}
        constants = {k: c for k, c in coeffs.items() if not isinstance(c, np.ndarray)}
        varying = {k: c.tolist() for k, c in coeffs.items() if isinstance(c, np.ndarray)}
        kept = [row[row >= 0] for row in index] if (index < 0).any() else list(index)
        stats: list[Tensor] = []
        rows: dict[str, list[Tensor]] = {}
        names: list[str] = []
        for step, order in enumerate(kept):
            chosen = torch.from_numpy(order).to(self._device, torch.int64)
            minibatch = {name: column.index_select(0, chosen) for name, column in tensors.items()}
            now = {**constants, **{k: c[step] for k, c in varying.items()}}
            step_stats, step_rows = self._step(minibatch, now)
            names = list(step_stats)
            stats.append(torch.stack(list(step_stats.values())))
            for name, values in step_rows.items():
                rows.setdefault(name, []).append(values)
        table = torch.stack(stats).cpu().numpy()
        return (
            {name: table[:, column] for column, name in enumerate(names)},
            {name: _padded(values, index) for name, values in rows.items()},
        )

    def _step(
        self, minibatch: dict[str, Tensor], coeffs: dict[str, float]
    ) -> tuple[dict[str, Tensor], ...]:
        spec = self._settings.spec
        theta = self._theta.detach().requires_grad_()
        arguments = (spec.unpack(self._target, torch.split),) if self._settings.has_target else ()
        loss, stats, rows = self._settings.loss(
            OPS, spec.unpack(theta, torch.split), minibatch, coeffs, *arguments
        )
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            gradient, norm = clip_by_norm(OPS, gradient, coeffs["grad_clip"])
            self._t += 1
            self._theta, self._m, self._v = adam(
                OPS,
                self._theta,
                self._m,
                self._v,
                self._t,
                gradient,
                coeffs["lr"],
                coeffs["adam_epsilon"],
            )
            if self._settings.has_target and (tau := coeffs["target_tau"]) > 0:
                self._target = torch.lerp(self._target, self._theta, tau)
            stats = {name: value.detach() for name, value in stats.items()}
        return {**stats, "grad_gnorm": norm}, {name: value.detach() for name, value in rows.items()}

    def _tensor(self, column: np.ndarray) -> Tensor:
        if column.dtype != np.uint8:
            kind = np.int64 if np.issubdtype(column.dtype, np.integer) else np.float32
            column = column.astype(kind, copy=False)
        column = np.require(
            column, requirements=("C", "W")
        )  # torch takes no read-only or reversed memory
        return torch.from_numpy(column).to(self._device)

    def get_theta(self) -> np.ndarray:
        theta: np.ndarray = self._theta.cpu().numpy().copy()
        return theta

    def get_state(self) -> dict[str, np.ndarray]:
        state = {"theta": self._theta, "m": self._m, "v": self._v}
        if self._settings.has_target:
            state["target"] = self._target
        return {"t": np.asarray(self._t)} | {
            k: value.cpu().numpy().copy() for k, value in state.items()
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._t = int(state["t"])
        load = {
            k: torch.from_numpy(np.array(a, np.float32)).to(self._device)
            for k, a in state.items()
            if k != "t"
        }
        self._theta, self._m, self._v = load["theta"], load["m"], load["v"]
        self._target = load.get("target", self._target)


def _padded(values: list[Tensor], index: np.ndarray) -> np.ndarray:
    table = np.full(index.shape, np.nan, np.float32)
    table[index >= 0] = torch.cat(values).cpu().numpy()
    return table
