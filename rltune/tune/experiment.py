"""Experiment: what is to be run, as the user said it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rltune import registry
from rltune.config import nearest
from rltune.registry import register_trainable
from rltune.result import default_results_dir
from rltune.trainable import Trainable
from rltune.tune.error import TuneError

_RENAMED = {"repeat": "num_samples", "trial_resources": "resources_per_trial"}


class Experiment:
    """The specification of an experiment.

    `spec` holds all arguments, with `run` as a name; `checkpoint_dir` is `<local_dir>/<name>`,
    `remote_checkpoint_dir` where that is uploaded to, or None. Nothing is created.

    Raises TuneError for a trainable that is unknown or has no name.
    """

    def __init__(
        self,
        name: str | None,
        run: Any,
        stop: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        resources_per_trial: Mapping[str, Any] | None = None,
        num_samples: int = 1,
        local_dir: str | None = None,
        upload_dir: str | None = None,
        trial_name_creator: Callable[[Any], str] | None = None,
        loggers: Sequence[Any] | None = None,
        sync_to_driver: Any = None,
        checkpoint_freq: int = 0,
        checkpoint_at_end: bool = False,
        keep_checkpoints_num: int | None = None,
        checkpoint_score_attr: str | None = None,
        export_formats: list[str] | None = None,
        max_failures: int = 3,
        restore: str | None = None,
        repeat: Any = None,
        trial_resources: Any = None,
    ):
        for old, value in {"repeat": repeat, "trial_resources": trial_resources}.items():
            if value is not None:
                raise TuneError(f"{old} is gone: use {_RENAMED[old]}.")
        if keep_checkpoints_num is not None and keep_checkpoints_num < 1:
            raise TuneError("keep_checkpoints_num must be at least 1; None keeps all.")
        run = registered_name(run)
        if name is None and not isinstance(run, str):
            raise TuneError("An experiment whose `run` is a grid needs a name.")
        self.name = name or run
        self.local_dir = os.path.abspath(os.path.expanduser(local_dir or default_results_dir()))
        self.remote_checkpoint_dir = os.path.join(upload_dir, self.name) if upload_dir else None
        self.spec: dict[str, Any] = {
            "run": run,
            "stop": dict(stop or {}),
            "config": dict(config or {}),
            "resources_per_trial": resources_per_trial,
            "num_samples": num_samples,
            "local_dir": self.local_dir,
            "upload_dir": upload_dir,
            "trial_name_creator": trial_name_creator,
            "loggers": loggers,
            "sync_to_driver": sync_to_driver,
            "checkpoint_freq": checkpoint_freq,
            "checkpoint_at_end": checkpoint_at_end,
            "keep_checkpoints_num": keep_checkpoints_num,
            "checkpoint_score_attr": checkpoint_score_attr,
            "export_formats": export_formats,
            "max_failures": max_failures,
            "restore": restore,
        }

    @property
    def checkpoint_dir(self) -> str:
        return os.path.join(self.local_dir, self.name)

    @classmethod
    def from_json(cls, name: str, spec: Mapping[str, Any]) -> Experiment:
        """The experiment of a spec as YAML and JSON files hold it.

        A top-level `env` goes into the config. Raises TuneError if `run` is missing and for an
        argument that does not exist, naming the nearest one.
        """
        if "run" not in spec:
            raise TuneError(f"No trainable specified! Experiment {name!r} needs `run`.")
        spec = dict(spec)
        if "env" in spec:
            spec["config"] = {**(spec.get("config") or {}), "env": spec.pop("env")}
        known = [p for p in inspect.signature(cls).parameters if p != "name"]
        for key in spec:
            if key not in known:
                near = nearest(key, known)
                hint = f" Did you mean {near!r}?" if near else ""
                raise TuneError(f"Experiment {name!r} has an unknown argument {key!r}.{hint}")
        return cls(name, **spec)


def registered_name(run: Any) -> Any:
    """The name of a trainable; a class or a named function is registered under its own.

    A dict is a grid of names. Raises TuneError for anything without a name.
    """
    if isinstance(run, str):
        if not registry.has_trainable(run):
            try:
                registry.get_trainable_cls(run)
            except registry.UnknownTrainable as error:
                raise TuneError(str(error)) from None
        return run
    if isinstance(run, Mapping):
        return dict(run)
    if inspect.isclass(run) and issubclass(run, Trainable) or inspect.isfunction(run):
        if run.__name__ == "<lambda>":
            raise TuneError(
                "A lambda has no name to run it by: call "
                'register_trainable("some_id", lambda ...) and run "some_id".'
            )
        register_trainable(run.__name__, run)
        return run.__name__
    raise TuneError(
        f"{run!r} cannot be run: give a function, a Trainable subclass, a registered name or an "
        "Experiment."
    )


def as_experiments(experiments: Any) -> list[Experiment]:
    """One Experiment, a list of them, or a dict {name: spec} as a list.

    Raises TuneError for anything else.
    """
    if isinstance(experiments, Experiment):
        return [experiments]
    if isinstance(experiments, Mapping):
        return [Experiment.from_json(name, spec) for name, spec in experiments.items()]
    if isinstance(experiments, list) and all(isinstance(e, Experiment) for e in experiments):
        return list(experiments)
    raise TuneError(
        f"Experiments are an Experiment, a list of them or a dict, not {experiments!r}."
    )
