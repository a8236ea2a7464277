"""A run on a Ray cluster of three nodes, one of which is killed; run as a program by the test.

The nodes share this machine and its file system: checkpoints of a lost node can still be read, as on
a cluster with a shared directory. Writes outcome.json, which the test looks at, into the directory
that it is given.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

NODES, CPUS = 3, 2
ITERATIONS = 12


def main(results_dir: str) -> None:
    os.environ["RAY_worker_niceness"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    from rltune import tune
    from rltune.tune.schedulers import FIFOScheduler
    from tests.tune.trainables import Counter

    class Slow(Counter):
        def _train(self) -> dict[str, Any]:
            time.sleep(0.1)
            node = ray.get_runtime_context().get_node_id()
            return {**super()._train(), "node": node}

    class KillsANode(FIFOScheduler):
        """Kills the node of a trial that has made half of its iterations."""

        killed: str | None = None

        def on_trial_result(self, trial_runner: Any, trial: Any, result: dict[str, Any]) -> str:
            if self.killed is None and result["count"] == ITERATIONS // 2:
                lost = [n for n in workers if n.node_id == result["node"]]
                if lost:
                    self.killed = result["node"]
                    cluster.remove_node(lost[0], allow_graceful=False)
            return self.CONTINUE

    # In a directory of its own it is found by no other process of this machine.
    head = {
        "num_cpus": CPUS,
        "temp_dir": tempfile.mkdtemp(prefix="ray"),
        "include_dashboard": False,
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
    with open(f"{results_dir}/outcome.json", "w") as file:
        json.dump({"killed": scheduler.killed, "trials": found}, file)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
