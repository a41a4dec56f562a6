"""What can go wrong, as one small tree of exceptions.

::

    StrapwatchError            a user can mend this; its text is one line: value, what is allowed, what to do
    ├── UsageError             the command was called wrongly (exit code 2)
    ├── RecordError            a recording is missing, damaged or outside what is supported
    ├── PacketError            a packet from a strap is malformed, oversized or misrouted
    ├── ModelError             a model file does not fit its card or this version
    ├── SettingsError          a setting is unknown or out of range (exit code 2)
    └── ServerError            a broker or Redis-compatible server cannot be reached or started
"""


class StrapwatchError(Exception):
    """Base of every error that a user can mend."""

    exit_code = 1


class UsageError(StrapwatchError):
    """The command was called wrongly."""

    exit_code = 2


class RecordError(StrapwatchError):
    """A recording is missing, damaged or outside what is supported."""


class PacketError(StrapwatchError):
    """A packet from a strap is malformed, oversized or misrouted.

    Attributes
    ----------
    reason : str
        Short name of the cause, used as the key of the counter: ``"malformed"``, ``"oversized"``,
        ``"misrouted"``, ``"version"``, ``"range"``, ``"backlog"``.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ModelError(StrapwatchError):
    """A model file does not fit its card or this version."""


class SettingsError(StrapwatchError):
    """A setting is unknown or out of range."""

    exit_code = 2


class ServerError(StrapwatchError):
    """A broker or Redis-compatible server cannot be reached or started."""
