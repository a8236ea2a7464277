"""Rollout workers: one in this process, or Ray actors that are replaced when they are lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rltune import registry
from rltune.algorithm_config import AlgorithmConfig
from rltune.policy import PolicyPieces
from rltune.ray_start import start_ray
from rltune.rollout.worker import Orders, Rollout, RolloutWorker

logger = logging.getLogger(__name__)

MAX_RESTARTS_IN_A_ROW = 3
SENT_ALONG_BYTES = 90_000
"""Ray itself puts an argument of more than 100 KiB into its store, once for each call."""

Call = Callable[[Any, int], Any]
"""call(actor, its position) -> a reference to the answer."""


@dataclass
class _UnderWay:
    """A sample that was begun: its calls to the actors, or what they have answered. False for none."""

    call: Call | None = None
    pending: list[Any] = field(default_factory=list)
    rollouts: list[Rollout] | None = None
    since: float = 0.0

    def __bool__(self) -> bool:
        return self.call is not None or self.rollouts is not None


def preload(config: AlgorithmConfig) -> None:
    """Imports what a `WorkerSet` with actors needs first, while no other thread imports anything: they would share
    one interpreter, and starting Ray is the longest of all waits."""
    if config.num_workers:
        import ray  # noqa: F401


class WorkerSet:
    """`num_workers` actors (0: one worker in this process). Results come in worker order, so in environment order."""

    def __init__(self, pieces: PolicyPieces, config: AlgorithmConfig):
        self._pieces, self._config = pieces, config
        self.num_restarts = 0
        self._restarts = [0] * config.num_workers
        self._under_way = _UnderWay()
        self.calls_s = 0.0
        """Seconds that samples took beyond the sampling: weights, calls, and their answers."""
        self._local: RolloutWorker | None = None
        self._actors: list[Any] = []
        if config.num_workers == 0:
            self._local = RolloutWorker(pieces, config)
            return
        import ray

        if not ray.is_initialized():
            start_ray()
        self._ray = ray
        self._snapshot = ray.put(registry.snapshot())
        self._sent: tuple[Any, Any] = (None, None)
        self._actors = [self._start(i) for i in range(config.num_workers)]

    def reset(self, config: AlgorithmConfig) -> None:
        """Every worker begins as one that was made with `config` does, in the process that it has.

        `config` must equal the former one in the keys that processes depend on (`rebuild="workers"`).
        """
        self._config = config
        self.drop()
        self.num_restarts, self._restarts = 0, [0] * config.num_workers
        if self._local:
            self._local.reset(config)
            return
        self._snapshot = self._ray.put(registry.snapshot())
        self._ask(lambda actor, i: actor.reset.remote(config, self._restarts[i], self._snapshot))

    @property
    def num_healthy(self) -> int:
        return max(len(self._actors), 1)

    def _start(self, position: int) -> Any:
        config = self._config
        actor_class = self._ray.remote(
            num_cpus=config.num_cpus_per_worker,
            num_gpus=config.num_gpus_per_worker,
            resources=config.custom_resources_per_worker,
        )(RolloutWorker)
        return actor_class.remote(
            self._pieces, config, position + 1, self._restarts[position], self._snapshot
        )

    def spaces(self) -> tuple[Any, Any]:
        """(observation space, action space) of one environment; waits for the first worker."""
        if self._local:
            return self._local.spaces
        spaces: tuple[Any, Any] = self._call(0, lambda actor, _: actor.get_spaces.remote())
        return spaces

    def sample(self, orders: Orders, steps: int) -> list[Rollout]:
        """One rollout per worker, all in parallel, with the same orders.

        What `start` has begun comes first, whatever the orders.
        """
        if not self._under_way:
            self.start(orders, steps)
        rollouts = self._finish()
        self.drop()
        return rollouts

    def start(self, orders: Orders, steps: int) -> None:
        """Begins the next sample, which actors work at while this process does something else."""
        began = time.perf_counter()
        if self._local:
            self._under_way = _UnderWay(rollouts=[self._local.sample(orders, steps)])
            return
        weights, sent = self._sent
        # Not by version: a restored checkpoint may have the number of other weights.
        if weights is not orders.weights:
            sent = self._sendable(orders.weights)
            self._sent = (orders.weights, sent)
        light = replace(orders, weights=None)

        def call(actor: Any, _: int) -> Any:
            # A replaced actor has no weights, so they always go along.
            return actor.sample.remote(light, steps, sent)

        self._under_way = _UnderWay(call, self._send(call), since=time.perf_counter())
        self.calls_s += self._under_way.since - began

    def _sendable(self, weights: dict[str, np.ndarray] | None) -> Any:
        """Weights as an argument: small ones as they are; large ones in Ray's store, where an actor fetches them
        once. That store is the slower way, by 10 ms for a small network."""
        size = sum(values.nbytes for values in (weights or {}).values())
        return weights if size <= SENT_ALONG_BYTES else self._ray.put(weights)

    def _finish(self) -> list[Rollout]:
        """Waits for the rollouts that are under way, and keeps them."""
        way = self._under_way
        if way.rollouts is None:
            assert way.call is not None
            began = time.perf_counter()
            way.rollouts = self._answers(way.call, way.pending)
            busy = max(rollout.perf["total_s"] for rollout in way.rollouts)
            still_busy = max(0.0, busy - (began - way.since))
            self.calls_s += max(0.0, time.perf_counter() - began - still_busy)
        return way.rollouts

    def drop(self) -> None:
        """Forgets the sample that is under way: it belongs to another policy."""
        self._under_way = _UnderWay()

    def get_state(self) -> dict[str, Any]:
        """The workers' states, after the rollouts that they have sampled ahead; and how often each
        of them, and any at all, was replaced."""
        local = self._local
        ahead = [rollout.to_dict() for rollout in self._finish()] if self._under_way else []
        states = [local.get_state()] if local else self._ask(lambda a, _: a.get_state.remote())
        return {
            "workers": states, "ahead": ahead,
            "restarts": self._restarts, "num_restarts": self.num_restarts,
        }  # fmt: skip

    def set_state(self, state: dict[str, Any]) -> bool:
        """False where something starts afresh: an environment that cannot be restored, another number of workers."""
        self.drop()
        states, self.num_restarts = state["workers"], state["num_restarts"]
        if len(states) != self.num_healthy:
            logger.warning("the checkpoint has %d rollout workers, this run %d: their episodes start afresh",
                           len(states), self.num_healthy)  # fmt: skip
            return False
        if ahead := state.get("ahead"):
            self._under_way = _UnderWay(rollouts=[Rollout.from_dict(rollout) for rollout in ahead])
        if self._local:
            return self._local.set_state(states[0])
        self._restarts = list(state["restarts"])
        return all(self._ask(lambda actor, i: actor.set_state.remote(states[i])))

    def values_in_use(self) -> list[dict[str, Any]]:
        """See `RolloutWorker.values_in_use`; one for each worker."""
        if self._local:
            return [self._local.values_in_use()]
        return self._ask(lambda actor, _: actor.values_in_use.remote())

    def _ask(self, call: Call) -> list[Any]:
        """The answers of all actors, who work in parallel."""
        return self._answers(call, self._send(call))

    def _send(self, call: Call) -> list[Any]:
        return [call(actor, i) for i, actor in enumerate(self._actors)]

    def _answers(self, call: Call, pending: list[Any]) -> list[Any]:
        """All of them awaited together, as each wait by itself costs some ms; if one fails, one by one."""
        try:
            answers: list[Any] = self._ray.get(pending)
        except (self._ray.exceptions.RayTaskError, self._ray.exceptions.RayActorError):
            answers = [self._call(i, call, first) for i, first in enumerate(pending)]
        return answers

    def _call(self, position: int, call: Call, pending: Any = None) -> Any:
        """The answer of one actor. A lost actor is replaced and asked again: of what it had sampled nothing is used.

        Errors of the environment or the model come through with their own traceback.
        """
        for attempt in range(MAX_RESTARTS_IN_A_ROW + 1):
            if pending is None:
                pending = call(self._actors[position], position)
            try:
                return self._ray.get(pending)
            except self._ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
            except self._ray.exceptions.RayActorError as error:
                if error.args and isinstance(error.args[0], self._ray.exceptions.RayTaskError):
                    raise error.args[
                        0
                    ].as_instanceof_cause() from None  # its constructor raised, and would again
                if attempt == MAX_RESTARTS_IN_A_ROW:
                    raise RuntimeError(
                        f"rollout worker {position + 1} was lost {attempt + 1} times in a row: {error}"
                    ) from error
                logger.warning(
                    "rollout worker %d was lost and is replaced: %s", position + 1, error
                )
                self.num_restarts += 1
                self._restarts[position] += 1
                self._actors[position], pending = self._start(position), None
        raise AssertionError("unreachable")

    def stop(self) -> None:
        if self._local:
            self._local.stop()
        self.drop()
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
