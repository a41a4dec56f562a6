"""What a receiver is, and what it is given."""

from typing import Final, NamedTuple, Protocol, runtime_checkable

from monitor.contract import Alarm, AlarmTransition

CALLS: Final[tuple[AlarmTransition, ...]] = ("raised", "escalated", "unanswered")
"""Transitions that call for somebody."""


class DeliveryError(Exception):
    """A notice was not taken, and is to be tried again; the text says why, without secrets."""


class Notice(NamedTuple):
    """One transition of one alarm, on its way to somebody.

    Attributes
    ----------
    key : str
        The same however often this is delivered, and of nothing else: whoever has seen it has seen this notice.
    alarm : Alarm
        The transition.
    """

    key: str
    alarm: Alarm


def notice_of(alarm: Alarm) -> Notice:
    """Return the notice of a transition."""
    return Notice(f"{alarm.identity}/{alarm.transition}/{alarm.priority}", alarm)


class Receiver(Protocol):
    """Somebody or something that is told of alarms."""

    @property
    def name(self) -> str:
        """Its name: letters, digits, ``-`` and ``_``; instances of one name share the work."""
        ...

    def wants(self, alarm: Alarm) -> bool:
        """Whether this transition is to be delivered here."""
        ...

    async def deliver(self, notice: Notice) -> None:
        """Deliver a notice; returning means that it was taken.

        Raises
        ------
        DeliveryError
            If it was not; it is delivered again, with the same key.
        """
        ...


@runtime_checkable
class FollowsUp(Receiver, Protocol):
    """A receiver that wants the end of what it was called for, and of nothing else."""

    def remember(self, identity: str) -> None:
        """Take that this receiver was called for an alarm: by another instance of it, or before a restart."""
        ...
