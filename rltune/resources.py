"""What a trial asks of the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any, NamedTuple


class _Fields(NamedTuple):
    cpu: float
    gpu: float
    extra_cpu: float
    extra_gpu: float
    custom_resources: dict[str, float]
    extra_custom_resources: dict[str, float]


class Resources(_Fields):
    """CPUs, GPUs and custom resources: `cpu`, `gpu` for the trial's own process, `extra_*` for
    actors it creates.

    Any number is accepted, fractions included; anything else is an AssertionError. Both custom
    dicts are padded with zeros to the same keys.
    """

    __slots__ = ()

    def __new__(
        cls,
        cpu: float,
        gpu: float,
        extra_cpu: float = 0,
        extra_gpu: float = 0,
        custom_resources: Mapping[str, float] | None = None,
        extra_custom_resources: Mapping[str, float] | None = None,
    ) -> Resources:
        custom, extra = dict(custom_resources or {}), dict(extra_custom_resources or {})
        for name in {*custom, *extra}:
            custom.setdefault(name, 0)
            extra.setdefault(name, 0)
        for value in (cpu, gpu, extra_cpu, extra_gpu, *custom.values(), *extra.values()):
            assert isinstance(value, Number), f"Resources are numbers, not {value!r}."
        return super().__new__(cls, cpu, gpu, extra_cpu, extra_gpu, custom, extra)

    def cpu_total(self) -> float:
        return self.cpu + self.extra_cpu

    def gpu_total(self) -> float:
        return self.gpu + self.extra_gpu

    def get_res_total(self, name: str) -> float:
        """The trial's own and its actors' share of a custom resource."""
        return self.custom_resources.get(name, 0) + self.extra_custom_resources.get(name, 0)

    def has_extra(self) -> bool:
        return any(_non_zero(self.extra_cpu, self.extra_gpu, *self.extra_custom_resources.values()))

    def totals(self) -> dict[str, float]:
        """Everything the trial needs, by Ray's names; zeros are left out."""
        return _bundle(
            self.cpu_total(),
            self.gpu_total(),
            {name: self.get_res_total(name) for name in self.custom_resources},
        )

    def own_bundle(self) -> dict[str, float]:
        """What the trial's own process needs, by Ray's names."""
        return _bundle(self.cpu, self.gpu, self.custom_resources)

    def extra_bundle(self) -> dict[str, float]:
        """What the actors it creates need together, by Ray's names."""
        return _bundle(self.extra_cpu, self.extra_gpu, self.extra_custom_resources)

    def summary_string(self) -> str:
        parts = [f"{_text(self.cpu_total())} CPUs, {_text(self.gpu_total())} GPUs"]
        parts += [f"{_text(self.get_res_total(name))} {name}" for name in self.custom_resources]
        return ", ".join(parts)


def json_to_resources(data: Mapping[str, Any] | None) -> Resources | None:
    """`resources_per_trial` as Resources: 1 CPU and no GPU where not said.

    Raises ValueError for an unknown key; the message lists the valid ones.
    """
    if not data:
        return None
    for old in ("driver_cpu_limit", "driver_gpu_limit"):
        if old in data:
            raise ValueError(
                f"{old} is gone: give extra_cpu and extra_gpu for actors that the trial creates."
            )
    unknown = sorted(set(data) - set(_Fields._fields))
    if unknown:
        raise ValueError(
            f"Unknown resource {unknown[0]!r}: valid are {', '.join(_Fields._fields)}."
        )
    return Resources(**{"cpu": 1, "gpu": 0, **data})


def resources_to_json(resources: Resources | None) -> dict[str, Any] | None:
    return None if resources is None else resources._asdict()


def _non_zero(*values: float) -> Iterator[float]:
    return (value for value in values if value)


def _bundle(cpu: float, gpu: float, custom: Mapping[str, float]) -> dict[str, float]:
    return {name: n for name, n in {"CPU": cpu, "GPU": gpu, **custom}.items() if n}


def _text(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)
