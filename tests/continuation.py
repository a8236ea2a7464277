"""Goes on with checkpoints in a process of its own: `python -m tests.continuation CASES.json`.

CASES.json holds a list of {"algorithm", "config", "checkpoint", "iterations", "out"}. Each case is
restored, trained and saved under "out"; its last result is written to `out/result.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rltune.registry import get_trainable_cls
from tests.conformance import repeatable


def go_on(case: dict[str, Any]) -> None:
    algorithm = get_trainable_cls(case["algorithm"])(case["config"])
    algorithm.restore(case["checkpoint"])
    for _ in range(case["iterations"]):
        result = algorithm.train()
    algorithm.save(case["out"])
    text = json.dumps(repeatable(result))
    Path(case["out"], "result.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for each in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        go_on(each)
