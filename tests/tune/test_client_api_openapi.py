"""The OpenAPI document of the client API, and whether a live run keeps what it promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rltune import tune
from rltune.tune.experiment import Experiment
from rltune.tune.server.openapi import document
from rltune.tune.suggest import BasicVariantGenerator, SearchAlgorithm
from rltune.tune.trial import Trial
from tests.tune.served_run import Slots, Slow, request, served_run

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)


class Replenished(SearchAlgorithm):
    """Has a new trial whenever one has ended, until it is told that it is enough."""

    def __init__(self) -> None:
        self.enough = False
        self._experiments: Sequence[Experiment] = []
        self._alive: set[str] = set()

    def add_configurations(self, experiments: Sequence[Experiment]) -> None:
        self._experiments = experiments

    def next_trials(self) -> list[Trial]:
        if self._alive:
            return []
        generator = BasicVariantGenerator()
        generator.add_configurations(self._experiments)
        trials = generator.next_trials()
        self._alive = {trial.trial_id for trial in trials}
        return trials

    def on_trial_complete(self, trial_id: str, *args: Any, **kwargs: Any) -> None:
        self._alive.discard(trial_id)

    def is_finished(self) -> bool:
        return self.enough


def test_schemathesis_finds_no_fault_in_a_live_run(tmp_path: Path) -> None:
    """Whatever is stopped, paused and added, the run goes on. `/events` has no end: it has tests
    of its own.
    """
    tune.register_trainable("my_trainable", Slow)  # the name in the document's example
    search = Replenished()
    with served_run(
        Slow, search_alg=search, trial_executor=Slots(2), raise_on_failed_trial=False
    ) as run:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("run", f"{run.url}/openapi.json", "--exclude-path", "/events"),
                *("--checks", CHECKS, "--max-examples", "25", "--seed", "1"),
                *("--phases", "examples,coverage,fuzzing", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert request(f"{run.url}/trials").status == 200
        search.enough = True
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(run.trials) > 1


def test_the_document_names_every_route_and_is_whole() -> None:
    paths = document(protected=False, hex_pickles=False)["paths"]
    assert {path: sorted(set(item) - {"parameters"}) for path, item in paths.items()} == {
        "/trials": ["get", "head", "post", "put"],
        "/trials/{trial_id}": ["get", "head", "put"],
        "/events": ["get"],
        "/openapi.json": ["get"],
    }
