"""Typed configs: every setting of a run declared once, validated whole, never mutated.

A setting is one line of a frozen dataclass: its type, default, range and help. Users hand over a dict of RLlib's keys
(from Python, YAML or flags); `AlgorithmConfig.from_dict` returns the typed object or raises one `ConfigError` with
every problem.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
import math
import numbers
import types
import typing
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

logger = logging.getLogger(__name__)

C = TypeVar("C", bound="Config")
Schedule = tuple[tuple[float, float], ...]
"""Piecewise linear schedule: ((timesteps, value), ...), timesteps rising."""
Filters = tuple[tuple[int, tuple[int, int], int], ...]
"""Convolutions: (channels, (height, width) of the kernel, stride) each."""

RENAMED = {
    "learning_rate": "lr",
    "n_epochs": "num_sgd_iter",
    "update_epochs": "num_sgd_iter",
    "n_envs": "num_envs_per_worker",
    "num_envs": "num_envs_per_worker",
    "n_steps": "rollout_fragment_length",
    "num_steps": "rollout_fragment_length",
    "batch_size": "sgd_minibatch_size train_batch_size",
    "sgd_batchsize": "sgd_minibatch_size",
    "sgd_stepsize": "lr",
    "minibatch_size": "sgd_minibatch_size",
    "timesteps_per_batch": "train_batch_size",
    "gae_lambda": "lambda",
    "clip_range": "clip_param",
    "clip_coef": "clip_param",
    "clip": "clip_param",
    "ent_coef": "entropy_coeff",
    "vf_coef": "vf_loss_coeff",
    "max_grad_norm": "grad_clip",
    "num_env_runners": "num_workers",
    "num_rollout_workers": "num_workers",
    "num_envs_per_env_runner": "num_envs_per_worker",
    "gpu": "num_gpus",
    "gpu_fraction": "num_gpus",
    "use_gpu_for_workers": "num_gpus_per_worker",
    "policy_kwargs": "model",
    "hidden_sizes": "model.fcnet_hiddens",
    "fcnet_hiddens": "model.fcnet_hiddens",
    "fcnet_activation": "model.fcnet_activation",
    "exploration_final_epsilon": "exploration_final_eps",
    "learning_start": "learning_starts",
    "target_update_interval": "target_network_update_freq",
}
"""What other libraries (and older RLlib) call a key; consulted before the nearest spelling.

Of several names the first that the algorithm has is meant.
"""

UNSUPPORTED = {
    "monitor": "record videos with `rltune rollout CHECKPOINT --video-dir DIR`",
    "multiagent": "multi-agent training is not there yet",
    "input": "offline data is not there yet",
    "input_evaluation": "offline data is not there yet",
    "postprocess_inputs": "offline data is not there yet",
    "shuffle_buffer_size": "offline data is not there yet",
    "output": "writing samples to disk is not there yet",
    "output_compress_columns": "writing samples to disk is not there yet",
    "output_max_file_size": "writing samples to disk is not there yet",
    "horizon": "give the environment a time limit, e.g. env_config: {max_episode_steps: N}",
    "soft_horizon": "truncated episodes bootstrap from the last observation, which replaces it",
    "no_done_at_end": "truncated episodes bootstrap from the last observation, which replaces it",
    "remote_worker_envs": "environments live in their rollout worker",
    "remote_env_batch_wait_ms": "environments live in their rollout worker",
    "memory": "reserve cores and GPUs instead",
    "object_store_memory": "use --ray-object-store-memory",
    "memory_per_worker": "reserve cores and GPUs instead",
    "object_store_memory_per_worker": "use --ray-object-store-memory",
    "num_atoms": "distributional Q-learning is not there yet",
    "v_min": "distributional Q-learning is not there yet",
    "v_max": "distributional Q-learning is not there yet",
    "noisy": "noisy networks are not there yet",
    "sigma0": "noisy networks are not there yet",
    "parameter_noise": "parameter noise is not there yet",
    "soft_q": "soft-Q exploration is not there yet",
    "softmax_temp": "soft-Q exploration is not there yet",
    "per_worker_exploration": "belongs to APEX, which is not there yet",
    "worker_side_prioritization": "belongs to APEX, which is not there yet",
    "no_eager_on_workers": "rollout workers act in numpy",
    "optimizer": "each algorithm has one optimizer, Adam: set lr, adam_epsilon and grad_clip",
    "no_final_linear": "the last layer is always linear and of the size that the actions need",
    "use_lstm": "recurrent networks are not there yet",
    "max_seq_len": "recurrent networks are not there yet",
    "lstm_cell_size": "recurrent networks are not there yet",
    "lstm_use_prev_action_reward": "recurrent networks are not there yet",
    "state_shape": "recurrent networks are not there yet",
    "grayscale": "Atari's frames are always gray; wrap other environments instead",
    "custom_preprocessor": "wrap the environment instead",
    "custom_model": "custom models are not there yet",
    "custom_action_dist": "custom models are not there yet",
    "custom_options": "custom models are not there yet",
}
"""RLlib keys that are known and do nothing here: always an error, never dropped silently."""

OBSOLETE = {
    "simple_optimizer": "there is one optimizer",
    "tf_session_args": "there are no sessions",
    "local_tf_session_args": "there are no sessions",
    "compress_observations": "observations are kept in their own dtype",
    "synchronize_filters": "filters are always synchronised",
    "collect_metrics_timeout": "metrics arrive with the samples",
    "ignore_worker_failures": "lost rollout workers are always replaced",
    "shuffle_sequences": "minibatches are always shuffled",
}
"""RLlib keys about how RLlib works inside: accepted, with one warning that says why they change nothing."""


class ConfigError(ValueError):
    """A config that cannot be run; `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: list[str], where: str = "config"):
        self.problems, self.where = list(problems), where
        super().__init__(self.problems, where)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return f"{self.where} has {len(self.problems)} problems:\n" + "\n".join(
            f"  {problem}" for problem in self.problems
        )


def option(
    default: Any,
    help: str,
    *,
    key: str | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] | None = None,
    coeff: bool = False,
    adaptive: bool = False,
    rebuild: str | None = None,
) -> Any:
    """One setting. `low`/`high` are inclusive bounds, `above` an exclusive one.

    `coeff`: a number that reaches the update as an input, so that it may change while training (None becomes infinity).
    `adaptive`: a coefficient that only starts there, since training itself changes it.
    `rebuild`: the part that is costly to make and does not outlive a change of this setting: "workers" (the processes
    of rollout actors) or "learner" (what the framework has built). Without it `reset_config` keeps both.
    """
    metadata = dict(
        help=help,
        key=key,
        low=low,
        high=high,
        above=above,
        choices=choices,
        coeff=coeff,
        adaptive=adaptive,
        rebuild=rebuild,
    )
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def nearest(word: str, known: typing.Iterable[str]) -> str | None:
    """The known word closest in spelling, or None."""
    matches = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.55)
    return matches[0] if matches else None


def key_of(f: dataclasses.Field[Any]) -> str:
    return f.metadata.get("key") or f.name


_hints = functools.cache(cast(Callable[[Hashable], dict[str, Any]], typing.get_type_hints))
"""The annotations of a config class, evaluated: most of the time of reading a config."""


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _as_float(value: Any) -> float:
    if isinstance(value, str):
        return float(value)  # YAML 1.1 reads 1e-4 as text
    if not _is_number(value):
        raise TypeError
    return float(value)


def _as_int(value: Any) -> int:
    if not _is_number(value) or not math.isfinite(value) or int(value) != value:
        raise TypeError
    return int(value)


def _as_bool(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError
    return bool(value)


def _as_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _as_mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return dict(value)


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return value


def _as_schedule(value: Any) -> Schedule:
    points = tuple((float(_as_int(t)), _as_float(v)) for t, v in map(_items, _items(value)))
    if not points or any(a[0] >= b[0] for a, b in zip(points, points[1:], strict=False)):
        raise TypeError
    return points


def _as_filters(value: Any) -> Filters:
    def size(number: Any) -> int:
        if _as_int(number) < 1:
            raise TypeError
        return _as_int(number)

    def one(channels: Any, kernel: Any, stride: Any) -> tuple[int, tuple[int, int], int]:
        height, width = kernel if isinstance(kernel, list | tuple) else (kernel, kernel)
        return size(channels), (size(height), size(width)), size(stride)

    return tuple(one(*_items(layer)) for layer in _items(value))


_CONVERTERS: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    float: ("a number", _as_float),
    int: ("a whole number", _as_int),
    bool: ("true or false", _as_bool),
    str: ("text", _as_str),
    dict[str, Any]: ("a mapping", _as_mapping),
    Schedule: ("a list of [timesteps, value] with rising timesteps", _as_schedule),
    Filters: ("a list of [channels, [height, width] of the kernel, stride]", _as_filters),
    tuple[int, ...]: ("a list of whole numbers", lambda v: tuple(map(_as_int, _items(v)))),
}


def convert(value: Any, hint: Any) -> Any:
    """`value` as the annotated type; raises TypeError with what was expected."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    expected = []
    for kind in options:
        if kind is types.NoneType or kind is None:
            if value is None:
                return None
            expected.append("null")
        elif kind is Any:
            return value
        else:
            words, converter = _CONVERTERS[kind]
            expected.append(words)
            try:
                return converter(value)
            except (TypeError, ValueError):
                continue
    raise TypeError(" or ".join(expected))


@dataclass(frozen=True)
class Config:
    """What every config shares: reading, validating, writing back."""

    ALIASES: typing.ClassVar[dict[str, str]] = {}
    """Other spellings that are accepted for a key."""
    AT_MOST: typing.ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of keys: the first one's number must not exceed the second's."""

    @classmethod
    def fields_by_key(cls) -> dict[str, dataclasses.Field[Any]]:
        return {key_of(f): f for f in dataclasses.fields(cls)}

    @classmethod
    def owner(cls) -> str:
        """Whose config this is, as error messages say it."""
        return cls.__name__.removesuffix("Config")

    @classmethod
    def parse(cls: type[C], raw: Mapping[str, Any], prefix: str = "") -> tuple[C | None, list[str]]:
        """The config, or None, and every problem found. Pure: nothing is changed or built."""
        problems: list[str] = []
        known, hints = cls.fields_by_key(), _hints(cast(Hashable, cls))
        values, wrong = {}, set()
        for key, value in cls.translate(dict(raw), problems).items():
            if key not in known:
                problems.append(cls._unknown(prefix, str(key), known))
                continue
            f = known[key]
            converted, found = cls._read(f, prefix + key, hints[f.name], value)
            if found:
                problems += found
                wrong.add(f"'{prefix}{key}'")
            else:
                values[f.name] = converted
        # Contradictions are looked for among the values that are right, with the others at their defaults.
        config = cls(**values)
        problems += [p for p in config.problems() if not any(key in p for key in wrong)]
        return (None, problems) if problems else (config, [])

    @staticmethod
    def _read(f: dataclasses.Field[Any], key: str, hint: Any, value: Any) -> tuple[Any, list[str]]:
        """The typed value of one key, and what is wrong with it."""
        if isinstance(hint, type) and issubclass(hint, Config):
            if not isinstance(value, Mapping):
                return None, [f"'{key}' is {value!r}; it must be a mapping"]
            return hint.parse(value, prefix=f"{key}.")
        try:
            converted = convert(value, hint)
        except TypeError as expected:
            return None, [f"'{key}' is {value!r}; it must be {expected}"]
        return converted, list(range_problems(f, key, converted))

    @classmethod
    def translate(cls, raw: dict[str, Any], problems: list[str]) -> dict[str, Any]:
        """Old spellings to today's keys; subclasses add theirs."""
        return raw

    @classmethod
    def _unknown(cls, prefix: str, key: str, known: Mapping[str, Any]) -> str:
        if key in UNSUPPORTED:
            return f"key '{prefix}{key}' of RLlib is not supported: {UNSUPPORTED[key]}"
        message = f"Unknown key '{prefix}{key}' in config of {cls.owner()}"
        for name in RENAMED.get(key, "").split():
            if name.split(".")[0] in known:
                return f"{message}; here it is called '{prefix}{name}'"
        if guess := nearest(key, known):
            return f"{message}; nearest: '{prefix}{guess}'"
        return f"{message}; see `rltune config {cls.owner()}`"

    @classmethod
    def from_dict(cls: type[C], raw: Mapping[str, Any]) -> C:
        """The typed config of a dict of keys. Raises ConfigError with every problem."""
        config, problems = cls.parse(raw)
        if config is None:
            raise ConfigError(problems, f"{cls.owner()} config")
        return config

    @classmethod
    def clip(cls, raw: Mapping[str, Any]) -> dict[str, Any]:
        """`raw` with each number outside its key's range moved to the nearest allowed one; the rest is left as it is,
        right or wrong."""
        known, hints = cls.fields_by_key(), _hints(cast(Hashable, cls))
        clipped = dict(raw)
        for key, value in raw.items():
            f = known.get(cls.alias_of(key))
            if f is None:
                continue
            hint = hints[f.name]
            if isinstance(hint, type) and issubclass(hint, Config) and isinstance(value, Mapping):
                clipped[key] = hint.clip(value)
            elif _is_number(value) and math.isfinite(value):
                clipped[key] = _clipped(f, value, whole=int in (hint, *typing.get_args(hint)))
        for key, limit in cls.AT_MOST:
            largest = clipped.get(limit, known[limit].default)
            value = clipped.get(key, known[key].default)
            if _is_number(value) and _is_number(largest) and value > largest:
                clipped[key] = largest
        return clipped

    @classmethod
    def alias_of(cls, key: str) -> str:
        """The key that `key` is another spelling of; `key` itself if it is none."""
        return cls.ALIASES.get(key, key)

    def problems(self) -> Iterator[str]:
        """Every contradiction between settings; subclasses add theirs."""
        for key, limit in self.AT_MOST:
            value, largest = getattr(self, key), getattr(self, limit)
            if value > largest:
                yield f"'{key}' is {value}, more than '{limit}' {largest}"

    def to_dict(self) -> dict[str, Any]:
        """Key to value, nested configs as dicts, tuples as lists: what `from_dict` reads and JSON can hold."""
        return {key_of(f): _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def coeffs(self) -> dict[str, float]:
        """The numbers that reach the update as inputs, by key; None (off) is infinity."""
        values = {
            key_of(f): getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.metadata["coeff"]
        }
        return {key: float("inf") if v is None else float(v) for key, v in values.items()}

    def adaptive(self) -> dict[str, float]:
        """The coefficients that training changes, as they are at the start."""
        coeffs = self.coeffs()
        return {
            key_of(f): coeffs[key_of(f)] for f in dataclasses.fields(self) if f.metadata["adaptive"]
        }

    def rebuilds(self, former: Config) -> set[str]:
        """The parts (see `option`) that must be built anew where `former` was in use before."""
        return {
            f.metadata["rebuild"]
            for f in dataclasses.fields(self)
            if f.metadata["rebuild"] and _differ(getattr(self, f.name), getattr(former, f.name))
        }


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except ValueError:  # numpy arrays within: equal or not, building anew is right
        return True


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


SMALLEST = 1e-8
"""How far above an exclusive bound a value is put that has to leave it: float32 and the losses can still use it."""


def _clipped(f: dataclasses.Field[Any], value: Any, whole: bool) -> Any:
    """The number of the range of `f` that is nearest to `value`; a fraction loses its decimals where whole numbers are
    wanted."""
    m = f.metadata
    kind = int if whole else float if isinstance(value, float) else type(value)
    if whole:
        value = int(value)
    if m["low"] is not None and value < m["low"]:
        value = kind(m["low"])
    if m["high"] is not None and value > m["high"]:
        value = kind(m["high"])
    if m["above"] is not None and value <= m["above"]:
        value = m["above"] + SMALLEST
    return value


def range_problems(f: dataclasses.Field[Any], key: str, value: Any) -> Iterator[str]:
    """What is wrong with `value`, called `key`, as a value of `f`: nothing if it is None or no number or choice."""
    m = f.metadata
    if value is None:
        return
    if m["choices"] and value not in m["choices"]:
        guess = nearest(str(value), map(str, m["choices"]))
        yield f"'{key}' is {value!r}; it must be one of {list(m['choices'])}" + (
            f"; nearest: {guess!r}" if guess else ""
        )
    if not _is_number(value):
        return
    if not math.isfinite(value):
        yield f"'{key}' is {value}; it must be finite" + (
            "; null is off" if "None" in str(f.type) else ""
        )
        return
    if m["low"] is not None and value < m["low"]:
        yield f"'{key}' is {value}; it must be at least {m['low']}"
    if m["high"] is not None and value > m["high"]:
        yield f"'{key}' is {value}; it must be at most {m['high']}"
    if m["above"] is not None and value <= m["above"]:
        yield f"'{key}' is {value}; it must be above {m['above']}"
