"""Replay: a time-major ring of single steps, sampled uniformly or by priority."""

from rltune.replay.buffer import ReplayBuffer
from rltune.replay.prioritized import PrioritizedReplayBuffer

__all__ = ["PrioritizedReplayBuffer", "ReplayBuffer"]
