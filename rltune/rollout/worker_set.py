"""Rollout workers: one in this process, or Ray actors that are replaced when they are lost."""

from __future__ import annotations

import logging
from typing import Any

from rltune import registry
from rltune.algorithm_config import AlgorithmConfig
from rltune.policy import PolicyPieces
from rltune.rollout.worker import Orders, Rollout, RolloutWorker

logger = logging.getLogger(__name__)

MAX_RESTARTS_IN_A_ROW = 3


class WorkerSet:
    """`num_workers` actors (0: one worker in this process). Results come in worker order, so in environment order."""

    def __init__(self, pieces: PolicyPieces, config: AlgorithmConfig):
        self._pieces, self._config = pieces, config
        self.num_restarts = 0
        self._restarts = [0] * config.num_workers
        self._local: RolloutWorker | None = None
        self._actors: list[Any] = []
        if config.num_workers == 0:
            self._local = RolloutWorker(pieces, config)
            return
        import ray

        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=True)
        self._ray = ray
        self._snapshot = ray.put(registry.snapshot())
        self._sent: tuple[Any, Any] = (None, None)
        self._actors = [self._start(i) for i in range(config.num_workers)]

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
        spaces: tuple[Any, Any] = self._call(0, lambda actor: actor.get_spaces.remote())
        return spaces

    def sample(self, orders: Orders, steps: int) -> list[Rollout]:
        """One rollout per worker, all in parallel, with the same orders."""
        if self._local:
            return [self._local.sample(orders, steps)]
        sent, reference = self._sent
        if (
            sent is not orders.weights
        ):  # not by version: a restored checkpoint may have the number of other weights
            reference = self._ray.put(orders.weights)
            self._sent = (orders.weights, reference)
        command = _Command(reference, orders, steps)
        pending = [command(actor) for actor in self._actors]
        return [self._call(i, command, first) for i, first in enumerate(pending)]

    def get_states(self) -> list[dict[str, Any]]:
        if self._local:
            return [self._local.get_state()]
        pending = [actor.get_state.remote() for actor in self._actors]
        return [
            self._call(i, lambda actor: actor.get_state.remote(), first)
            for i, first in enumerate(pending)
        ]

    def set_states(self, states: list[dict[str, Any]]) -> bool:
        """False where something starts afresh: an environment that cannot be restored, another number of workers."""
        if len(states) != self.num_healthy:
            logger.warning("the checkpoint has %d rollout workers, this run %d: their episodes start afresh",
                           len(states), self.num_healthy)  # fmt: skip
            return False
        if self._local:
            return self._local.set_state(states[0])
        commands = [lambda actor, state=state: actor.set_state.remote(state) for state in states]
        pending = [command(actor) for command, actor in zip(commands, self._actors, strict=True)]
        return all([self._call(i, commands[i], first) for i, first in enumerate(pending)])

    def _call(self, position: int, call: Any, pending: Any = None) -> Any:
        """The answer of one actor. A lost actor is replaced and asked again: of what it had sampled nothing is used.

        Errors of the environment or the model come through with their own traceback.
        """
        for attempt in range(MAX_RESTARTS_IN_A_ROW + 1):
            if pending is None:
                pending = call(self._actors[position])
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
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []


class _Command:
    """`sample` with weights by reference. A replaced actor has no weights, so they always go along; an actor fetches a
    version from the object store once."""

    def __init__(self, reference: Any, orders: Orders, steps: int):
        self._reference, self._orders, self._steps = reference, orders, steps

    def __call__(self, actor: Any) -> Any:
        light = Orders(
            None, self._orders.weights_version, self._orders.coeffs, self._orders.filters
        )
        return actor.sample.remote(light, self._steps, self._reference)
