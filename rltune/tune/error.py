"""The runner's error."""


class TuneError(Exception):
    """A run that cannot start or go on; the message says what to do."""
