"""Executes the snippets of all documents; prints what came of each.

    python -m tests.docs.session FOLDER REPORT

One Ray serves all of them. A document is one session: its Python snippets share their names, and all
its snippets share a home directory, below FOLDER, where `~/ray_results` is. REPORT becomes a JSON
object: name of the snippet -> "" or its error.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import ray

from tests.docs.snippets import ROOT, Snippet, documents, snippets

STAND_INS = Path(__file__).with_name("stand_ins")
SERVER_PORT = "4321"
PATIENCE_S = 60.0


def main(folder: Path, report: Path) -> None:
    os.environ["RAY_worker_niceness"] = "0"
    ray.init("local", num_cpus=2, num_gpus=5, include_dashboard=False, log_to_driver=False)
    ray.init = partial(ray.init, ignore_reinit_error=True)  # every sample may start Ray
    outcomes = {}
    for document in documents():
        home = folder / Path(document).stem
        home.mkdir()
        outcomes.update(Session(home).run(snippets(document)))
        report.write_text(json.dumps(outcomes), encoding="utf-8")
    ray.shutdown()


class Session:
    """What the snippets of one document share."""

    def __init__(self, home: Path):
        self._home = home
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._port = _free_port()
        self._errors: dict[str, str] = {}

    def run(self, todo: list[Snippet]) -> dict[str, str]:
        """The error of each snippet, "" if it ran."""
        self._enter()
        threads = {}
        for snippet in todo:
            if snippet.background:
                thread = threading.Thread(target=self._try, args=(snippet,), daemon=True)
                threads[snippet.name] = thread
                thread.start()
            else:
                self._try(snippet)
        for name, thread in threads.items():
            thread.join(PATIENCE_S)
            if thread.is_alive():
                self._errors[name] = f"still runs {PATIENCE_S} s after the last snippet"
        return self._errors

    def _enter(self) -> None:
        """A home of its own; `rltune` and `python` are this checkout's."""
        tools = self._home / ".tools"
        tools.mkdir()
        for name, command in {"python": "", "rltune": "-m rltune"}.items():
            shim = tools / name
            shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
            shim.chmod(0o755)
        path = os.environ["PATH"].removeprefix(os.environ.get("SNIPPET_TOOLS", ""))
        added = f"{tools}{os.pathsep}{STAND_INS}{os.pathsep}"
        os.environ.pop("TUNE_RESULT_DIR", None)
        os.environ.update(
            HOME=str(self._home),
            PATH=added + path,
            PYTHONPATH=str(ROOT),
            REPO=str(ROOT),
            SNIPPET_TOOLS=added,
        )
        os.chdir(self._home)

    def _try(self, snippet: Snippet) -> None:
        # Several checkouts may run their snippets at a time.
        text = snippet.text.replace(SERVER_PORT, str(self._port))
        print(f"===== {snippet.name}", flush=True)
        try:
            if snippet.language == "python":
                # Empty lines before it, so that tracebacks name the line of the document.
                padded = "\n" * (snippet.line - 1) + text
                exec(compile(padded, str(ROOT / snippet.document), "exec"), self._names)
            else:
                self._shell(text)
        except Exception:
            self._errors[snippet.name] = traceback.format_exc()
        else:
            self._errors[snippet.name] = ""

    def _shell(self, text: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        if done.returncode:
            raise RuntimeError(f"status {done.returncode}\n{done.stdout}{done.stderr}")
        print(done.stdout, flush=True)


def _free_port() -> int:
    with socket.create_server(("localhost", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
