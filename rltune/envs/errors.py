"""The error of this package, in a module of its own so that every other module may raise it."""


class EnvError(ValueError):
    """An environment that cannot be found, made or used; the message says what to do."""
