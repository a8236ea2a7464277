"""Names of result fields and files, under the name that Tune gave this module."""

from rltune.result import *  # noqa: F403
