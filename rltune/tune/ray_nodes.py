"""The nodes of a Ray cluster: a local one of several, and whether one has been lost."""

from __future__ import annotations

import atexit
import logging
import socket
import tempfile
from collections.abc import Mapping
from typing import Any

# A node that does not answer for so long is gone.
ANSWER_S = 2.0


def start_nodes(number: int, given: Mapping[str, Any]) -> None:
    """A cluster on this machine, in a directory of its own: no other process finds it. It ends
    with this process, which is connected to it. Each node is as `given`, where that is not None.
    """
    import ray
    from ray.cluster_utils import Cluster

    node = {name: value for name, value in given.items() if value is not None}
    head = {**node, "temp_dir": tempfile.mkdtemp(prefix="ray"), "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(number - 1):
        nodes.add_node(**node)
    nodes.wait_for_nodes()
    atexit.register(nodes.shutdown)
    atexit.register(ray.shutdown)  # runs before: the driver leaves first
    ray.init(nodes.address, log_to_driver=True, logging_level=logging.WARNING)


def node_of(actor: Any) -> str:
    """The id of the node where an actor is, was, or is about to be. Only Ray's own state table
    knows it.
    """
    from ray._private import state

    return str(state.actors(actor_id=actor._actor_id.hex())["Address"]["NodeID"])


def is_lost(node_id: str) -> bool:
    """Whether a node is dead. Ray may notice much later than its processes are gone, so a node that
    it calls alive is asked to answer.
    """
    import ray

    node = next((node for node in ray.nodes() if node["NodeID"] == node_id), None)
    if node is None or not node["Alive"]:
        return node is not None
    try:
        address = node["NodeManagerAddress"], node["NodeManagerPort"]
        socket.create_connection(address, timeout=ANSWER_S).close()
    except OSError:
        return True
    return False
