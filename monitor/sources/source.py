"""What every source of packets gives."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple, Protocol, Self

from monitor.wire import Topic


class Arrival(NamedTuple):
    """One message as it came in: nothing of its payload has been looked at.

    Attributes
    ----------
    topic : Topic
        Whose it is and on which channel it came.
    payload : bytes
        Untrusted.
    arrived_at : float
        Unix time, in seconds, at which our process read it.
    ack : callable
        To be called once the message is safe. Where the client cannot acknowledge by hand it does nothing, and what
        is between arrival and safety at a crash is lost.
    """

    topic: Topic
    payload: bytes
    arrived_at: float
    ack: Callable[[], None]


class Source(Protocol):
    """A stream of messages from straps; entered as an asynchronous context manager, left to stop it.

    A source keeps trying to connect, says so in the log, and raises for no payload. What it cannot hold it drops and
    counts: these are our own drops, apart from what the radio lost.
    """

    @property
    def connected(self) -> bool:
        """Whether messages can arrive at this moment."""
        ...

    @property
    def received(self) -> int:
        """Messages read since the start, whatever became of them."""
        ...

    @property
    def dropped(self) -> int:
        """Messages dropped since the start because nobody took them in time."""
        ...

    @property
    def refused(self) -> Mapping[str, int]:
        """Messages that were not ours or too large, by reason as in `monitor.errors.PacketError`."""
        ...

    def take(self) -> list[Arrival]:
        """Return all that is waiting, without waiting; each strap's messages in order of arrival."""
        ...

    def take_drops(self) -> Mapping[tuple[str, str], int]:
        """Return of which straps (team, athlete) packets were dropped since the last call, and how many."""
        ...

    def __aiter__(self) -> AsyncIterator[Arrival]:
        """Iterate over arrivals one by one, for as long as the source is entered."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_exception: object) -> None: ...
