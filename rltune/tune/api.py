"""`run` and `run_experiments`: from an experiment as the user says it to its trials."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rltune.tune import experiment_state, json_encoding, resuming
from rltune.tune.analysis import ExperimentAnalysis
from rltune.tune.error import TuneError
from rltune.tune.experiment import Experiment, as_experiments
from rltune.tune.interrupt import InterruptGuard
from rltune.tune.local_trial_executor import LocalTrialExecutor
from rltune.tune.lost_results import log_lost
from rltune.tune.ray_trial_executor import RayTrialExecutor
from rltune.tune.run_lock import RunLock
from rltune.tune.schedulers import FIFOScheduler, TrialScheduler
from rltune.tune.suggest import BasicVariantGenerator, SearchAlgorithm
from rltune.tune.syncer import CloudSyncer, get_cloud_syncer
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import TrialExecutor
from rltune.tune.trial_runner import TrialRunner

if TYPE_CHECKING:
    from rltune.tune.web_server import ServerSettings, TuneServer

RESUME_WORDS = ("LOCAL", "REMOTE", "PROMPT")

log = logging.getLogger(__name__)


def run(
    run_or_experiment: Any,
    name: str | None = None,
    stop: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    resources_per_trial: Mapping[str, Any] | None = None,
    num_samples: int = 1,
    local_dir: str | None = None,
    upload_dir: str | None = None,
    trial_name_creator: Callable[[Trial], str] | None = None,
    loggers: Sequence[Any] | None = None,
    sync_to_cloud: Any = None,
    sync_to_driver: Any = None,
    checkpoint_freq: int = 0,
    checkpoint_at_end: bool = False,
    keep_checkpoints_num: int | None = None,
    checkpoint_score_attr: str | None = None,
    global_checkpoint_period: float = 10,
    export_formats: list[str] | None = None,
    max_failures: int = 3,
    restore: str | None = None,
    search_alg: SearchAlgorithm | None = None,
    scheduler: TrialScheduler | None = None,
    with_server: bool | ServerSettings = False,
    server_port: int = 4321,
    verbose: int = 2,
    resume: bool | str = False,
    queue_trials: bool = False,
    reuse_actors: bool = False,
    trial_executor: TrialExecutor | str | None = None,
    raise_on_failed_trial: bool = True,
    return_trials: bool = False,
    ray_auto_init: bool = True,
    sync_function: Any = None,
    *,
    isolate_trials: bool = False,
    resume_override: Collection[str] = (),
    resume_command: str | None = None,
) -> ExperimentAnalysis | list[Trial]:
    """Runs an experiment to its end.

    Args:
        run_or_experiment: a function, a Trainable subclass, a registered or built-in name, or an
            Experiment, which then says everything itself.
        name: of the experiment and its directory; default: the trainable's.
        stop: `{"training_iteration": 10}` stops at >=, `{"mean_loss": "<= 0.1"}` at <=; any one.
        config: what the trainable gets; may hold `grid_search` and `sample_from` anywhere.
        resources_per_trial: `cpu` (1), `gpu` (0), `extra_cpu`, `extra_gpu`, `custom_resources`,
            `extra_custom_resources`; fractions are allowed.
        num_samples: how often the whole grid is repeated, with new samples.
        local_dir: where `<name>/` goes; default `TUNE_RESULT_DIR`, else `~/ray_results`.
        upload_dir: URI that the experiment's directory is copied to, as `<upload_dir>/<name>`.
        trial_name_creator: function of a Trial that gives its name.
        loggers: Logger classes; None: the default ones, empty: none.
        sync_to_cloud: template with `{source}` and `{target}` or function that copies both ways.
        sync_to_driver: the same, to fetch a trial's directory from another node.
        checkpoint_freq: iterations between checkpoints; 0 makes none.
        checkpoint_at_end: a checkpoint when the trial ends.
        keep_checkpoints_num: how many of a trial's are kept; None keeps all.
        checkpoint_score_attr: the result field by which the best are kept; `min-` before it turns
            the order round.
        global_checkpoint_period: seconds between writes of the experiment's state.
        export_formats: handed to the trainable's `export_model` when a trial ends.
        max_failures: how often a trial is tried again; negative: without end.
        restore: checkpoint that the trials start from.
        search_alg, scheduler: default: all variants, in order.
        with_server, server_port: a server for TuneClient and curl while it runs, at this machine
            only; ServerSettings instead of True say otherwise.
        verbose: 0 prints nothing, 1 status blocks, 2 results too.
        resume: True or "LOCAL" goes on with the newest state in the experiment's directory,
            "REMOTE" with the one in `upload_dir`, "PROMPT" asks.
        queue_trials: trials that do not fit wait until the cluster has grown.
        reuse_actors: trials that start from a checkpoint take over the actor of one that stopped.
        trial_executor: "ray" (default), "local" for this process without Ray, or an object.
        raise_on_failed_trial: raise TuneError at the end if a trial has failed.
        return_trials: return the plain list of trials.
        ray_auto_init: start a local Ray if none is running.
        sync_function: template with `{local_dir}` and `{remote_dir}` or function, for uploads only.
        isolate_trials: a new process for every trial, whatever that costs. Otherwise trials with
            the same trainable and resources follow each other in one, unless a trial failed, had
            a GPU, or left threads or child processes.
        resume_override: what of this call's specification replaces that of the run that is
            resumed: "stop", also for trials that ended by the old one, and "num_samples".
        resume_command: what to type to go on, printed after an interrupt.

    Returns:
        An ExperimentAnalysis, which is also the sequence of the trials in order of creation.

    Raises:
        ConfigError: a config that its trainable refuses, with the problems of all trials. Nothing
            has been started or written.
        TuneError: an unknown trainable or argument, resources that do not exist, failed trials.
        ValueError: resources for a trainable that says itself what it needs; `resume` with nothing
            to resume from.
        DiskFull: a TuneError; there was no space for a checkpoint or the state.
        OSError: server_port is taken.
        KeyboardInterrupt: after the first Ctrl-C, when the state is saved.
    """
    if isinstance(run_or_experiment, Experiment):
        experiment = run_or_experiment
        log.debug("An Experiment was given: arguments of run() about experiments are ignored.")
    else:
        experiment = Experiment(
            name,
            run_or_experiment,
            stop=stop,
            config=config,
            resources_per_trial=resources_per_trial,
            num_samples=num_samples,
            local_dir=local_dir,
            upload_dir=upload_dir,
            trial_name_creator=trial_name_creator,
            loggers=loggers,
            sync_to_driver=sync_to_driver,
            checkpoint_freq=checkpoint_freq,
            checkpoint_at_end=checkpoint_at_end,
            keep_checkpoints_num=keep_checkpoints_num,
            checkpoint_score_attr=checkpoint_score_attr,
            export_formats=export_formats,
            max_failures=max_failures,
            restore=restore,
        )
    guard = InterruptGuard()
    syncer = get_cloud_syncer(
        experiment.checkpoint_dir, experiment.remote_checkpoint_dir, sync_function, sync_to_cloud
    )
    resumes = _has_state(resume, experiment, syncer)
    server = _make_server(with_server, server_port, experiment.local_dir)
    about: dict[str, Any] = {"experiment": _bare(experiment)}
    runner = TrialRunner(
        search_alg or BasicVariantGenerator(),
        scheduler or FIFOScheduler(),
        trial_executor=make_executor(
            trial_executor, queue_trials, reuse_actors, ray_auto_init, isolate_trials
        ),
        local_checkpoint_dir=experiment.checkpoint_dir,
        syncer=syncer,
        checkpoint_period=global_checkpoint_period,
        verbose=verbose,
        guard=guard,
        board=server.board if server else None,
        about=about,
    )
    assert runner.state is not None
    try:
        with guard, server or nullcontext():
            if resumes:
                runner.state.lock()  # before the state is read: no other run may write there now
            state = _load_state(experiment.checkpoint_dir) if resumes else None
            if state is None:
                runner.search_alg.add_configurations([experiment])
            else:
                _resume(runner, state, experiment, about, resume_override)
            runner.run()
    except KeyboardInterrupt:
        again = resume_command or f"tune.run(..., name={experiment.name!r}, resume=True)"
        print(f"Interrupted. To go on: {again}", flush=True)
        raise
    finally:
        runner.state.close()
    trials = runner.get_trials()
    _report_failures(trials, raise_on_failed_trial)
    if return_trials:
        return trials
    return ExperimentAnalysis(str(runner.state.path), trials=trials)


def run_experiments(
    experiments: Any,
    search_alg: SearchAlgorithm | None = None,
    scheduler: TrialScheduler | None = None,
    with_server: bool | ServerSettings = False,
    server_port: int = 4321,
    verbose: int = 2,
    resume: bool | str = False,
    queue_trials: bool = False,
    reuse_actors: bool = False,
    trial_executor: TrialExecutor | str | None = None,
    raise_on_failed_trial: bool = True,
    *,
    resume_command: str | None = None,
) -> list[Trial]:
    """Runs experiments one after another: an Experiment, a list of them, or a dict {name: spec}.

    They share the search algorithm, the scheduler and the executor. The other arguments, and what
    is raised, are those of `run`; `resume=True` begins those now that had not begun. Returns the
    trials of all of them.
    """
    todo = as_experiments(experiments)
    if len(todo) > 1:
        log.warning("%d experiments run one after another.", len(todo))
    executor = make_executor(trial_executor, queue_trials, reuse_actors)
    begun = {e.name for e in todo if experiment_state.newest(e.checkpoint_dir)}
    some_resume = bool(begun) and (resume is True or str(resume).upper() == "LOCAL")
    trials: list[Trial] = []
    for experiment in todo:
        trials += run(
            experiment,
            search_alg=search_alg,
            scheduler=scheduler,
            with_server=with_server,
            server_port=server_port,
            verbose=verbose,
            resume=resume if experiment.name in begun or not some_resume else False,
            trial_executor=executor,
            raise_on_failed_trial=raise_on_failed_trial,
            return_trials=True,
            resume_command=resume_command,
        )
    return trials


def _make_server(
    with_server: bool | ServerSettings, port: int, local_dir: str
) -> TuneServer | None:
    """A server that does not listen yet, if one is wanted."""
    if not with_server:
        return None
    from rltune.tune.server.board import Board
    from rltune.tune.web_server import TuneServer

    return TuneServer(Board(), port, local_dir, None if with_server is True else with_server)


def make_executor(
    executor: TrialExecutor | str | None,
    queue_trials: bool = False,
    reuse_actors: bool = False,
    ray_auto_init: bool = True,
    isolate_trials: bool = False,
) -> TrialExecutor:
    """The executor of this name ("ray", the default, or "local"); an object as it is."""
    if executor is None or executor == "ray":
        return RayTrialExecutor(
            queue_trials, reuse_actors, ray_auto_init, isolate_trials=isolate_trials
        )
    if executor == "local":
        return LocalTrialExecutor(queue_trials, reuse_actors)
    if isinstance(executor, str):
        raise TuneError(f"trial_executor is 'ray', 'local' or an object, not {executor!r}.")
    return executor


def _has_state(resume: bool | str, experiment: Experiment, syncer: CloudSyncer) -> bool:
    """Whether there is a state to go on from, here or downloaded now; False: begin anew.

    Raises ValueError for an unknown `resume`, and where it asks for a state that is not there.
    """
    if not resume:
        return False
    word = "LOCAL" if resume is True else str(resume).upper()
    if word not in RESUME_WORDS:
        raise ValueError(f"resume is False, True, {', '.join(RESUME_WORDS)}, not {resume!r}.")
    directory = experiment.checkpoint_dir
    if word == "PROMPT":
        word = _ask_where(directory, experiment.remote_checkpoint_dir)
    if word == "REMOTE":
        if experiment.remote_checkpoint_dir is None:
            raise ValueError("resume='REMOTE' needs an upload_dir to download from.")
        with RunLock(Path(directory)):
            syncer.sync_down()
    if not word:
        return False
    if experiment_state.newest(directory) is None:
        raise ValueError(f"There is nothing to resume: no experiment state in {directory}.")
    return True


def _load_state(directory: str) -> dict[str, Any] | None:
    """The newest state there, which exists; None, with a message, if it is of no use. What its run
    had not logged any more is logged.
    """
    path = experiment_state.newest(directory)
    assert path is not None
    try:
        state = experiment_state.load(path)
    except TuneError as error:
        log.error("The experiment begins anew: %s", error)
        return None
    if not state["checkpoints"]:
        log.warning("The experiment begins anew: its run ended before it had a trial.")
        return None
    log_lost(experiment_state.journal_path(path), state["checkpoints"])
    return state


def _resume(
    runner: TrialRunner,
    state: dict[str, Any],
    experiment: Experiment,
    about: dict[str, Any],
    override: Collection[str],
) -> None:
    """Gives the runner a state to go on from; `about` is what the runner keeps."""
    old = state["runner_data"].get("experiment")
    experiment.spec = resuming.resumed_spec(old, experiment.spec, override)
    about["experiment"] = _bare(experiment)
    searched = resuming.search_state(state, runner.search_alg)
    if searched is not None:
        runner.search_alg.add_configurations([experiment])
        runner.search_alg.set_state(searched)
    runner.resume(state, experiment.spec["stop"] if "stop" in override else None)


def _bare(experiment: Experiment) -> Any:
    """The specification as JSON holds it."""
    return json.loads(json_encoding.dumps_or_plain(experiment.spec))


def _ask_where(directory: str, remote: str | None) -> str:
    """Asks on the terminal; "" means anew."""
    if experiment_state.newest(directory) is not None:
        if _yes(f"Found an experiment in {directory}. Resume it?"):
            return "LOCAL"
        if remote is not None and _yes(f"Resume the one in {remote}?"):
            return "REMOTE"
    return ""


def _yes(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _report_failures(trials: Sequence[Trial], raise_on_failed_trial: bool) -> None:
    failed = [trial for trial in trials if trial.status != Trial.TERMINATED]
    if failed and raise_on_failed_trial:
        raise TuneError("Trials did not complete", failed)
    if failed:
        log.error("Trials did not complete: %s", failed)
