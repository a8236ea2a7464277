"""RangeSpace: a search space of ranges, under flat names as libraries have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rltune.tune.error import TuneError
from rltune.tune.ranges import Choice, Range


class RangeSpace:
    """Ranges in nested dicts, by names like `model/fcnet_hiddens`.

    A library sees the options of a choice: its values where they are all numbers or all texts, else
    their texts.

    Args:
        space: `{"lr": tune.loguniform(1e-5, 1e-2), "model": {...}}`.
        others: classes of a library's own ranges, which may stand for ranges.

    Raises TuneError for a space that holds anything else, or nothing.
    """

    def __init__(self, space: Mapping[str, Any], others: tuple[type, ...] = ()):
        self.ranges: dict[str, Any] = {}
        self._paths: dict[str, tuple[str, ...]] = {}
        for path, leaf in _leaves(space):
            name = "/".join(path)
            if not isinstance(leaf, (Range, *others)):
                raise TuneError(
                    f"The search space has {leaf!r} at {name!r}, which is no range: use "
                    "tune.uniform, tune.loguniform, tune.randint or tune.choice."
                )
            self.ranges[name], self._paths[name] = leaf, path
        if not self.ranges:
            raise TuneError("The search space is empty.")
        self._options = {n: options(r) for n, r in self.ranges.items() if isinstance(r, Choice)}

    def config(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Values by name, options of choices among them, as the nested dicts that they belong to."""
        nested: dict[str, Any] = {}
        for name, value in point.items():
            *outer, key = self._paths[name]
            inner = nested
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[key] = self._value(name, value)
        return nested

    def point(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What `config` gives `config` for: a part of the space will do.

        Raises TuneError for a name that the space does not have and a value that no choice has.
        """
        point = {}
        for path, value in _leaves(config):
            name = "/".join(path)
            if name not in self.ranges:
                raise TuneError(f"A point has {name!r}, which is not in the search space.")
            point[name] = self._option(name, value)
        return point

    def _value(self, name: str, value: Any) -> Any:
        if name in self._options:
            return self._options[name][value]
        found = self.ranges[name]
        return found.clip(value) if isinstance(found, Range) else value

    def _option(self, name: str, value: Any) -> Any:
        if name not in self._options:
            return value
        for option, meant in self._options[name].items():
            if meant == value:
                return option
        raise TuneError(f"A point has {value!r} for {name!r}, which is none of its choices.")


def holds_ranges(space: Mapping[str, Any]) -> bool:
    return any(isinstance(leaf, Range) for _, leaf in _leaves(space))


def options(choice: Choice) -> dict[Any, Any]:
    """What libraries may choose among -> the value that it stands for."""
    for kinds in ((str,), (bool,), (int,), (int, float)):
        if all(type(value) in kinds for value in choice.values):
            return {value: value for value in choice.values}
    return {repr(value): value for value in choice.values}


def _leaves(
    space: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in space.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value
