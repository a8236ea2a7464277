"""Population based training: bad trials go on from good ones, with settings nearby."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rltune.result import TRAINING_ITERATION
from rltune.tune.error import TuneError
from rltune.tune.schedulers.explore import (
    CustomExplore,
    check_config,
    checked,
    explore,
    mutated_values,
)
from rltune.tune.schedulers.fields import number_in
from rltune.tune.schedulers.fifo import FIFOScheduler
from rltune.tune.schedulers.objective import Objective
from rltune.tune.schedulers.policy_log import PERTURBED, PolicyLog
from rltune.tune.schedulers.population import Member, size_of_quantile, worst_and_best
from rltune.tune.suggest.variant_generator import format_vars
from rltune.tune.trial import Trial

if TYPE_CHECKING:
    from rltune.tune.trial_runner import TrialRunner

SEED = "seed"
_NO_MUTATIONS: dict[str, Any] = {}

log = logging.getLogger(__name__)


class PopulationBasedTraining(FIFOScheduler):
    """Every `perturbation_interval` a trial is compared with the others (Jaderberg et al. 2017): one
    of the best is remembered, one of the worst goes on from a remembered one, with a config near
    that one's (`explore`). Trials take turns where not all fit.

    Args:
        time_attr: field of the result that is the time; it grows with every result.
        reward_attr: older name of `metric`, with mode "max".
        metric: field of the result to compare by; a value that is not finite is the worst.
        mode: "max" or "min".
        perturbation_interval: how often a trial is compared, in units of `time_attr`.
        hyperparam_mutations: key of the config -> list, range, function without arguments, or a
            dict of these for a nested config.
        quantile_fraction: the part of the trials that is the best, and the worst; 0 to 0.5.
        resample_probability: how often a value is drawn anew instead of a step from the donor's.
        custom_explore_fn: gets the explored config, returns it as it shall be.
        log_config: whether exploits are written to `pbt_global.txt` and `pbt_policy_<N>.txt`.
        synch: compare all trials at the same time: who is early is paused until the last one that
            still trains is there.
        seed: of every decision; drawn from Python's global generator if None.

    Raises TuneError for wrong arguments, AssertionError for another mode.
    """

    def __init__(
        self,
        time_attr: str = "time_total_s",
        reward_attr: str | None = None,
        metric: str = "episode_reward_mean",
        mode: str = "max",
        perturbation_interval: float = 60.0,
        hyperparam_mutations: Mapping[str, Any] = _NO_MUTATIONS,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        custom_explore_fn: CustomExplore | None = None,
        log_config: bool = True,
        synch: bool = False,
        seed: int | None = None,
    ):
        if not hyperparam_mutations and custom_explore_fn is None:
            raise TuneError("PBT needs hyperparam_mutations or a custom_explore_fn.")
        _check_fraction("quantile_fraction", quantile_fraction, 0.5)
        _check_fraction("resample_probability", resample_probability, 1.0)
        if perturbation_interval < 0 or synch and perturbation_interval == 0:
            raise TuneError(f"perturbation_interval must be positive, not {perturbation_interval}.")
        self._objective = Objective(time_attr, reward_attr, metric, mode)
        self._interval = perturbation_interval
        self._mutations = checked(hyperparam_mutations)
        if SEED in self._mutations:
            raise TuneError("The seed cannot be mutated: every trial keeps its own.")
        self._fraction, self._resample = quantile_fraction, resample_probability
        self._custom_explore = custom_explore_fn
        self._log_config = log_config
        self._seed = random.randrange(2**32) if seed is None else seed
        self._synch = synch
        self._members: dict[str, Member] = {}
        self._arrived: set[str] = set()  # in synch mode, who waits for the others
        self._next_round = float(perturbation_interval)
        self._num_checkpoints = 0
        self._num_perturbations = 0
        self._logs: dict[str, PolicyLog] = {}
        self._log_lines: dict[str, int] = {}  # by directory
        self._opened = self._resumed = False

    # What the runner tells.

    def on_trial_add(self, trial_runner: TrialRunner, trial: Trial) -> None:
        """Raises TuneError for a config that the mutations do not go with."""
        check_config(trial.config, self._mutations)
        self._log_lines.setdefault(trial.local_dir, 0)
        if trial.trial_id in self._members:  # it failed, and waits for another start
            self._members[trial.trial_id].alive = True
            return
        tag = trial.experiment_tag.partition(PERTURBED)[0]
        # One that is shown again may have another config by now.
        first = {} if trial.perturbed else mutated_values(trial.config, self._mutations)
        self._members[trial.trial_id] = Member(len(self._members), tag, first=first)

    def on_trial_result(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> str:
        member = self._members[trial.trial_id]
        time = number_in(result, self._objective.time_attr)
        early = self._next_round - time if self._synch else self._interval - (time - member.time)
        if early > 0:
            return self.CONTINUE
        time, score = self._objective.read(result)
        iteration = int(number_in(result, TRAINING_ITERATION))
        turn = 1 + max(each.turn for each in self._members.values())
        compared = replace(member, score=score, time=time, turn=turn, iteration=iteration)
        self._remember_if_good(trial_runner, trial, compared)
        self._members[trial.trial_id] = compared
        if self._synch:
            self._arrived.add(trial.trial_id)
            self._end_round_if_complete(trial_runner)
            return self.PAUSE if self._arrived or _others_wait(trial_runner) else self.CONTINUE
        worst, best = self._quantiles(self._scored())
        if trial.trial_id in worst:
            self._exploit(trial_runner, trial.trial_id, best)
        return self.PAUSE if _others_wait(trial_runner) else self.CONTINUE

    def undecided_until(self, trial: Trial) -> Mapping[str, float] | None:
        """The time of its next comparison."""
        if type(self).on_trial_result is not PopulationBasedTraining.on_trial_result:
            return None
        last = self._members[trial.trial_id].time
        return {
            self._objective.time_attr: self._next_round if self._synch else last + self._interval
        }

    def on_trial_complete(
        self, trial_runner: TrialRunner, trial: Trial, result: dict[str, Any]
    ) -> None:
        self._leave(trial_runner, trial)

    def on_trial_error(self, trial_runner: TrialRunner, trial: Trial) -> None:
        self._leave(trial_runner, trial)

    def on_trial_remove(self, trial_runner: TrialRunner, trial: Trial) -> None:
        self._leave(trial_runner, trial)

    def choose_trial_to_run(self, trial_runner: TrialRunner) -> Trial | None:
        """Of the trials that wait and fit, the one with the lowest time; of several, the one that has waited longest,
        so that a donor goes on before those that were set back to its time.
        """
        self._open_logs()
        candidates = [
            trial
            for status in (Trial.PENDING, Trial.PAUSED)
            for trial in trial_runner.startable(status)
            if trial.trial_id not in self._arrived
        ]
        return min(candidates, key=self._turn, default=None)

    def debug_string(self) -> str:
        return (
            f"PopulationBasedTraining: {self._num_checkpoints} checkpoints, "
            f"{self._num_perturbations} perturbs"
        )

    # The state.

    def get_state(self) -> dict[str, Any]:
        """Besides what it needs itself: what a reader of the experiment wants to know."""
        return {
            "metric": self._objective.metric,
            "time_attr": self._objective.time_attr,
            "mutated": list(mutated_values({}, self._mutations)),
            "seed": self._seed,
            "members": {id_: member.to_json() for id_, member in self._members.items()},
            "arrived": sorted(self._arrived),
            "next_round": self._next_round,
            "num_checkpoints": self._num_checkpoints,
            "num_perturbations": self._num_perturbations,
            "log_lines": dict(self._log_lines),
        }

    def set_state(self, state: Any) -> None:
        self._seed = state["seed"]
        self._members = {id_: Member.from_json(each) for id_, each in state["members"].items()}
        self._arrived = set(state["arrived"])
        self._next_round = state["next_round"]
        self._num_checkpoints = state["num_checkpoints"]
        self._num_perturbations = state["num_perturbations"]
        self._log_lines = dict(state["log_lines"])
        self._resumed = True

    def last_scores(self, trials: Iterable[Trial]) -> list[float]:
        """What these trials were last compared by, of those that were and have not ended."""
        scored = self._scored()
        return [scored[t.trial_id].score or 0.0 for t in trials if t.trial_id in scored]

    def reset_stats(self) -> None:
        """Counts checkpoints and perturbations from 0 again."""
        self._num_checkpoints = self._num_perturbations = 0

    # Comparing.

    def _scored(self) -> dict[str, Member]:
        """Whom a trial is compared with."""
        return {
            trial_id: member
            for trial_id, member in self._members.items()
            if member.alive
            and member.score is not None
            and (not self._synch or trial_id in self._arrived)
        }

    def _quantiles(self, scored: Mapping[str, Member]) -> tuple[list[str], list[str]]:
        """The worst and the best; in synch mode of those that are there, of so many as live."""
        live = sum(member.alive for member in self._members.values())
        number = live if self._synch else len(scored)
        return worst_and_best(scored, size_of_quantile(number, self._fraction))

    def _turn(self, trial: Trial) -> tuple[float, int, int]:
        member = self._members[trial.trial_id]
        return member.time, member.turn, member.order

    def _remember_if_good(self, runner: TrialRunner, trial: Trial, compared: Member) -> None:
        """Keeps the trial's state if it is one of the best so far, else forgets the one before."""
        _, best = self._quantiles({**self._scored(), trial.trial_id: compared})
        if trial.trial_id in best:
            runner.keep_donor(trial)
            self._num_checkpoints += 1
        elif compared.remembered:
            runner.forget_donor(trial)
        compared.remembered = trial.trial_id in best

    def _leave(self, runner: TrialRunner, trial: Trial) -> None:
        """The trial has ended: nobody waits for it, and nobody copies it."""
        member = self._members[trial.trial_id]
        member.alive = member.remembered = False
        self._arrived.discard(trial.trial_id)
        self._end_round_if_complete(runner)

    def _end_round_if_complete(self, runner: TrialRunner) -> None:
        """In synch mode: once all that still train are there, the worst copy the best."""
        live = {id_: member for id_, member in self._members.items() if member.alive}
        if not self._arrived or self._arrived != set(live):
            return
        worst, best = self._quantiles(self._scored())
        for trial_id, member in live.items():
            if member.remembered and trial_id not in best:
                runner.forget_donor(_trial(runner, trial_id))
                member.remembered = False
        last = max(member.time for member in live.values())
        for trial_id in worst:
            self._exploit(runner, trial_id, best)
        self._arrived.clear()
        self._next_round = self._interval * (math.floor(last / self._interval) + 1)

    # Exploiting.

    def _exploit(self, runner: TrialRunner, loser_id: str, best: Sequence[str]) -> None:
        """The loser goes on from the state of one of the best, if that is remembered."""
        loser = self._members[loser_id]
        if not best:
            log.info("PBT: no trial has a score that is worth copying.")
            return
        rng = random.Random(f"{self._seed}/{loser.order}/{loser.copies}/{loser.time}")
        donor_id = rng.choice(best)
        donor = self._members[donor_id]
        trial, donor_trial = _trial(runner, loser_id), _trial(runner, donor_id)
        if not donor.remembered:
            log.info("PBT: %s does not copy %s, which has no checkpoint.", trial, donor_trial)
            return
        if not runner.replaying:
            self._copy(runner, trial, donor_trial, rng)
        self._log_lines[trial.local_dir] += 1
        self._num_perturbations += 1
        loser.time, loser.iteration = donor.time, donor.iteration
        loser.copies += 1

    def _copy(
        self, runner: TrialRunner, trial: Trial, donor_trial: Trial, rng: random.Random
    ) -> None:
        loser, donor = self._members[trial.trial_id], self._members[donor_trial.trial_id]
        config = self._new_config(trial, donor_trial, rng)
        changed = {("config", key): config[key] for key in self._mutations if key in config}
        log.info(
            "PBT: %s (score %s) copies %s (score %s).", trial, loser.score, donor_trial, donor.score
        )
        if self._log_config:
            entry = [loser.tag, donor.tag, loser.iteration, donor.iteration]
            self._log(trial.local_dir).append([*entry, donor_trial.config, config])
        tag = f"{loser.tag}{PERTURBED}[{format_vars(changed)}]"
        runner.exploit(trial, donor_trial, config, tag)

    def _new_config(self, trial: Trial, donor: Trial, rng: random.Random) -> dict[str, Any]:
        """A config near the donor's, in the ranges of its keys, with the trial's own seed. Trials that were given the
        same seed get one of their own, so that two copies never train in the same way.
        """
        config = explore(donor.config, self._mutations, self._resample, self._custom_explore, rng)
        config = trial.get_trainable_cls().clip_config(config)
        config.pop(SEED, None)
        seed = trial.config.get(SEED)
        if seed is not None and seed == donor.config.get(SEED):
            seed = rng.randrange(2**32)
        return config if SEED not in trial.config else {**config, SEED: seed}

    def _open_logs(self) -> None:
        """Once, before anything new is decided: see PolicyLog."""
        if self._opened or not self._log_config:
            return
        self._opened = True
        for directory, lines in self._log_lines.items():
            self._logs[directory] = PolicyLog(directory, lines if self._resumed else None)

    def _log(self, directory: str) -> PolicyLog:
        self._open_logs()
        if directory not in self._logs:
            self._logs[directory] = PolicyLog(directory)
        return self._logs[directory]


def _others_wait(runner: TrialRunner) -> bool:
    """Whether a trial waits that a client does not hold."""
    return any(
        not trial.held
        for status in (Trial.PENDING, Trial.PAUSED)
        for trial in runner.trial_executor.get_waiting_trials(status)
    )


def _trial(runner: TrialRunner, trial_id: str) -> Trial:
    trial = runner.get_trial(trial_id)
    assert trial is not None, trial_id
    return trial


def _check_fraction(name: str, value: float, highest: float) -> None:
    if not 0 <= value <= highest:
        raise TuneError(f"{name} must be from 0 to {highest:g}, not {value!r}.")
