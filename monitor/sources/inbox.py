"""The bounded room between a source's client and the monitor."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Final

from monitor.sources.source import Arrival

_NEARLY_FULL: Final = 0.75


class Inbox:
    """Arrivals that wait to be taken, kept apart by strap so that one that floods us crowds out only itself.

    When it is full, the strap with most waiting loses its oldest arrival: the newest samples matter most in a monitor,
    and a status is only ever replaced by a newer one.

    Parameters
    ----------
    capacity : int
        Arrivals that may wait, over all straps.
    """

    def __init__(self, *, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: at least 1 is needed")
        self._capacity = capacity
        self._waiting: OrderedDict[tuple[str, str], deque[Arrival]] = OrderedDict()
        self._count = 0
        self._something = asyncio.Event()
        self.dropped = 0
        self._drops: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        """Return how many arrivals wait."""
        return self._count

    @property
    def nearly_full(self) -> bool:
        """Whether what one read of a socket brings may find no room."""
        return self._count > _NEARLY_FULL * self._capacity

    def put(self, arrival: Arrival) -> None:
        """Add an arrival, at the cost of another one when full."""
        self.put_all([arrival])

    def put_all(self, arrivals: Iterable[Arrival]) -> None:
        """Add arrivals in order, each at the cost of another one when full."""
        waiting = self._waiting
        for arrival in arrivals:
            strap = arrival.topic[:2]
            queue = waiting.get(strap)
            if queue is None:
                queue = waiting[strap] = deque()
            queue.append(arrival)
            self._count += 1
            if self._count > self._capacity:
                self._drop_one()
        if self._count:
            self._something.set()

    def take(self) -> list[Arrival]:
        """Return all that wait, each strap's in order of arrival."""
        arrivals = [arrival for queue in self._waiting.values() for arrival in queue]
        self._waiting.clear()
        self._count = 0
        self._something.clear()
        return arrivals

    def take_drops(self) -> dict[tuple[str, str], int]:
        """Return of which straps packets of samples were dropped since the last call, and how many."""
        drops, self._drops = dict(self._drops), Counter()
        return drops

    async def get(self) -> Arrival:
        """Wait for one arrival; straps take turns."""
        while not self._count:
            self._something.clear()
            await self._something.wait()
        strap, queue = next(iter(self._waiting.items()))
        arrival = queue.popleft()
        self._count -= 1
        if queue:
            self._waiting.move_to_end(strap)
        else:
            del self._waiting[strap]
        return arrival

    def _drop_one(self) -> None:
        strap, queue = max(self._waiting.items(), key=lambda item: len(item[1]))
        lost = queue.popleft()
        if not queue:
            del self._waiting[strap]
        self._count -= 1
        self.dropped += 1
        if lost.topic.channel == "samples":
            self._drops[strap] += 1
