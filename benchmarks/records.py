"""Results on disk: one JSON line each, never rewritten, and the tables made from them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
LIBRARIES = ("numpy", "torch", "gymnasium", "ray")


def append(name: str, record: dict[str, Any]) -> None:
    """Adds a record to results/<name>.jsonl, with what is needed to judge it."""
    RESULTS.mkdir(exist_ok=True)
    line = json.dumps({**circumstances(), **record})
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read(name: str) -> list[dict[str, Any]]:
    """The records of results/<name>.jsonl, oldest first; none if there is no such file."""
    path = RESULTS / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def circumstances() -> dict[str, Any]:
    """When, which code, which machine and how busy, which libraries."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
        },
        "versions": {library: version(library) for library in LIBRARIES},
    }


def commit() -> str:
    """The commit of the code, marked `+` if files differ from it; empty outside a checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"],
        cwd=HERE,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write_table(name: str, header: list[str], rows: list[list[str]]) -> None:
    """Puts a Markdown table between `<!-- NAME -->` and `<!-- /NAME -->` in the README."""
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    README.write_text(between(README.read_text(encoding="utf-8"), name, table), encoding="utf-8")


def between(text: str, name: str, content: str) -> str:
    """`text` with `content` between the markers of `name`. Raises ValueError if it has none."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no {start} ... {end} in the text")
    return f"{before}{start}\n{content}\n{end}{after}"


def show(value: float | None) -> str:
    """A number with three significant digits, no exponent; `-` for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
