"""How busy the machine is while a trainable trains: `perf` of a result."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

INTERVAL_S = 0.7

logger = logging.getLogger(__name__)


class UsageMonitor:
    """Samples CPU and memory use (and GPUs' where GPUtil is installed) on its own thread, in
    percent.
    """

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        if find_spec("psutil") is None:
            logger.warning("log_sys_usage needs psutil: pip install psutil")
            return
        threading.Thread(target=self._run, name="usage-monitor", daemon=True).start()

    def means(self) -> dict[str, float]:
        """The mean of each quantity since the last call; empty if there is no sample yet."""
        with self._lock:
            samples, self._samples = self._samples, defaultdict(list)
        return {name: sum(values) / len(values) for name, values in samples.items()}

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        psutil = import_module("psutil")
        gpus = _gpu_reader()
        while not self._stopped.wait(INTERVAL_S):
            sample = {
                "cpu_util_percent": psutil.cpu_percent(interval=None),
                "ram_util_percent": psutil.virtual_memory().percent,
                **gpus(),
            }
            with self._lock:
                for name, value in sample.items():
                    self._samples[name].append(float(value))


def _gpu_reader() -> Callable[[], dict[str, float]]:
    if find_spec("GPUtil") is None:
        return dict[str, float]
    gputil = import_module("GPUtil")

    def read() -> dict[str, float]:
        sample = {}
        for index, gpu in enumerate(gputil.getGPUs()):
            sample[f"gpu_util_percent{index}"] = gpu.load * 100
            sample[f"vram_util_percent{index}"] = gpu.memoryUtil * 100
        return sample

    return read
