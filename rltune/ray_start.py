"""Starting Ray where there is none, with one set of options for whoever needs it first."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def start_ray(memory: int | None = None, **node: Any) -> None:
    """A Ray of this process alone, or the one that `RAY_ADDRESS` names.

    Args:
        memory: bytes for processes. None here, as below: what the machine has.
        node: `num_cpus`, `num_gpus`, `object_store_memory`.
    """
    import ray

    with starting():
        ray.init(
            # Another program's cluster on this machine is joined only where that is said.
            os.environ.get("RAY_ADDRESS") or "local",
            **node,
            _memory=memory,
            # Most of a start is waiting for Python processes of Ray's own; no other option was seen
            # to shorten that.
            include_dashboard=False,
            log_to_driver=True,
            logging_level=logging.WARNING,
        )


@contextmanager
def starting() -> Iterator[None]:
    """Around whatever starts a Ray: what its processes and this one keep."""
    # Ray lowers the priority of its workers, which starves them beside a busy driver.
    os.environ.setdefault("RAY_worker_niceness", "0")
    on_term = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_term)  # Ray's own would end the run at once
