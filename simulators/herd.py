"""A herd: hundreds to thousands of straps from one process, for load.

One task sends all packets on schedule. It wakes a few hundred times a second, takes every strap that is due by then,
and writes frames that were made a round at a time (`simulators.herd_frames`). How late each one went out is measured.
A herd has no truth, sends nothing again and knows one trouble, loss; for the others there are fleets.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import ServerError, UsageError
from monitor.sources.address import MqttAddress
from monitor.wire import encode, topic
from simulators.fleet import LatenessReport
from simulators.herd_frames import HerdFrames, layout, phases_s
from simulators.lateness import Lateness
from simulators.mqtt_publisher import Publisher, publish_frame
from simulators.strap import Strap

Connections = Literal["light", "shared"]
WAKE_S: Final = 0.004
"""How often a herd looks whose packet is due: as much as this a packet may be late."""
_CONNECTING_AT_ONCE: Final = 50
_DRAIN_S: Final = 3.0


class HerdReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a herd has done.

    Attributes
    ----------
    straps, connections : int
        How many there were.
    packets, sent, lost, unacknowledged : int
        Packets made; of these handed to the broker, lost by the radio, and never acknowledged.
    lateness_s : LatenessReport
        How late packets went out.
    seconds : float
        How long it ran.
    """

    straps: int
    connections: int
    packets: int
    sent: int
    lost: int
    unacknowledged: int
    lateness_s: LatenessReport
    seconds: float


@dataclass(slots=True, eq=False)
class _Group:
    """Straps of one layout, with the clock of their packets."""

    frames: HerdFrames
    phases: NDArray[np.float64]
    period_s: float
    publishers: list[Publisher]
    number: int = -1
    row: int = 0


class Herd:
    """Straps for load.

    Parameters
    ----------
    straps : sequence of Strap
        Records are replayed over and over.
    broker : MqttAddress
        Where to, without TLS.
    connections : {'light', 'shared'}
        One connection a strap, with a last will of its own, or one for all, without a will.
    loss : float
        Share of packets that never go out, 0 to 1.
    seed : int
        Of the loss.

    Raises
    ------
    UsageError
        If there is no strap, the loss is no share, or the broker wants TLS.
    """

    def __init__(
        self,
        straps: Sequence[Strap],
        *,
        broker: MqttAddress,
        connections: Connections = "light",
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not straps:
            raise UsageError("no strap to simulate")
        if not 0.0 <= loss <= 1.0:
            raise UsageError(f"loss {loss:g}: use a probability, 0 to 1")
        if broker.tls:
            raise UsageError(f"broker {broker}: light connections speak no TLS; use connections of their own")
        self._straps = list(straps)
        self._broker = broker
        self._connections = connections
        self._loss = loss
        self._random = np.random.default_rng(seed)
        self._lateness = Lateness()
        self._sent = self._lost = self._farewells = 0
        self._publishers: list[Publisher] = []

    async def run(self, *, seconds: float) -> HerdReport:
        """Connect, send for so many seconds of schedule, and say goodbye.

        Raises
        ------
        ServerError
            If the broker cannot be reached or hangs up.
        """
        groups = await self._connect()
        self._say_status(groups, online=True)
        begun = time.monotonic()
        try:
            await self._send(groups, begun, seconds)
        finally:
            self._say_status(groups, online=False)
            await self._drain()
            ended = time.monotonic()
            for publisher in self._publishers:
                publisher.close()
        acknowledged = sum(publisher.acknowledged for publisher in self._publishers)
        return HerdReport(
            straps=len(self._straps),
            connections=len(self._publishers),
            packets=self._sent + self._lost,
            sent=self._sent,
            lost=self._lost,
            unacknowledged=max(self._sent + self._farewells - acknowledged, 0),
            lateness_s=LatenessReport(
                p50=self._lateness.quantile_s(0.5),
                p99=self._lateness.quantile_s(0.99),
                max=self._lateness.max_s if len(self._lateness) else None,
            ),
            seconds=ended - begun,
        )

    async def _connect(self) -> list[_Group]:
        by_layout: dict[tuple[float, ...], list[Strap]] = {}
        for strap in self._straps:
            by_layout.setdefault(layout(strap), []).append(strap)
        shared = None
        if self._connections == "shared":
            name = f"herd.{self._straps[0].team}.{self._straps[0].boot}"
            shared = await Publisher.connect(self._broker, client_id=name, will=None)
            self._publishers = [shared]
        groups = []
        for straps in by_layout.values():
            period_s = straps[0].packet_s / straps[0].speed
            publishers = [shared] * len(straps) if shared is not None else await self._connect_each(straps)
            groups.append(_Group(HerdFrames(straps), phases_s(len(straps), period_s), period_s, publishers))
        return groups

    async def _connect_each(self, straps: list[Strap]) -> list[Publisher]:
        connected: list[Publisher] = []
        for first in range(0, len(straps), _CONNECTING_AT_ONCE):
            some = straps[first : first + _CONNECTING_AT_ONCE]
            connected += await asyncio.gather(
                *(
                    Publisher.connect(
                        self._broker,
                        client_id=f"{strap.team}.{strap.athlete}.{strap.strap}.{strap.boot}",
                        will=(topic(strap.team, strap.athlete, "status"), encode(strap.status(online=False))),
                    )
                    for strap in some
                )
            )
        self._publishers += connected
        return connected

    def _say_status(self, groups: list[_Group], *, online: bool) -> None:
        for group in groups:
            for strap, publisher in zip(group.frames.straps, group.publishers, strict=True):
                status = encode(strap.status(online=online, ended=not online))
                where = topic(strap.team, strap.athlete, "status")
                publisher.write(publish_frame(where, status, 1, retain=True))
                self._farewells += 1

    async def _send(self, groups: list[_Group], begun: float, seconds: float) -> None:
        wall = time.time() - time.monotonic()
        pinged = begun
        while (now := time.monotonic()) - begun < seconds:
            for group in groups:
                self._send_due(group, now - begun, wall + begun)
            if now - pinged > 1.0:
                pinged = now
                for publisher in self._publishers:
                    publisher.keep_alive()
                    if publisher.lost:
                        raise ServerError(f"broker {self._broker}: hung up on a strap")
            await asyncio.sleep(max(now + WAKE_S - time.monotonic(), 0.0))

    def _send_due(self, group: _Group, elapsed_s: float, begun_at: float) -> None:
        """Send every packet of a group that is due by now, round after round."""
        phases, straps = group.phases, len(group.frames)
        while True:
            if group.number < 0 or group.row == straps:
                # A packet is due when its last sample is taken, one period after its first.
                next_due_s = (group.number + 2) * group.period_s
                if next_due_s + phases[0] > elapsed_s:
                    return
                group.number, group.row = group.number + 1, 0
                group.frames.round(group.number, begun_at + next_due_s + phases)
            since_s = elapsed_s - (group.number + 1) * group.period_s
            after = int(np.searchsorted(phases, since_s, side="right"))
            if after <= group.row:
                return
            self._write(group, np.arange(group.row, after), since_s)
            group.row = after

    def _write(self, group: _Group, rows: NDArray[np.int64], late_s: float) -> None:
        if self._loss > 0.0:
            arrives = self._random.random(len(rows)) >= self._loss
            self._lost += int((~arrives).sum())
            rows = rows[arrives]
        self._lateness.add_many(late_s - group.phases[rows])
        self._sent += len(rows)
        frames = group.frames.frames
        if self._connections == "shared":
            group.publishers[0].write(frames[rows].tobytes())
            return
        for row in rows.tolist():
            group.publishers[row].write(frames[row].tobytes())

    async def _drain(self) -> None:
        """Wait a little for what the broker has not acknowledged yet."""
        until = time.monotonic() + _DRAIN_S
        while time.monotonic() < until:
            acknowledged = sum(publisher.acknowledged for publisher in self._publishers)
            if acknowledged >= self._sent + self._farewells:
                return
            await asyncio.sleep(0.02)
