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


def script(peer: str) -> Path:
    """The program that trains with `peer`; it runs in the peer's environment."""
    return HERE / f"peer_{peer}.py"


def version(peer: str) -> str:
    """The version of `peer` in its file of requirements: that of the package which has its name."""
    lines = requirements(peer).read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines)
    return next(pinned[name] for name in pinned if name.split("[")[0] == peer)


def python(peer: str) -> Path:
    """The interpreter of `peer`'s environment, which is made if need be.

    Environments lie under $RLTUNE_BENCH_CACHE (default: ~/.cache/rltune-bench), one for each
    content of the requirements file and Python version.
    """
    wanted = requirements(peer).read_bytes() + sys.version.encode()
    root = Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "rltune-bench")
    folder = root / f"{peer}-{hashlib.sha256(wanted).hexdigest()[:12]}"
    interpreter, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        root.mkdir(parents=True, exist_ok=True)
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
