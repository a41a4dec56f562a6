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
        Packets that have met their fate: ``sent + lost + lost_in_burst + lost_in_dropout + unsent``.
    sent, lost, lost_in_burst, lost_in_dropout, unsent : int
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
    lost_in_burst: int
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
        Of the same team and athlete only where strap or boot differ: one that starts again, or two by one name.
    broker : MqttAddress
        Where to.
    radio : RadioSettings or sequence of RadioSettings, optional
        How bad every strap's radio is, or one for each.
    ledger : Ledger, optional
        Where it is entered what became of each packet.
    seed : int
        Of the radios.
    say : callable, optional
        Told in words of failing connections.

    Raises
    ------
    UsageError
        If there is no strap, or one twice.
    """

    def __init__(
        self,
        straps: Sequence[Strap],
        *,
        broker: MqttAddress,
        radio: RadioSettings | Sequence[RadioSettings] | None = None,
        ledger: Ledger | None = None,
        seed: int = 0,
        say: Callable[[str], None] | None = None,
    ) -> None:
        if not straps:
            raise UsageError("no strap to simulate")
        radios = [radio or RadioSettings()] * len(straps) if not isinstance(radio, Sequence) else radio
        lives = lives_of(straps)
        self.ledger = ledger or Ledger()
        self._say_to = say
        self._said_at = float("-inf")
        self._lateness = Lateness()
        self._began = time.monotonic()
        self._links = [
            StrapLink(
                strap,
                Radio(
                    settings,
                    seed=seed,
                    team=strap.team,
                    athlete=strap.athlete,
                    ledger=self.ledger,
                    life=life,
                ),
                broker,
                lateness=self._lateness,
                say=self._say,
            )
            for strap, settings, life in zip(straps, radios, lives, strict=True)
        ]
        self.started = asyncio.Event()
        self.start_at: list[float] = []
        """Unix time, in seconds, at which each strap's schedule began; empty before the fleet runs."""

    @property
    def was_connected(self) -> bool:
        """Whether any strap has reached the broker so far."""
        return any(link.connected.is_set() for link in self._links)

    @property
    def cut_off(self) -> int:
        """How many of the unsent packets the radio held back beyond the end of the run."""
        return sum(link.cut_off for link in self._links)

    async def run(self, *, until_s: float | None = None, drain_s: float = 5.0) -> FleetReport:
        """Publish until every record or the time is over; cancelled, every strap says goodbye first.

        Straps begin one after the other within one packet's time: real ones do not speak in step.

        Parameters
        ----------
        until_s : float, optional
            Seconds of schedule after which nothing more is due, and what the radio holds back for more than a second
            beyond stays unsent.
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
            # Straps that are switched on later connect later.
            first = [link for link in self._links if link.strap.begins_s == 0.0]
            connecting = [asyncio.create_task(link.connected.wait()) for link in first]
            try:
                if connecting:
                    await asyncio.wait(connecting, timeout=_HEAD_START_S)
            finally:
                for task in connecting:
                    task.cancel()
            now = time.time()
            self.start_at = [
                now + number * link.strap.packet_s / link.strap.speed / len(self._links)
                for number, link in enumerate(self._links)
            ]
            for start, start_at in zip(starts, self.start_at, strict=True):
                start.set_result(start_at)
            self.started.set()
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
            lost_in_burst=counts["lost_in_burst"],
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
            who = "the strap is" if len(self._links) == 1 else f"{away} of {len(self._links)} straps are"
            self._say_to(f"{text} ({who} not connected)")


def lives_of(straps: Sequence[Strap]) -> list[int]:
    """Return, for each strap, how many of the same athlete came before it.

    Raises
    ------
    UsageError
        If a strap is there twice: same team, athlete, strap and boot.
    """
    seen: dict[tuple[str, str], list[tuple[str, int]]] = {}
    numbers = []
    for strap in straps:
        own = seen.setdefault((strap.team, strap.athlete), [])
        if (strap.strap, strap.boot) in own:
            raise UsageError(
                f"athlete {strap.athlete!r} of team {strap.team!r} is there twice; name them apart"
            )
        numbers.append(len(own))
        own.append((strap.strap, strap.boot))
    return numbers


async def run_fleet(
    straps: Sequence[Strap],
    *,
    broker: MqttAddress,
    radio: RadioSettings | Sequence[RadioSettings] | None = None,
    ledger: Ledger | None = None,
    until_s: float | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> FleetReport:
    """Run a `Fleet` to its end and return what it did; the parameters are those of `Fleet` and `Fleet.run`."""
    fleet = Fleet(straps, broker=broker, radio=radio, ledger=ledger, seed=seed, say=say)
    return await fleet.run(until_s=until_s)
