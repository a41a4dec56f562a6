"""Hundreds of straps from one process that forget nothing: what a broker did not acknowledge goes out again.

Frames and connections are those of a herd (`simulators.herd`), which ends where its broker does. Each strap here keeps
what is not acknowledged, connects again as often as it takes, and enters what the radio lost.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.backoff import Backoff
from monitor.errors import ServerError
from monitor.sources.address import MqttAddress
from monitor.wire import encode, topic
from simulators.herd_frames import HerdFrames, layout, phases_s
from simulators.mqtt_publisher import Publisher, publish_frame
from simulators.strap import Strap

WAKE_S: Final = 0.01
_KEPT_PACKETS: Final = 8_000
_LOOK_S: Final = 0.25
_FAREWELL_S: Final = 60.0


class Sender:
    """One strap, its connection, and what became of its packets.

    Parameters
    ----------
    strap : Strap
        Who.
    broker : MqttAddress
        Where to.

    Attributes
    ----------
    made : int
        Packets that were due.
    lost : list of int
        Of these, the sequence numbers that the radio lost.
    forgotten : int
        Packets that waited for a broker for too long.
    written_again : int
        Packets written once more because nobody had acknowledged them.
    """

    def __init__(self, strap: Strap, broker: MqttAddress) -> None:
        self.strap = strap
        self.made = 0
        self.lost: list[int] = []
        self.forgotten = 0
        self.written_again = 0
        self._broker = broker
        self._waiting: deque[bytes] = deque()
        self._publisher: Publisher | None = None
        self._counted = 0
        self._status = topic(strap.team, strap.athlete, "status")

    @property
    def waiting(self) -> int:
        """Messages that the broker has not acknowledged."""
        return len(self._waiting)

    def send(self, frame: bytes) -> None:
        """Keep a frame until it is acknowledged, and write it if there is a connection."""
        if len(self._waiting) >= _KEPT_PACKETS:
            self._waiting.popleft()
            self.forgotten += 1
        self._waiting.append(frame)
        if self._publisher is not None:
            self._publisher.write(frame)

    def say(self, *, online: bool, ended: bool = False) -> None:
        """Send the strap's status."""
        status = encode(self.strap.status(online=online, ended=ended))
        self.send(publish_frame(self._status, status, 1, retain=True))

    async def stay_connected(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        backoff = Backoff()
        will = (self._status, encode(self.strap.status(online=False)))
        name = f"{self.strap.team}.{self.strap.athlete}"
        while True:
            try:
                publisher = await Publisher.connect(self._broker, client_id=name, will=will)
            except ServerError:
                await asyncio.sleep(backoff.next_wait_s())
                continue
            backoff.succeeded()
            self._counted = 0
            status = publish_frame(self._status, encode(self.strap.status(online=True)), 1, retain=True)
            self.written_again += len(self._waiting)
            self._waiting.appendleft(status)
            for frame in self._waiting:
                publisher.write(frame)
            self._publisher = publisher
            try:
                while not publisher.lost:
                    self._forget_acknowledged()
                    publisher.keep_alive()
                    await asyncio.sleep(_LOOK_S)
                self._forget_acknowledged()
            finally:
                self._publisher = None
                publisher.close()

    def _forget_acknowledged(self) -> None:
        publisher = self._publisher
        if publisher is None:
            return
        # A broker acknowledges in the order in which it was sent to.
        for _ in range(min(publisher.acknowledged - self._counted, len(self._waiting))):
            self._waiting.popleft()
        self._counted = publisher.acknowledged


class SteadfastHerd:
    """Straps for hours of trouble.

    Parameters
    ----------
    straps : sequence of Strap
        Records are replayed over and over.
    broker : MqttAddress
        Where to.
    loss_of : callable
        Returns the share of packets that a strap's radio loses just now.
    seed : int
        Of the loss.
    """

    def __init__(
        self,
        straps: Sequence[Strap],
        *,
        broker: MqttAddress,
        loss_of: Callable[[Strap], float],
        seed: int = 0,
    ) -> None:
        self.senders = [Sender(strap, broker) for strap in straps]
        self.start_at: dict[tuple[str, str], float] = {}
        """Unix time, in seconds, at which each strap took its sample 0."""
        self.stood_still: list[tuple[float, float]] = []
        """When the schedule stood still, from and to, in Unix time."""
        self._loss_of = loss_of
        self._random = np.random.default_rng(seed)
        by_layout: dict[tuple[float, ...], list[Sender]] = {}
        for sender in self.senders:
            by_layout.setdefault(layout(sender.strap), []).append(sender)
        self._groups = [_Group(senders) for senders in by_layout.values()]
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._elapsed_s = 0.0

    def left_s(self, seconds: float) -> float:
        """Return how much of so many seconds of schedule is still to come."""
        return max(seconds - self._elapsed_s, 0.0)

    @contextlib.asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Stop the schedule while the block runs, once the broker has acknowledged all that was sent."""
        self._may_send.clear()
        try:
            await self._until_acknowledged()
            yield
        finally:
            self._may_send.set()

    async def run(self, *, seconds: float) -> None:
        """Send for so many seconds of schedule, say goodbye, and wait until the broker has acknowledged all.

        Whoever stops this process, or lets it rest, stops the schedule: its straps take no samples meanwhile.
        """
        connections = [asyncio.create_task(sender.stay_connected()) for sender in self.senders]
        try:
            await self._send(seconds)
            self._elapsed_s = seconds
            for sender in self.senders:
                sender.say(online=False, ended=True)
            await self._until_acknowledged()
        finally:
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _until_acknowledged(self) -> None:
        # What is left in the end is told by `Sender.waiting`.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                while any(sender.waiting for sender in self.senders):  # noqa: ASYNC110 - hundreds of them to look at
                    await asyncio.sleep(_LOOK_S)

    async def _send(self, seconds: float) -> None:
        begun = looked = time.monotonic()
        wall = time.time() - begun
        for group in self._groups:
            for sender, phase in zip(group.senders, group.phases, strict=True):
                self.start_at[sender.strap.team, sender.strap.athlete] = wall + begun + float(phase)
        while (now := time.monotonic()) - begun < seconds:
            if now - looked > 2.0:
                self.stood_still.append((wall + looked, wall + now))
                begun += now - looked
            looked, self._elapsed_s = now, now - begun
            for group in self._groups:
                self._send_due(group, now - begun, wall + begun)
            await asyncio.sleep(max(now + WAKE_S - time.monotonic(), 0.0))
            await self._may_send.wait()

    def _send_due(self, group: "_Group", elapsed_s: float, begun_at: float) -> None:
        while True:
            if group.row == len(group.senders):
                due_s = (group.number + 2) * group.period_s
                if due_s + group.phases[0] > elapsed_s:
                    return
                group.number, group.row = group.number + 1, 0
                group.frames.round(group.number, begun_at + due_s + group.phases)
            since_s = elapsed_s - (group.number + 1) * group.period_s
            after = int(np.searchsorted(group.phases, since_s, side="right"))
            if after <= group.row:
                return
            for row in range(group.row, after):
                sender = group.senders[row]
                sender.made += 1
                if self._random.random() < self._loss_of(sender.strap):
                    sender.lost.append(group.number)
                else:
                    sender.send(group.frames.frames[row].tobytes())
            group.row = after


class _Group:
    """Straps of one layout, with the clock of their packets."""

    def __init__(self, senders: list[Sender]) -> None:
        first = senders[0].strap
        self.senders = senders
        self.frames = HerdFrames([sender.strap for sender in senders])
        self.period_s = first.packet_s / first.speed
        self.phases: NDArray[np.float64] = phases_s(len(senders), self.period_s)
        self.number = -1
        self.row = len(senders)
