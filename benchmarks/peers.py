"""The libraries that rltune is measured against, each in an environment of its own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
CACHE_VARIABLE = "RLTUNE_BENCH_CACHE"


def requirements(peer: str) -> Path:
    """The file of exact versions that `peer` is measured with."""
    return HERE / f"requirements-{peer}.txt"


def cache() -> Path:
    """Where environments and compiled programs lie: $RLTUNE_BENCH_CACHE, or ~/.cache/rltune-bench."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "rltune-bench")


def version(peer: str) -> str:
    """The version of `peer` in its file of requirements: that of the package which has its name."""
    lines = requirements(peer).read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines)
    return next(pinned[name] for name in pinned if name.split("[")[0] == peer)


def python(peer: str) -> Path:
    """The interpreter of `peer`'s environment, which is made if need be.

    There is one for each content of the requirements file and Python version.
    """
    wanted = requirements(peer).read_bytes() + sys.version.encode()
    folder = cache() / f"{peer}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    interpreter, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:  # a benchmark beside this one waits
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                _install(peer, folder, interpreter)
                complete.touch()
    return interpreter


def _install(peer: str, folder: Path, interpreter: Path) -> None:
    print(f"Installing {peer} into {folder}", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    install = ["-m", "pip", "install", "--quiet", "-r", str(requirements(peer))]
    subprocess.run([str(interpreter), *install], check=True)
