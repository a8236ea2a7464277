"""Explore: from the config of a good trial to a nearby one. Pure functions of a random generator."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from rltune.tune.error import TuneError
from rltune.tune.plain import plain
from rltune.tune.ranges import Choice, Range, hint, is_number, read_ranges, sample_from

UP, DOWN = 1.2, 0.8
GRID = "grid_search"

Config = dict[str, Any]
CustomExplore = Callable[[Config], Config]


def explore(
    config: Mapping[str, Any],
    mutations: Mapping[str, Any],
    resample_probability: float,
    custom_explore_fn: CustomExplore | None = None,
    rng: random.Random | None = None,
) -> Config:
    """A copy of `config` in which the keys of `mutations` have changed.

    A list (or `tune.choice`) moves to a neighbour, a number is multiplied by 1.2 or 0.8, each as
    often as the other; with `resample_probability`, or where neither is possible, the value is
    drawn anew. Ranges clip to their bounds, an int stays one, dicts are explored key by key.

    Args:
        mutations: key -> list, range, function without arguments, or dict of these.
        custom_explore_fn: gets the new config last, and returns it.
        rng: where all randomness comes from.

    Raises AssertionError if `custom_explore_fn` returns no dict.
    """
    rng = rng or random.Random()
    new = copy.deepcopy(dict(config))
    for key, mutation in mutations.items():
        current = new.get(key)
        if isinstance(mutation, dict):
            new[key] = explore(current or {}, mutation, resample_probability, None, rng)
        elif isinstance(mutation, list | Choice):
            values = mutation.values if isinstance(mutation, Choice) else mutation
            new[key] = _step(current, values, resample_probability, rng)
        else:
            new[key] = _perturb(current, mutation, resample_probability, rng)
    if custom_explore_fn is not None:
        with _seeded(rng):
            new = custom_explore_fn(new)
        assert isinstance(new, dict), f"custom_explore_fn must return the config, not {new!r}."
    return new


def checked(mutations: Mapping[str, Any], path: str = "hyperparam_mutations") -> Config:
    """A copy of the mutations, with ranges for the dicts that mean them.

    Raises TuneError, naming the key, for what is no mutation.
    """
    result = {}
    for key, mutation in mutations.items():
        where = f"{path}[{key!r}]"
        try:
            mutation = read_ranges(mutation)
        except TuneError as error:
            raise TuneError(f"{where}: {error}") from None
        if isinstance(mutation, Mapping):
            if set(mutation) == {GRID}:
                raise TuneError(f"{where}: a grid is no mutation; give the list itself.")
            mutation = checked(mutation, where)
        elif isinstance(mutation, tuple):
            mutation = list(mutation)
        if mutation in ([], {}):
            raise TuneError(f"{where} is empty: it needs at least one value.")
        if not isinstance(mutation, list | dict | sample_from) and not callable(mutation):
            raise TuneError(
                f"{where} must be a list, a range such as tune.uniform(0, 1), a function without "
                f"arguments, or a dict of these, not {mutation!r}."
            )
        result[key] = mutation
    return result


def check_config(
    config: Mapping[str, Any], mutations: Mapping[str, Any], path: str = "config"
) -> None:
    """Raises TuneError where a mutation could not have its effect on a trial with this config: its
    key has a schedule, or is no dict while the mutation is one.
    """
    for key, mutation in mutations.items():
        schedule = f"{key}_schedule"
        if config.get(schedule) is not None:
            raise TuneError(
                f"{path}[{key!r}] is to be mutated, and {path}[{schedule!r}] would put it back: "
                "take one of them out."
            )
        value = config.get(key)
        if isinstance(mutation, Mapping) and value is not None:
            if not isinstance(value, Mapping):
                meant = hint(mutation)
                raise TuneError(
                    f"{path}[{key!r}] is {value!r}, so {mutation} cannot mutate it"
                    + (f"; {meant}." if meant else ".")
                )
            check_config(value, mutation, f"{path}[{key!r}]")


def mutated_values(config: Mapping[str, Any], mutations: Mapping[str, Any]) -> Config:
    """What `config` has for the keys that mutations change, as JSON holds it; nested keys `a/b`."""
    values: Config = {}
    for key, mutation in mutations.items():
        if isinstance(mutation, Mapping):
            inner = mutated_values(config.get(key) or {}, mutation)
            values |= {f"{key}/{name}": value for name, value in inner.items()}
        else:
            values[key] = plain(config.get(key))
    return values


def _step(current: Any, values: Sequence[Any], probability: float, rng: random.Random) -> Any:
    """The element before or after `current`; an end may stay."""
    if rng.random() < probability or current not in values:
        return rng.choice(values)
    position = values.index(current) + rng.choice((-1, 1))
    return values[min(max(position, 0), len(values) - 1)]


def _perturb(current: Any, mutation: Any, probability: float, rng: random.Random) -> Any:
    if rng.random() < probability or not is_number(current):
        value = _draw(mutation, rng)
    else:
        value = current * rng.choice((UP, DOWN))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(current, Integral) and is_number(current):
        value = int(value)
    return mutation.clip(value) if isinstance(mutation, Range) else value


def _draw(mutation: Any, rng: random.Random) -> Any:
    if isinstance(mutation, Range):
        return mutation.sample(rng)
    with _seeded(rng):
        return mutation.func(None) if isinstance(mutation, sample_from) else mutation()


@contextmanager
def _seeded(rng: random.Random) -> Iterator[None]:
    """The user's functions find the global generators of Python and numpy seeded by `rng`, so that
    the same state gives the same; afterwards those are as they were.
    """
    seed = rng.getrandbits(32)
    python, numpy = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
