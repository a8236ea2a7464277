"""RayTrialExecutor: each trial in an actor of its own. Ray is loaded when the first trial starts.

The runner keeps its own accounts of what trials may use; Ray keeps the same ones, and a trial whose
`extra_*` resources are for actors that it creates holds them in a placement group from its start.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from functools import cache
from typing import Any

from rltune import registry
from rltune.resources import Resources
from rltune.tune.error import FailureKind, TrialFailure
from rltune.tune.host import StartOrder, TrialHost
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import HostHandle, TrialExecutor

CLUSTER_CACHE_S = 0.5
STOP_PATIENCE_S = 5.0
# Resources that Ray adds to every node by itself.
_BUILT_IN = ("memory", "object_store_memory", "node:", "accelerator_type:")

log = logging.getLogger(__name__)


class RayTrialExecutor(TrialExecutor):
    """Trials as Ray actors; sleeps only in `ray.wait`.

    Args:
        queue_trials: start trials that do not fit yet, as long as there is some of each resource.
        reuse_actors: give the actor of a stopped trial to the next that starts from a checkpoint.
        ray_auto_init: start a local Ray if there is none; with False that is Ray's own error.
        num_cpus, num_gpus: what that local Ray has; by default what the machine has.
    """

    def __init__(
        self,
        queue_trials: bool = False,
        reuse_actors: bool = False,
        ray_auto_init: bool = True,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
    ):
        super().__init__(queue_trials, reuse_actors)
        self._auto_init = ray_auto_init
        self._num_cpus, self._num_gpus = num_cpus, num_gpus
        self._total: dict[str, float] = {}
        self._total_until = -float("inf")
        self._closing: list[_RayHandle] = []
        self._snapshot: tuple[bytes, Any] | None = None
        self._random = random.Random()  # the user's own generator is left alone

    def on_step_begin(self) -> None:
        """Raises TypeError for a registered object that no actor can get, before one starts."""
        registry.snapshot()

    def has_resources(self, resources: Resources) -> bool:
        free = self._free()
        needed = resources.totals()
        if all(free.get(name, 0) >= amount for name, amount in needed.items()):
            return True
        if self._queue_trials and all(free.get(name, 0) > 0 for name in needed):
            log.warning(
                "A trial that needs %s is queued: it waits until the cluster has grown.",
                resources.summary_string(),
            )
            return True
        return False

    def resource_string(self) -> str:
        total = self._cluster()
        custom = [f", {n:g} {name}" for name, n in total.items() if _is_custom(name)]
        return f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs{''.join(custom)}"

    def debug_string(self) -> str:
        total, used = self._cluster(), self._committed()
        texts = {name: f"{used.get(name, 0):g}/{total.get(name, 0):g} " for name in {*total, "GPU"}}
        custom = ", ".join(texts[name] + name for name in sorted(total) if _is_custom(name))
        text = f"Resources used: {texts['CPU']}CPUs, {texts['GPU']}GPUs"
        return f"{text} ({custom})" if custom else text

    def get_next_available_trial(self) -> Trial:
        """Waits in `ray.wait`; among several that are ready, one at random, so that none
        starves.
        """
        import ray

        while True:
            trials = {trial.runner.training: trial for trial in self._running.values()}
            refs = self._random.sample(list(trials), len(trials))
            refs += [handle.closing for handle in self._closing]
            ready, _ = ray.wait(refs, timeout=self._next_closing())
            self._finish_closing()
            if ready and ready[0] in trials:
                return trials[ready[0]]

    def fetch_result(self, trial: Trial) -> dict[str, Any]:
        result: dict[str, Any] = trial.runner.fetch(trial.runner.training)
        return result

    def settle(self, trial: Trial, timeout: float) -> dict[str, Any] | None:
        result: dict[str, Any] = trial.runner.fetch(trial.runner.training, timeout)
        return result

    def open_host(self, trial: Trial) -> HostHandle:
        self._connect()
        return _RayHandle(trial, self._registry_ref(), self._closing)

    def cleanup(self) -> None:
        super().cleanup()
        deadline = time.monotonic() + STOP_PATIENCE_S
        while self._closing and time.monotonic() < deadline:
            import ray

            ray.wait([handle.closing for handle in self._closing], timeout=STOP_PATIENCE_S)
            self._finish_closing()
        for handle in self._closing:
            handle.kill()
        self._closing.clear()

    def _connect(self) -> None:
        import ray

        if self._auto_init and not ray.is_initialized():
            # Ray lowers the priority of its workers, which starves them beside a busy driver.
            os.environ.setdefault("RAY_worker_niceness", "0")
            on_term = signal.getsignal(signal.SIGTERM)
            ray.init(
                num_cpus=self._num_cpus,
                num_gpus=self._num_gpus,
                include_dashboard=False,
                log_to_driver=True,
                logging_level=logging.WARNING,
            )
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_term)  # Ray's own would end the run at once

    def _cluster(self) -> dict[str, float]:
        now = time.monotonic()
        if now >= self._total_until:
            import ray

            self._connect()
            self._total = dict(ray.cluster_resources())
            self._total_until = now + CLUSTER_CACHE_S
        return self._total

    def _committed(self) -> dict[str, float]:
        used: dict[str, float] = {}
        for trial in self._running.values():
            for name, amount in trial.resources.totals().items():
                used[name] = used.get(name, 0) + amount
        return used

    def _free(self) -> dict[str, float]:
        used = self._committed()
        # Fractions add up with rounding errors: five times 0.2 must fit into 1.
        return {name: n - used.get(name, 0) + 1e-9 for name, n in self._cluster().items()}

    def _registry_ref(self) -> Any:
        """What is registered here, put into the object store once per change."""
        import ray

        data = registry.snapshot()
        if self._snapshot is None or self._snapshot[0] is not data:
            self._snapshot = (data, ray.put(data))
        return self._snapshot[1]

    def _next_closing(self) -> float | None:
        """Seconds until an actor that was asked to end has to be looked at."""
        if not self._closing:
            return None
        return max(0.0, min(handle.deadline for handle in self._closing) - time.monotonic())

    def _finish_closing(self) -> None:
        self._closing[:] = [handle for handle in self._closing if not handle.is_closed()]


class _RayHandle:
    """One actor, and the placement group that it and its children live in."""

    def __init__(self, trial: Trial, snapshot: Any, closing: list[_RayHandle]):
        self._closing_list = closing
        self._snapshot = snapshot
        self._group = _placement_group(trial)
        environ = {} if trial.resources.gpu else {"CUDA_VISIBLE_DEVICES": ""}
        self._actor = (
            _actor_class(trial.trainable_name)
            .options(**_actor_options(trial.resources, self._group))
            .remote(environ)
        )
        self.training: Any = None
        self._stopped: Any = None
        self.closing: Any = None
        self.deadline = float("inf")

    def start(self, order: StartOrder, checkpoint: Any) -> None:
        try:
            self._actor.start.remote(order, checkpoint, self._snapshot)
        except Exception as error:  # whatever pickling the config raises
            raise TrialFailure.of(error, FailureKind.START, retry=False) from error

    def begin_train(self) -> None:
        self.training = self._actor.train.remote()

    def call(self, method: str, *args: Any) -> Any:
        return self.fetch(getattr(self._actor, method).remote(*args))

    def save_to_object(self) -> Any:
        """A checkpoint that stays in the object store; returns its reference."""
        reference, failure = self._actor.save_to_object.remote()
        failed = self.fetch(failure)
        if failed is not None:
            raise failed
        return reference

    def fetch(self, reference: Any, timeout: float | None = None) -> Any:
        """A value of the actor. Raises TrialFailure where it is one, and for a dead actor."""
        import ray
        from ray import exceptions

        try:
            value = ray.get(reference, timeout=timeout)
        except exceptions.GetTimeoutError:
            raise TrialFailure(FailureKind.RUN, "it did not end in time", "") from None
        except exceptions.RayError as error:
            died = isinstance(error, exceptions.RayActorError)
            text = str(error).strip()
            kind = FailureKind.DIED if died else FailureKind.RUN
            raise TrialFailure(kind, text.partition("\n")[0], text) from error
        if isinstance(value, TrialFailure):
            raise value
        return value

    def close(self) -> None:
        """Stops the trainable, then ends the process; `is_closed` tells when that is done."""
        self._stopped = self._actor.stop.remote()
        self.closing = self._actor.__ray_terminate__.remote()
        self.deadline = time.monotonic() + STOP_PATIENCE_S
        self._closing_list.append(self)

    def is_closed(self) -> bool:
        """Whether the actor is gone; after the deadline it is killed."""
        import ray

        ready, _ = ray.wait([self.closing], timeout=0)
        if not ready and time.monotonic() < self.deadline:
            return False
        try:
            self.fetch(self._stopped, timeout=0)
        except TrialFailure as failure:
            if failure.kind is not FailureKind.DIED:
                log.warning("Stopping a trial failed: %s", failure)
        self.kill()
        return True

    def kill(self) -> None:
        """Ends the actor, if it still lives, and its children with their placement group."""
        import ray
        from ray.util import remove_placement_group

        ray.kill(self._actor)
        if self._group is not None:
            remove_placement_group(self._group)


class _ActorHost(TrialHost):
    """A host whose in-memory checkpoint and failure are two values: the first may stay a
    reference.
    """

    def save_to_object(self) -> tuple[bytes | None, TrialFailure | None]:
        value = self.call("save_to_object")
        return (None, value) if isinstance(value, TrialFailure) else (value, None)


@cache
def _actor_class(trainable_name: str) -> Any:
    """The host under the trainable's name, which `ps` shows."""
    import ray

    cls = type(trainable_name, (_ActorHost,), {})
    cls.save_to_object = ray.method(num_returns=2)(_ActorHost.save_to_object)  # type: ignore
    return ray.remote(cls)


def _actor_options(resources: Resources, group: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "num_cpus": resources.cpu,
        "num_gpus": resources.gpu,
        "resources": {name: n for name, n in resources.custom_resources.items() if n},
    }
    if group is not None:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(
            placement_group=group,
            placement_group_bundle_index=0 if resources.own_bundle() else -1,
            placement_group_capture_child_tasks=True,
        )
    return options


def _placement_group(trial: Trial) -> Any:
    """Bundle 0 is the trial's own, the others its actors': as its class says, else one for all."""
    if not trial.resources.has_extra():
        return None
    from ray.util import placement_group

    divide = getattr(trial.get_trainable_cls(), "placement_bundles", None)
    extra = divide(trial.config) if divide else [trial.resources.extra_bundle()]
    bundles = [bundle for bundle in [trial.resources.own_bundle(), *extra] if bundle]
    return placement_group(bundles, strategy="PACK")


def _is_custom(name: str) -> bool:
    built_in = name.startswith(_BUILT_IN) or "_group_" in name  # a placement group's share
    return name not in ("CPU", "GPU") and not built_in
