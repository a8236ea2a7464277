"""A run on a Ray cluster of three nodes, one of which is killed; run as a program by the test.

The nodes share this machine and its file system: checkpoints of a lost node can still be read, as on
a cluster with a shared directory. One of the two trials on the lost node dies with it; the process
of the other outlives the node, but hangs. A last trial begins on a node that is dead already, which
Ray does not know yet. Writes outcome.json, which the test looks at, into the
directory that it is given.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

NODES, CPUS = 3, 2
ITERATIONS = 12
# Ray takes 20 s by default to find out that a node is gone.
HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}


def main(results_dir: str) -> None:
    os.environ["RAY_worker_niceness"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    from rltune import tune
    from rltune.tune.schedulers import FIFOScheduler
    from tests.tune.trainables import Counter

    lost, begun = Path(results_dir, "lost_node"), Path(results_dir, "begun")
    begun.mkdir()

    class Slow(Counter):
        """Its first iteration ends when all trials have begun."""

        def _train(self) -> dict[str, Any]:
            Path(begun, str(os.getpid())).touch()
            while len(list(begun.iterdir())) < NODES * CPUS:
                time.sleep(0.05)
            time.sleep(0.1)
            node = ray.get_runtime_context().get_node_id()
            if lost.exists() and lost.read_text() == node:
                time.sleep(3600)
            return {**super()._train(), "node": node}

    class KillsANode(FIFOScheduler):
        """Kills the node of a trial that has made half of its iterations."""

        killed: str | None = None

        def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
            if self.killed is None and result["count"] == ITERATIONS // 2:
                node = [n for n in workers if n.node_id == result["node"]]
                if node:
                    self.killed = result["node"]
                    lost.write_text(result["node"])
                    cluster.remove_node(node[0], allow_graceful=False)
                    os.kill(result["pid"], signal.SIGKILL)
            return self.CONTINUE

    # In a directory of its own it is found by no other process of this machine.
    head = {
        "num_cpus": CPUS,
        "temp_dir": tempfile.mkdtemp(prefix="ray"),
        "include_dashboard": False,
        "_system_config": HEALTH,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    workers = [cluster.add_node(num_cpus=CPUS) for _ in range(NODES - 1)]
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    scheduler = KillsANode()
    trials = tune.run(
        Slow,
        num_samples=NODES * CPUS,
        stop={"count": ITERATIONS},
        checkpoint_freq=2,
        local_dir=results_dir,
        scheduler=scheduler,
        verbose=0,
    )
    found = []
    for trial in trials:
        with open(f"{trial.logdir}/result.json") as file:
            lines = [json.loads(line) for line in file]
        found.append(
            {
                "status": trial.status,
                "failures": trial.num_failures,
                "counts": [line["count"] for line in lines],
                "nodes": [line["node"] for line in lines],
            }
        )
    late = begin_on_a_dead_node(cluster, results_dir)
    with open(f"{results_dir}/outcome.json", "w") as file:
        json.dump({"killed": scheduler.killed, "trials": found, "late": late}, file)
    ray.shutdown()
    cluster.shutdown()


def begin_on_a_dead_node(cluster: Any, results_dir: str) -> dict[str, Any]:
    """The only other node that can take the trial joins after the dead one has left."""
    import ray

    from rltune import tune
    from tests.tune.trainables import Counter

    ended: list[Any] = []

    def run() -> None:
        resources = {"cpu": 1, "custom_resources": {"late": 1}}
        kwargs: dict[str, Any] = {"max_failures": 0, "raise_on_failed_trial": False, "verbose": 0}
        ended.extend(
            tune.run(
                Counter,
                name="late",
                stop={"count": 1},
                resources_per_trial=resources,
                local_dir=results_dir,
                **kwargs,
            )
        )

    dead = cluster.add_node(num_cpus=1, resources={"late": 1})
    cluster.wait_for_nodes()
    cluster.remove_node(dead, allow_graceful=False)
    running = threading.Thread(target=run)
    running.start()
    while any(node["Alive"] and node["NodeID"] == dead.node_id for node in ray.nodes()):
        time.sleep(0.1)
    cluster.add_node(num_cpus=1, resources={"late": 1})
    running.join()
    return {"status": ended[0].status, "failures": ended[0].num_failures}


if __name__ == "__main__":
    main(sys.argv[1])
