"""From a spec with unresolved values (grids, ranges, `sample_from`, `eval`) to its trials."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np

from rltune.config import nearest
from rltune.tune.error import TuneError
from rltune.tune.ranges import range_of_dict, sample_from
from rltune.tune.sample import check_grid

Path = tuple[Any, ...]
Sampler = Callable[[Any], Any]
Variant = tuple[dict[Path, Any], dict[str, Any]]

# A value may resolve to another unresolved value; a chain longer than this never ends.
MAX_NESTING = 20
NOT_IN_TAG = ("run", "env", "resources_per_trial")


class RecursiveDependencyError(Exception):
    """A value depends on one that cannot be resolved before it, itself included."""

    def __init__(self, name: Any, value: Any):
        super().__init__(f"`{name}` recursively depends on {value}")


def generate_variants(unresolved_spec: dict[str, Any]) -> Iterator[Variant]:
    """Every trial of a spec: (its resolved variables by path, the spec with all values resolved).

    Grid axes are sorted by path and the first varies fastest. A range or `sample_from` is drawn
    once per trial; it may use any other value of the trial, in whatever order they stand. Dicts and lists
    are copied, other values are shared.

    Raises:
        RecursiveDependencyError: values that need each other.
        TuneError: a bare function in `config`, a grid that is no list, wrong bounds, an unresolved
            value in a tuple.
        ValueError: a `sample_from` or `eval` raised; names its path.
    """
    yield from _expand(_copy(unresolved_spec), depth=0)


def format_vars(resolved_vars: Mapping[Path, Any]) -> str:
    """The variables as `k=v,k2=v2`, sorted by path; floats have five significant digits."""
    return ",".join(
        f"{_variable_name(path)}={_clean(resolved_vars[path])}"
        for path in sorted(resolved_vars, key=_path_order)
        if path[0] not in NOT_IN_TAG
    )


def _expand(spec: dict[str, Any], depth: int) -> Iterator[Variant]:
    grids, samplers = _unresolved(spec)
    if not grids and not samplers:
        yield {}, spec
        return
    if depth == MAX_NESTING:
        path, value = next(iter({**grids, **samplers}.items()))
        raise RecursiveDependencyError(_variable_name(path), value)
    paths = sorted(grids, key=_path_order) or list(samplers)
    for variant in _grid_points(spec, grids) if grids else _sample(spec, samplers):
        for deeper, resolved in _expand(variant, depth + 1):
            yield {path: _get(resolved, path) for path in paths} | deeper, resolved


def _grid_points(spec: dict[str, Any], grids: dict[Path, list[Any]]) -> Iterator[dict[str, Any]]:
    """A copy of the spec for each combination of grid values."""
    paths = sorted(grids, key=_path_order, reverse=True)
    for values in itertools.product(*(grids[path] for path in paths)):
        variant = _copy(spec)
        for path, value in zip(paths, values, strict=True):
            _assign(variant, path, _copy(value))
        yield variant


def _sample(spec: dict[str, Any], samplers: dict[Path, Sampler]) -> Iterator[dict[str, Any]]:
    """The spec with its samplers evaluated, in as many passes as their dependencies take.

    One that needs a value which only now turned out to be a grid stays for the next round.
    """
    pending, view = dict(samplers), _SpecView(spec, ())
    while pending:
        deferred: dict[Path, Sampler] = {}
        for path, sampler in pending.items():
            try:
                value = sampler(view)
            except RecursiveDependencyError as error:
                deferred[path], reason = sampler, error
            except Exception as error:
                raise ValueError(
                    f"The value of {_dotted(path)} ({sampler}) cannot be computed: {error!r}. "
                    "A function that is the value itself must be wrapped in tune.function."
                ) from error
            else:
                _assign(spec, path, _copy(value))
        if len(deferred) == len(pending):
            if len(deferred) == len(samplers):
                raise reason
            break
        pending = deferred
    yield spec


def _unresolved(node: Any, path: Path = ()) -> tuple[dict[Path, list[Any]], dict[Path, Sampler]]:
    """The grids and the samplers in a nested value, by path."""
    if (grid := _as_grid(node)) is not None:
        return {path: grid}, {}
    if (sampler := _as_sampler(node, path)) is not None:
        return {}, {path: sampler}
    if isinstance(node, FunctionType) and path[:1] == ("config",):
        raise TuneError(
            f"{_dotted(path)} is a bare function. Wrap it in tune.function to hand it to the trial "
            "as it is, or in tune.sample_from to draw the value from it."
        )
    grids: dict[Path, list[Any]] = {}
    samplers: dict[Path, Sampler] = {}
    for key, value in _items(node):
        inner_grids, inner_samplers = _unresolved(value, (*path, key))
        if isinstance(node, tuple) and (inner_grids or inner_samplers):
            raise TuneError(f"{_dotted(path)}: use a list; nothing inside a tuple is resolved.")
        grids |= inner_grids
        samplers |= inner_samplers
    return grids, samplers


def _items(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from enumerate(node)


def _as_grid(node: Any) -> list[Any] | None:
    is_grid = isinstance(node, dict) and len(node) == 1 and "grid_search" in node
    return check_grid(node["grid_search"]) if is_grid else None


def _as_sampler(node: Any, path: Path) -> Sampler | None:
    if path != ("config",):  # a config is a dict, whatever its one key is called
        try:
            node = range_of_dict(node) or node
        except TuneError as error:
            raise TuneError(f"{_dotted(path)}: {error}") from None
    if isinstance(node, sample_from):
        return _Sampler(node.func, repr(node))
    if isinstance(node, dict) and len(node) == 1 and isinstance(node.get("eval"), str):
        return _Sampler(_evaluator(node["eval"]), f"eval {node['eval']!r}")
    return None


class _Sampler:
    """A function of the spec with the text that stands for it in messages."""

    def __init__(self, func: Sampler, text: str):
        self.func, self.text = func, text

    def __call__(self, spec: Any) -> Any:
        return self.func(spec)

    def __str__(self) -> str:
        return self.text


def _evaluator(expression: str) -> Sampler:
    return lambda spec: eval(expression, {"spec": spec, "random": random, "np": np})


class _SpecView:
    """What a sampler sees of the spec: values by attribute or key, none of them unresolved."""

    def __init__(self, node: Any, path: Path):
        self._node, self._path = node, path

    def __getitem__(self, key: Any) -> Any:
        value, path = self._node[key], (*self._path, key)
        if _as_grid(value) is not None or _as_sampler(value, path) is not None:
            raise RecursiveDependencyError(key, value)
        if isinstance(value, dict) or any(_unresolved(value, path)):
            return _SpecView(value, path)
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except (KeyError, TypeError):
            near = nearest(name, map(str, self._node)) if isinstance(self._node, dict) else None
            hint = f"; did you mean {near!r}?" if near else ""
            raise AttributeError(f"the spec has no {name!r} here{hint}") from None

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self._node else default

    def keys(self) -> Any:
        return self._node.keys()

    def items(self) -> Iterator[tuple[Any, Any]]:
        return ((key, self[key]) for key in self._node)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._node, dict):
            return iter(self._node)
        return (self[index] for index in range(len(self._node)))

    def __len__(self) -> int:
        return len(self._node)

    def __contains__(self, key: Any) -> bool:
        return key in self._node


def _copy(node: Any) -> Any:
    """Dicts and lists anew, the rest shared: what is no container may be impossible to copy."""
    if isinstance(node, _SpecView):
        node = node._node
    if isinstance(node, dict):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(value) for value in node] if isinstance(node, list) else node


def _get(node: Any, path: Path) -> Any:
    for key in path:
        node = node[key]
    return node


def _assign(spec: dict[str, Any], path: Path, value: Any) -> None:
    _get(spec, path[:-1])[path[-1]] = value


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _path_order(path: Path) -> list[tuple[int, int, str]]:
    """Keys as text, list indices as numbers."""
    return [(0, key, "") if isinstance(key, int) else (1, 0, str(key)) for key in path]


def _variable_name(path: Path) -> str:
    """The innermost key and the list indices that follow it: `nn_layers_0`."""
    start = max((i for i, key in enumerate(path) if isinstance(key, str)), default=0)
    return "_".join(map(str, path[start:])).replace("/", "_")


def _clean(value: Any) -> str:
    text = f"{float(value):.5}" if isinstance(value, float | np.floating) else str(value)
    return text.replace("/", "_")
