"""RayTrialExecutor: each trial in an actor. Ray is loaded when the first trial starts.

The runner keeps its own accounts of what trials may use; Ray keeps the same ones, and a trial whose
`extra_*` resources are for actors that it creates holds them in a placement group from its start.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rltune import registry
from rltune.ray_start import start_ray, starting
from rltune.resources import Resources
from rltune.tune.error import FailureKind, TrialFailure
from rltune.tune.fitting import busy_text, why_never
from rltune.tune.host import StartOrder
from rltune.tune.ray_nodes import start_nodes
from rltune.tune.ray_slots import Slot, SlotKind, SlotPool, fetch
from rltune.tune.trial import Trial
from rltune.tune.trial_executor import HostHandle, TrialExecutor

CLUSTER_CACHE_S = 0.5
# How often it is said which trials have no place, and who holds it.
BUSY_PERIOD_S = 60.0
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
        memory, object_store_memory: its bytes for processes, and for objects between them.
        num_nodes: of so many nodes, all on this machine, each with what the arguments before say.
        isolate_trials: a new process for every trial. Otherwise one hosts trials of the same kind
            one after another, unless a trial failed, had a GPU or left threads or children.
        clock: seconds, for the notices that a trial waits for what others hold.
    """

    def __init__(
        self,
        queue_trials: bool = False,
        reuse_actors: bool = False,
        ray_auto_init: bool = True,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        memory: int | None = None,
        object_store_memory: int | None = None,
        num_nodes: int = 1,
        isolate_trials: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(queue_trials, reuse_actors)
        self._auto_init = ray_auto_init
        self._node: dict[str, Any] = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "object_store_memory": object_store_memory,
        }
        self._memory, self._num_nodes = memory, num_nodes
        self._total: dict[str, float] = {}
        self._total_until = -float("inf")
        self._clock = clock
        self._next_notice = clock() + BUSY_PERIOD_S
        self.pool = SlotPool(isolate_trials)
        self._snapshot: tuple[bytes, Any] | None = None
        self._random = random.Random()  # the user's own generator is left alone

    def on_step_begin(self) -> None:
        """Raises TypeError for a registered object that no actor can get, before one starts."""
        registry.snapshot()

    def has_resources(self, resources: Resources) -> bool:
        free = self._free()
        if _fits(resources, free):
            return True
        if self._queue_trials and all(free.get(name, 0) > 0 for name in resources.totals()):
            log.warning(
                "A trial that needs %s is queued: it waits until the cluster has grown.",
                resources.summary_string(),
            )
            return True
        return False

    def why_never(self, trial: Trial) -> str | None:
        import ray

        self._connect()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needed = trial.resources.totals()
        processes = _bundles(trial) or [needed]
        return why_never(needed, processes, nodes, self._queue_trials)

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
            self._bind_waiting()
            trials = {}
            for trial in self._running.values():
                if trial.runner.outcomes:
                    return trial
                trials[trial.runner.training] = trial
            trials.pop(None, None)  # those that wait for their slot
            references = self._random.sample(list(trials), len(trials)) + self.pool.references()
            patience = max(0.0, self._next_notice - self._clock())
            ready, _ = ray.wait(references, timeout=min(patience, self.pool.patience()))
            self._notice_busy()
            if ready and ready[0] in trials:
                trials[ready[0]].runner.collect()

    def fetch_result(self, trial: Trial) -> dict[str, Any]:
        result: dict[str, Any] = trial.runner.take_outcome()
        return result

    def has_more(self, trial: Trial) -> bool:
        return bool(trial.runner.outcomes)

    def settle(self, trial: Trial, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        if not trial.runner.is_bound():
            trial.runner.bind()
        while not trial.runner.outcomes:
            trial.runner.collect(max(0.0, deadline - time.monotonic()))

    def open_host(self, trial: Trial) -> HostHandle:
        """The trial gets its slot when the next result is waited for: a slot that becomes free
        until then is enough.
        """
        self._connect()
        reusable = not trial.resources.gpu
        snapshot = registry.snapshot()
        kind = SlotKind(trial.trainable_name, trial.resources, _bundles(trial), snapshot, reusable)
        return _RayHandle(kind, self)

    def new_slot(self, kind: SlotKind) -> Slot:
        """A new process for a trial of this kind."""
        return self.pool.open(kind, self._registry_ref(kind.snapshot))

    def cleanup(self) -> None:
        super().cleanup()
        self.pool.close()

    def _notice_busy(self) -> None:
        """Once in a period: which trials wait for a place that others hold, started or not."""
        now = self._clock()
        if now < self._next_notice:
            return
        import ray

        self._next_notice = now + BUSY_PERIOD_S
        trials = self.get_running_trials()
        waiting = [trial for trial in trials if not trial.runner.has_place()]
        running = [trial for trial in trials if trial not in waiting]
        waiting += self._held_back()
        if waiting:
            log.warning(busy_text(waiting, running, self._cluster(), ray.available_resources()))

    def _held_back(self) -> list[Trial]:
        """The trials that are not started since others of this run hold what they need."""
        free = self._free()
        pending = self.get_waiting_trials(Trial.PENDING)
        return [trial for trial in pending if not _fits(trial.resources, free)]

    def _bind_waiting(self) -> None:
        """Gives trials their slots: a free one, or the next of those about to be free, else a new
        one.
        """
        self.pool.settle()
        waiting: list[_RayHandle] = []
        for trial in self._running.values():
            handle = trial.runner
            if handle.is_bound():
                continue
            slot = self.pool.take(handle.kind)
            before = sum(other.kind == handle.kind for other in waiting)
            if slot is None and before < self.pool.count_clearing(handle.kind):
                waiting.append(handle)
            else:
                handle.bind(slot)

    def _connect(self) -> None:
        import ray

        if not self._auto_init or ray.is_initialized():
            return
        if self._num_nodes > 1:
            with starting():
                start_nodes(self._num_nodes, {**self._node, "memory": self._memory})
        else:
            start_ray(self._memory, **self._node)

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

    def _registry_ref(self, data: bytes) -> Any:
        """What is registered here, put into the object store once per change."""
        import ray

        if self._snapshot is None or self._snapshot[0] is not data:
            self._snapshot = (data, ray.put(data))
        return self._snapshot[1]


class _RayHandle:
    """A trial on a slot, or one that waits for its slot to be ready."""

    def __init__(self, kind: SlotKind, executor: RayTrialExecutor):
        self.kind = kind
        self.training: Any = None  # the call under way
        self.outcomes: deque[Any] = deque()  # its results and failure, until they are fetched
        self._executor = executor
        self._slot: Slot | None = None
        self._order: tuple[StartOrder | None, Any] = (None, None)  # what begins with the slot
        self._begun: Any = None
        self._healthy = True

    def start(self, order: StartOrder, checkpoint: Any) -> None:
        self._order = (order, checkpoint)
        if self._slot is not None:  # of a trial whose trainable is reused
            self._send(self._slot)

    def begin_train(self) -> None:
        if self._slot is not None and not self.outcomes:
            self.training = self._slot.actor.train.remote()

    def is_bound(self) -> bool:
        return self._slot is not None or bool(self.outcomes)

    def has_place(self) -> bool:
        """Whether its process has begun with the trial."""
        import ray

        return self._begun is not None and bool(ray.wait([self._begun], timeout=0)[0])

    def bind(self, slot: Slot | None = None) -> None:
        """The trial begins on this slot, or on a new one. What cannot be had or sent there is its
        outcome.
        """
        try:
            self._slot = slot or self._new_slot()
            self._send(self._slot)
        except TrialFailure as failure:
            self.outcomes.append(failure)
        else:
            self.begin_train()

    def collect(self, timeout: float | None = None) -> None:
        """Takes in what the call has brought. A process that died before the trial had begun there
        is no failure, if another trial or the end of its node is to blame: the trial begins on a new
        one, and there is no outcome yet.
        """
        try:
            self.outcomes += self.fetch(self.training, timeout)
            self._healthy = not isinstance(self.outcomes[-1], TrialFailure)
        except TrialFailure as failure:
            slot = self._slot
            died = failure.kind is FailureKind.DIED and not self._has_begun()
            if slot is not None and died and (slot.used or slot.has_lost_its_node()):
                slot.kill()
                self._healthy = True
                self.bind()
            else:
                self.outcomes.append(failure)

    def take_outcome(self) -> Any:
        """The result of the iteration. Raises TrialFailure."""
        self.training = None
        outcome = self.outcomes.popleft()
        if isinstance(outcome, TrialFailure):
            raise outcome
        return outcome

    def call(self, method: str, *args: Any) -> Any:
        return self.fetch(getattr(self._actor(), method).remote(*args))

    def save_to_object(self) -> Any:
        """A checkpoint that stays in the object store; returns its reference."""
        reference, failure = self._actor().save_to_object.remote()
        failed = self.fetch(failure)
        if failed is not None:
            raise failed
        return reference

    def save_twice(self, directory: str) -> tuple[Any, str]:
        """The same, and the path of what is on disk."""
        reference, path = self._actor().save_twice.remote(directory)
        return reference, self.fetch(path)

    def fetch(self, reference: Any, timeout: float | None = None) -> Any:
        """A value of the slot. Raises TrialFailure; the process then hosts no other trial."""
        try:
            return fetch(reference, timeout)
        except TrialFailure:
            self._healthy = False
            raise

    def close(self) -> None:
        if self._slot is not None:
            self._executor.pool.give_back(self._slot, self._healthy)

    def _actor(self) -> Any:
        if self._slot is None:
            self.bind()
        if self._slot is None:
            raise self.outcomes[0]
        return self._slot.actor

    def _new_slot(self) -> Slot:
        try:
            return self._executor.new_slot(self.kind)
        except Exception as error:  # whatever Ray says to the resources
            raise TrialFailure.of(error, FailureKind.START, retry=False) from error

    def _send(self, slot: Slot) -> None:
        try:
            self._begun = slot.actor.start.remote(*self._order)
        except Exception as error:  # whatever pickling the config raises
            self._healthy = False
            raise TrialFailure.of(error, FailureKind.START, retry=False) from error

    def _has_begun(self) -> bool:
        try:
            fetch(self._begun, timeout=0)
        except TrialFailure:
            return False
        return True


def _fits(resources: Resources, free: Mapping[str, float]) -> bool:
    return all(free.get(name, 0) >= amount for name, amount in resources.totals().items())


def _bundles(trial: Trial) -> list[dict[str, float]]:
    """Bundle 0 is the trial's own, the others its actors': as its class says, else one for all."""
    if not trial.resources.has_extra():
        return []
    divide = getattr(trial.get_trainable_cls(), "placement_bundles", None)
    extra = divide(trial.config) if divide else [trial.resources.extra_bundle()]
    return [bundle for bundle in [trial.resources.own_bundle(), *extra] if bundle]


def _is_custom(name: str) -> bool:
    built_in = name.startswith(_BUILT_IN) or "_group_" in name  # a placement group's share
    return name not in ("CPU", "GPU") and not built_in
