"""Trainable, under the name that Tune gave this module."""

from rltune.trainable import Trainable

__all__ = ["Trainable"]
