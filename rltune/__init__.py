"""Reinforcement learning algorithms and the runner that tunes them.

The runner is `rltune.tune`, the algorithms are in the package `agents`. Nothing is imported here
but the version, so that each starts as fast as it can.
"""

from rltune.version import __version__

__all__ = ["__version__"]
