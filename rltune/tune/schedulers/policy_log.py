"""What PBT did, as files in the experiment's directory: `pbt_global.txt`, `pbt_policy_<N>.txt`.

A line is one exploit: a JSON list of the loser's and the donor's original tags, the iteration of
either, the donor's config and the new one. The global file has all of them in order; the policy
file of a trial has those that led to its present config, so it follows from the global file: it is
the donor's lineage with one more line. It is written anew when a run is resumed, so that nothing
waits for the disk.

An exploit is decided and logged before the journal of the run holds the result it was decided on,
so a run that is killed in between leaves a line of what never happened. The scheduler's state knows
how many lines there are, and a resumed run first cuts off those beyond; what it then decides is
appended, so that no line is there twice, and none is missing, since every exploit that the journal
leads to was logged before.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from rltune.checkpoint import in_passing, write_atomically
from rltune.tune.append_file import AppendFile
from rltune.tune.plain import plain

GLOBAL_FILE = "pbt_global.txt"
POLICY_FILE = "pbt_policy_{}.txt"
EARLIER = "pbt_earlier_{}"
PERTURBED = "@perturbed"  # what the tag of a trial that has copied another has after its own


class PolicyLog:
    """The files of one directory. `lines` is how many exploits a resumed run knows of; None for a
    run that begins: what an earlier one has left is moved to `pbt_earlier_<n>`.

    Raises OSError.
    """

    def __init__(self, directory: str | Path, lines: int | None = None):
        self._directory = Path(directory)
        self._lineages: dict[str, list[str]] = {}
        if lines is None:
            self._move_earlier()
        else:
            self._cut(lines)

    def append(self, entry: list[Any]) -> None:
        """Logs an exploit, given as its line will be read."""
        line = json.dumps(plain(entry))
        file = AppendFile(self._directory / GLOBAL_FILE)
        file.append(f"{line}\n".encode())
        file.close()
        self._write_policy(self._take_in(line))

    def _take_in(self, line: str) -> str:
        """Notes a line of the global file; returns the loser's tag."""
        loser, donor = json.loads(line)[:2]
        self._lineages[loser] = [*self._lineages.get(donor, []), line]
        return str(loser)

    def _write_policy(self, tag: str) -> None:
        path = self._directory / policy_file(tag)
        text = "".join(f"{line}\n" for line in self._lineages.get(tag, []))
        if text:
            with in_passing():
                write_atomically(path, text.encode())
        else:
            path.unlink(missing_ok=True)

    def _cut(self, number: int) -> None:
        path = self._directory / GLOBAL_FILE
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        known, beyond = lines[:number], lines[number:]
        for line in known:
            self._take_in(line)
        for tag in {json.loads(line)[0] for line in lines}:
            self._write_policy(tag)
        if beyond:  # last, so that a run killed before finds them again
            write_atomically(path, "".join(f"{line}\n" for line in known).encode())

    def _move_earlier(self) -> None:
        files = [*self._directory.glob(GLOBAL_FILE), *self._directory.glob(POLICY_FILE.format("*"))]
        if not files:
            return
        folders = (self._directory / EARLIER.format(n) for n in itertools.count(1))
        folder = next(folder for folder in folders if not folder.exists())
        folder.mkdir()
        for file in files:
            file.rename(folder / file.name)


def policy_file(tag: str) -> str:
    """The name of a trial's policy file, by the number that its tag begins with."""
    return POLICY_FILE.format("".join(itertools.takewhile(str.isdigit, tag)))
