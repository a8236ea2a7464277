"""The schedule of settings that PBT found, run again as one trial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rltune.result import TRAINING_ITERATION
from rltune.tune.error import TuneError
from rltune.tune.plain import plain
from rltune.tune.schedulers.fields import number_in
from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.pbt import SEED
from rltune.tune.schedulers.policy_log import PERTURBED
from rltune.tune.suggest.variant_generator import format_vars
from rltune.tune.trial import Trial

if TYPE_CHECKING:
    from rltune.tune.trial_runner import TrialRunner

Config = dict[str, Any]


class PopulationBasedTrainingReplay(FIFOScheduler):
    """Trains one trial with the configs that led to a member of a PBT run, from the lineage's first
    one on, each from the iteration at which it was taken on.

    The trial's own config gives what a policy file cannot hold (functions, say), and its seed.

    Args:
        policy_file: a `pbt_policy_<N>.txt` of that run.

    Raises TuneError if the file cannot be read or holds no exploit.
    """

    def __init__(self, policy_file: str):
        self._path = Path(policy_file).expanduser()
        lines = _read(self._path)
        self._first: Config = lines[0][4]
        # A lineage goes on from the donor's state, so the donor's iteration is when.
        self._changes: list[tuple[int, Config]] = [(line[3], line[5]) for line in lines]
        self._done = 0
        self._trial_id: str | None = None

    @property
    def config(self) -> Config:
        """What the schedule begins with."""
        return self._first

    def on_trial_add(self, trial_runner: TrialRunner, trial: Trial) -> None:
        """Raises TuneError for a second trial, ConfigError if the trainable refuses the config."""
        if self._trial_id not in (None, trial.trial_id):
            raise TuneError(f"{self._path} is replayed by one trial: num_samples=1, and no grid.")
        self._trial_id = trial.trial_id
        if self._done or trial.perturbed:
            return
        config = _merged(trial.config, self._first)
        trial.get_trainable_cls().validate_config(config)
        trial.update_config(config, trial.experiment_tag)
        trial_runner.trial_executor.try_checkpoint_metadata(trial)

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        iteration = number_in(result, TRAINING_ITERATION)
        due = [config for at, config in self._changes[self._done :] if at <= iteration]
        self._done += len(due)
        if due and not trial_runner.replaying:
            self._change(trial_runner, trial, due[-1])
        return self.CONTINUE

    def debug_string(self) -> str:
        return (
            f"PopulationBasedTrainingReplay: {self._done} of {len(self._changes)} changes of "
            f"{self._path}"
        )

    def get_state(self) -> dict[str, Any]:
        return {"done": self._done, "trial_id": self._trial_id}

    def set_state(self, state: Any) -> None:
        self._done, self._trial_id = state["done"], state["trial_id"]

    def _change(self, runner: TrialRunner, trial: Trial, logged: Config) -> None:
        """As in the run that is replayed: the next iteration begins from a copied state."""
        config = _merged(trial.config, logged)
        before = plain(trial.config)
        changed = {
            ("config", key): config[key] for key in logged if plain(config[key]) != before.get(key)
        }
        tag = f"{trial.experiment_tag.partition(PERTURBED)[0]}{PERTURBED}[{format_vars(changed)}]"
        runner.keep_donor(trial)
        runner.exploit(trial, trial, config, tag)
        runner.forget_donor(trial)


def _read(path: Path) -> list[list[Any]]:
    """The exploits that led to the last one. In files of Ray 0.7 there may be others before."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise TuneError(f"{path} cannot be replayed: {error}") from error
    if not lines or not all(_is_exploit(line) for line in lines):
        raise TuneError(
            f"{path} cannot be replayed: its lines are to be lists of six, as PBT writes them into "
            "pbt_policy_<N>.txt."
        )
    lineage = [lines.pop()]
    while lines and lines[-1][0] == lineage[0][1]:
        lineage.insert(0, lines.pop())
    return lineage


def _is_exploit(line: Any) -> bool:
    return (
        isinstance(line, list)
        and len(line) == 6
        and isinstance(line[3], int)
        and all(isinstance(config, dict) for config in line[4:])
    )


def _merged(own: Mapping[str, Any], logged: Mapping[str, Any]) -> Config:
    """The logged config, with the trial's own objects where the log has only their text."""
    merged = {**own, **logged}
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(logged.get(key), Mapping):
            merged[key] = _merged(value, logged[key])
        elif key == SEED or isinstance(plain(value), str) and not isinstance(value, str):
            merged[key] = value
    return merged
