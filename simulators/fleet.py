"""A fleet of straps on one broker, each with a connection, a last will and a radio of its own."""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from monitor.errors import UsageError
from monitor.sources.address import MqttAddress
from simulators.lateness import Lateness
from simulators.ledger import Ledger
from simulators.radio import Radio, RadioSettings
from simulators.strap import Strap
from simulators.strap_link import LinkState, StrapLink

# Straps that nobody can reach are said so once for all of them, and not again for a while.
_SAY_EVERY_S = 2.0
_HEAD_START_S = 2.0


class LatenessReport(msgspec.Struct, frozen=True, kw_only=True):
    """How late packets went out after they were due (jitter and dropouts asked for not included), in seconds.

    Attributes
    ----------
    p50, p99, max : float or None
        None where no packet went out.
    """

    p50: float | None
    p99: float | None
    max: float | None


class FleetReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a fleet has done so far.

    Attributes
    ----------
    straps, connected : int
        How many there are, and how many have a connection now.
    packets : int
        Packets that have met their fate: ``sent + lost + lost_in_dropout + unsent``.
    sent, lost, lost_in_dropout, unsent : int
        Fates, see `simulators.ledger.Ledger`.
    duplicated, reordered, delayed, held_in_dropout, lead_off, resent, unacknowledged : int
        What else happened, see there.
    reconnections : int
        How often a strap tried again to connect.
    lateness_s : LatenessReport
        Of packets that were due while their strap was connected.
    seconds : float
        How long the fleet has run.
    """

    straps: int
    connected: int
    packets: int
    sent: int
    lost: int
    lost_in_dropout: int
    unsent: int
    duplicated: int
    reordered: int
    delayed: int
    held_in_dropout: int
    lead_off: int
    resent: int
    unacknowledged: int
    reconnections: int
    lateness_s: LatenessReport
    seconds: float


class Fleet:
    """Straps that publish together.

    Parameters
    ----------
    straps : sequence of Strap
        No two may be of the same team and athlete.
    broker : MqttAddress
        Where to.
    radio : RadioSettings, optional
        How bad every strap's radio is.
    ledger : Ledger, optional
        Where it is entered what became of each packet.
    seed : int
        Of the radios.
    say : callable, optional
        Told in words of failing connections.

    Raises
    ------
    UsageError
        If there is no strap, or an athlete twice.
    """

    def __init__(
        self,
        straps: Sequence[Strap],
        *,
        broker: MqttAddress,
        radio: RadioSettings | None = None,
        ledger: Ledger | None = None,
        seed: int = 0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if not straps:
            raise UsageError("no strap to simulate")
        who = [(strap.team, strap.athlete) for strap in straps]
        for team, athlete in who:
            if who.count((team, athlete)) > 1:
                raise UsageError(f"athlete {athlete!r} of team {team!r} is there twice; name them apart")
        self.ledger = ledger or Ledger()
        self._say_to = say
        self._said_at = float("-inf")
        self._lateness = Lateness()
        self._began = time.monotonic()
        self._links = [
            StrapLink(
                strap,
                Radio(
                    radio or RadioSettings(),
                    seed=seed,
                    team=strap.team,
                    athlete=strap.athlete,
                    ledger=self.ledger,
                ),
                broker,
                lateness=self._lateness,
                say=self._say,
            )
            for strap in straps
        ]

    async def run(self, *, until_s: float | None = None, drain_s: float = 5.0) -> FleetReport:
        """Publish until every record or the time is over; cancelled, every strap says goodbye first.

        Straps begin one after the other within one packet's time: real ones do not speak in step.

        Parameters
        ----------
        until_s : float, optional
            Seconds of schedule after which nothing more is due.
        drain_s : float
            How long, at the end, to wait for the broker's acknowledgements.
        """
        self._began = time.monotonic()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            starts: list[asyncio.Future[float]] = []
            for link in self._links:
                starts.append(loop.create_future())
                group.create_task(link.run(start_at=starts[-1], until_s=until_s, drain_s=drain_s))
            # A schedule that began before its connection would begin late. A broker that is away is not waited for.
            connecting = [asyncio.create_task(link.connected.wait()) for link in self._links]
            try:
                await asyncio.wait(connecting, timeout=_HEAD_START_S)
            finally:
                for task in connecting:
                    task.cancel()
            now = time.time()
            for number, (link, start) in enumerate(zip(self._links, starts, strict=True)):
                start.set_result(now + number * link.strap.packet_s / link.strap.speed / len(self._links))
        return self.report()

    def report(self) -> FleetReport:
        """Return what has been done so far."""
        counts = self.ledger.counts
        return FleetReport(
            straps=len(self._links),
            connected=sum(link.state is LinkState.CONNECTED for link in self._links),
            packets=self.ledger.packets,
            sent=counts["sent"],
            lost=counts["lost"],
            lost_in_dropout=counts["lost_in_dropout"],
            unsent=counts["unsent"],
            duplicated=counts["duplicated"],
            reordered=counts["reordered"],
            delayed=counts["delayed"],
            held_in_dropout=counts["held_in_dropout"],
            lead_off=counts["lead_off"],
            resent=counts["resent"],
            unacknowledged=counts["unacknowledged"],
            reconnections=sum(link.reconnections for link in self._links),
            lateness_s=LatenessReport(
                p50=self._lateness.quantile_s(0.5),
                p99=self._lateness.quantile_s(0.99),
                max=self._lateness.max_s if len(self._lateness) else None,
            ),
            seconds=time.monotonic() - self._began,
        )

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if self._say_to is not None and now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            away = sum(link.state is LinkState.CONNECTING for link in self._links)
            self._say_to(f"{text} ({away} of {len(self._links)} straps are not connected)")


async def run_fleet(
    straps: Sequence[Strap],
    *,
    broker: MqttAddress,
    radio: RadioSettings | None = None,
    ledger: Ledger | None = None,
    until_s: float | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> FleetReport:
    """Run a `Fleet` to its end and return what it did; the parameters are those of `Fleet` and `Fleet.run`."""
    fleet = Fleet(straps, broker=broker, radio=radio, ledger=ledger, seed=seed, say=say)
    return await fleet.run(until_s=until_s)
