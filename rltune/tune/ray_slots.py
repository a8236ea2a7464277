"""Slots: Ray actors that host one trial at a time and outlive it.

The next trial of the same kind costs a constructor call instead of the start of a process. What a
trial could leave to the next one is put back, and a process in which that cannot be done is ended.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rltune import registry
from rltune.resources import Resources
from rltune.tune.error import FailureKind, TrialFailure
from rltune.tune.host import TrialHost
from rltune.tune.process_state import ProcessState
from rltune.tune.ray_nodes import is_lost, node_of

STOP_PATIENCE_S = 5.0
# A process without a trial holds resources that nobody else can use: other drivers may wait.
IDLE_S = 5.0
ACTORS_PATIENCE_S, ACTORS_POLL_S = 2.0, 0.01

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlotKind:
    """Trials of one kind can follow each other in a process: same code, same resources.

    `bundles` are those of the placement group, the trial's own first; none: no group.
    """

    trainable_name: str
    resources: Resources
    bundles: Sequence[dict[str, float]]
    snapshot: bytes = field(repr=False)
    reusable: bool = True


class Slot:
    """One process, and the placement group that it and its children live in."""

    def __init__(self, kind: SlotKind, snapshot: Any):
        self.kind = kind
        self.used = False  # by a trial before
        self.pending: Any = None  # what its clearing or its end is waited for with
        self.deadline = float("inf")
        self._group = _placement_group(kind.bundles)
        environ = {} if kind.resources.gpu else {"CUDA_VISIBLE_DEVICES": ""}
        self.actor = (
            _actor_class(kind.trainable_name)
            .options(**_actor_options(kind.resources, self._group))
            .remote(environ, snapshot)
        )

    def clear(self) -> None:
        """Asks it to stop the trainable and to become as new; does not wait."""
        self.used = True
        self.pending = self.actor.clear.remote(self._group is not None)
        self.deadline = time.monotonic() + STOP_PATIENCE_S

    def is_cleared(self) -> bool:
        """Whether another trial may have it, once `pending` is ready."""
        try:
            failure, leftovers = fetch(self.pending, timeout=0)
        except TrialFailure as died:
            if died.kind is not FailureKind.DIED:
                log.warning("Stopping a trial failed: %s", died)
            return False
        if failure is not None:
            log.warning("Stopping a trial failed: %s", failure)
        if leftovers:
            log.debug("A trial left %s: the next one gets a new process.", ", ".join(leftovers))
        return failure is None and not leftovers

    def has_lost_its_node(self) -> bool:
        """Whether the process is gone since its node is."""
        return is_lost(node_of(self.actor))

    def terminate(self) -> None:
        """Asks the process to end after what it was asked before; does not wait."""
        self.pending = self.actor.__ray_terminate__.remote()
        self.deadline = time.monotonic() + STOP_PATIENCE_S

    def kill(self) -> None:
        """Ends the process, if it still lives, and its children with their placement group."""
        import ray
        from ray.util import remove_placement_group

        ray.kill(self.actor)
        if self._group is not None:
            remove_placement_group(self._group)


class SlotPool:
    """The slots without a trial. A slot with one belongs to that trial's handle.

    Args:
        isolate: every trial gets a process of its own.
    """

    def __init__(self, isolate: bool = False):
        self._isolate = isolate
        self._idle: list[Slot] = []
        self._clearing: list[Slot] = []
        self._ending: list[Slot] = []

    def take(self, kind: SlotKind) -> Slot | None:
        """A free slot of this kind, if there is one."""
        for slot in self._idle:
            if slot.kind == kind:
                self._idle.remove(slot)
                return slot
        return None

    def count_clearing(self, kind: SlotKind) -> int:
        """How many slots of this kind are about to be free."""
        return sum(slot.kind == kind for slot in self._clearing)

    def open(self, kind: SlotKind, snapshot: Any) -> Slot:
        """A new slot. Slots of other kinds that nobody uses make room for it."""
        for slot in self._idle:
            self._end(slot)
        self._idle.clear()
        return Slot(kind, snapshot)

    def give_back(self, slot: Slot, healthy: bool) -> None:
        """A trial has ended: its slot is for the next one, or ends if it is not fit for that."""
        slot.clear()
        if healthy and slot.kind.reusable and not self._isolate:
            self._clearing.append(slot)
        else:
            self._end(slot)

    def references(self) -> list[Any]:
        """What `settle` waits for."""
        return [slot.pending for slot in (*self._clearing, *self._ending)]

    def patience(self) -> float:
        """Seconds until `settle` has something to do even if nothing becomes ready."""
        slots = [*self._idle, *self._clearing, *self._ending]
        earliest = min((slot.deadline for slot in slots), default=float("inf"))
        return max(0.0, earliest - time.monotonic())

    def settle(self) -> None:
        """Moves on what has become ready, and what has taken too long. Does not wait."""
        now = time.monotonic()
        ready = _ready(self.references())
        for slot in [s for s in self._clearing if s.pending in ready or now >= s.deadline]:
            self._clearing.remove(slot)
            if slot.pending in ready and slot.is_cleared():
                slot.deadline = now + IDLE_S
                self._idle.append(slot)
            else:
                self._end(slot)
        for slot in [s for s in self._idle if now >= s.deadline]:
            self._idle.remove(slot)
            self._end(slot)
        for slot in [s for s in self._ending if s.pending in ready or now >= s.deadline]:
            self._ending.remove(slot)
            slot.kill()

    def close(self) -> None:
        """Ends every slot; waits a little for those that stop a trainable."""
        import ray

        for slot in [*self._idle, *self._clearing]:
            self._end(slot)
        self._idle.clear()
        self._clearing.clear()
        deadline = time.monotonic() + STOP_PATIENCE_S
        while self._ending and time.monotonic() < deadline:
            ray.wait(self.references(), timeout=self.patience())
            self.settle()
        for slot in self._ending:
            slot.kill()
        self._ending.clear()

    def _end(self, slot: Slot) -> None:
        slot.terminate()
        self._ending.append(slot)


class SlotHost(TrialHost):
    """The host in a slot's process."""

    def __init__(self, environ: dict[str, str], snapshot: bytes):
        super().__init__(environ)
        registry.install(snapshot)
        self._fresh = ProcessState()

    def save_to_object(self) -> tuple[bytes | None, TrialFailure | None]:
        """Two values, so that the first may stay a reference: the checkpoint, or the failure."""
        value = self.call("save_to_object")
        return (None, value) if isinstance(value, TrialFailure) else (value, None)

    def save_twice(self, directory: str) -> tuple[bytes | None, Any]:
        """Two values again: the checkpoint, and its path or the failure."""
        saved = super().save_twice(directory)
        return (None, saved) if isinstance(saved, TrialFailure) else saved

    def clear(self, may_have_actors: bool) -> tuple[TrialFailure | None, list[str]]:
        """Stops the trainable and makes the process as new; returns what went wrong in that, and
        what the trial left that cannot be undone.
        """
        failure = self.stop()
        left = _wait_for_actors() if may_have_actors else []
        left += self._fresh.leftovers()
        self._fresh.restore()
        return failure, left


def fetch(reference: Any, timeout: float | None = None) -> Any:
    """A value of a slot. Raises TrialFailure where it is one, and for a dead process."""
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


def _ready(references: list[Any]) -> set[Any]:
    if not references:
        return set()
    import ray

    return set(ray.wait(references, num_returns=len(references), timeout=0)[0])


@cache
def _actor_class(trainable_name: str) -> Any:
    """The host under the trainable's name, which `ps` shows."""
    import ray

    cls = type(trainable_name, (SlotHost,), {})
    cls.save_to_object = ray.method(num_returns=2)(SlotHost.save_to_object)  # type: ignore
    cls.save_twice = ray.method(num_returns=2)(SlotHost.save_twice)  # type: ignore
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


def _placement_group(bundles: Sequence[dict[str, float]]) -> Any:
    if not bundles:
        return None
    from ray.util import placement_group

    return placement_group(list(bundles), strategy="PACK")


def _wait_for_actors() -> list[str]:
    """Waits a little until the actors that this process created are gone; returns those left."""
    gc.collect()  # actors that only cycles of dead objects hold on to end by this
    deadline = time.monotonic() + ACTORS_PATIENCE_S
    while (left := _own_actors()) and time.monotonic() < deadline:
        time.sleep(ACTORS_POLL_S)
    return left


def _own_actors() -> list[str]:
    """The living actors that this process owns. Only Ray's own state table knows them."""
    import ray
    from ray._private import state

    actors = {**state.actors(actor_state_name="ALIVE")}
    own = actors[ray.get_runtime_context().get_actor_id()]["Address"]
    actors.update(state.actors(actor_state_name="PENDING_CREATION"))
    return [
        f"actor {actor['ActorClassName']}"
        for actor in actors.values()
        if actor["OwnerAddress"] == own
    ]
