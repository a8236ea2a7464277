"""The run that test_resume.py starts and interrupts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rltune import tune
from tests.tune.trainables import Counter


class Slow(Counter):
    def _train(self) -> dict[str, Any]:
        if self.config["hang"] and self.count == 1:
            Path("hangs").touch()
            time.sleep(1000)
        time.sleep(0.1)
        return super()._train()


try:
    tune.run(
        Slow,
        name="exp",
        stop={"count": 40},
        config={"hang": sys.argv[1].endswith("-hanging")},
        checkpoint_freq=1,
        global_checkpoint_period=0,
        verbose=0,
        trial_executor=sys.argv[1].partition("-")[0],
        resume_command="python mine.py --resume",
    )
except KeyboardInterrupt:
    sys.exit(130)
