"""Radio trouble, seeded: which packets are lost, doubled, overtaken, late, silenced or without contact. Pure.

References
----------
Gilbert EN. Capacity of a burst-noise channel. Bell System Technical Journal 39(5):1253-1265, 1960.
Elliott EO. Estimates of error rates for codes on burst-noise channels. Bell System Technical Journal
42(5):1977-1997, 1963.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from monitor.errors import UsageError
from monitor.wire import SamplePacket, TruthMessage
from simulators.ledger import FATES, Cause, Ledger, LedgerEntry
from simulators.strap import ScheduledPacket

# A packet held back is overtaken by one to four later ones.
_REORDER_PACKETS = 4.0
_DUPLICATE_WITHIN_S = 0.5


class Stretch(NamedTuple):
    """A stretch of a strap's schedule, in seconds since it began."""

    start_s: float
    length_s: float

    def holds(self, at_s: float) -> bool:
        """Whether `at_s` lies in it (the start does, the end does not)."""
        return self.start_s <= at_s < self.start_s + self.length_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """Losses in bursts: a link that is good or bad, after Gilbert and Elliott.

    The mean length of a bad stretch is ``1 / leave`` packets; ``enter / (enter + leave)`` of all packets meet a bad
    link.

    Attributes
    ----------
    enter, leave : float
        Probability, 0 to 1, that before a packet a good link turns bad, and a bad one good.
    loss : float
        Probability that a packet is lost while the link is bad.

    Raises
    ------
    UsageError
        If a value is no probability.
    """

    enter: float
    leave: float
    loss: float = 1.0

    def __post_init__(self) -> None:
        _check_probabilities(burst_enter=self.enter, burst_leave=self.leave, burst_loss=self.loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioSettings:
    """How bad the radio is; by default it is perfect.

    Attributes
    ----------
    loss, duplicates, reorder : float
        Probability, 0 to 1, that a packet is lost, is sent twice, is held back until later ones have overtaken it.
    bursts : Bursts or None
        Losses that come in bursts, beside `loss`.
    jitter_s : float
        Each packet is late by up to this many seconds, uniformly.
    dropouts : tuple of Stretch
        The radio is silent; what was due meanwhile comes in a flood at its end.
    dropouts_lost : tuple of Stretch
        Likewise, but what was due meanwhile never comes.
    lead_off : tuple of Stretch
        The electrodes have no contact: packets due meanwhile say so, and hold zeros.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    loss: float = 0.0
    duplicates: float = 0.0
    reorder: float = 0.0
    bursts: Bursts | None = None
    jitter_s: float = 0.0
    dropouts: tuple[Stretch, ...] = ()
    dropouts_lost: tuple[Stretch, ...] = ()
    lead_off: tuple[Stretch, ...] = ()

    def __post_init__(self) -> None:
        _check_probabilities(loss=self.loss, duplicates=self.duplicates, reorder=self.reorder)
        if not 0.0 <= self.jitter_s < float("inf"):
            raise UsageError(f"jitter {self.jitter_s:g}: use seconds, 0 or more")
        for stretch in (*self.dropouts, *self.dropouts_lost, *self.lead_off):
            if not (0.0 <= stretch.start_s < float("inf") and 0.0 < stretch.length_s < float("inf")):
                raise UsageError(
                    f"stretch {stretch.start_s:g}:{stretch.length_s:g}: use a start of 0 or more, a length above 0"
                )


class Transmission(NamedTuple):
    """A packet as the radio hands it to the network.

    Attributes
    ----------
    at_s : float
        Seconds of schedule at which it goes out.
    scheduled : ScheduledPacket
        What goes out, and when it was due.
    duplicate : bool
        It has gone out before.
    """

    at_s: float
    scheduled: ScheduledPacket
    duplicate: bool


class Radio:
    """The radio of one strap.

    Equal settings, seed and names give equal trouble, whatever other straps do. Whether one packet is lost does not
    depend on the other settings: each packet uses the same number of random numbers.

    Parameters
    ----------
    settings : RadioSettings
        How bad it is.
    seed : int
        Of the whole fleet.
    team, athlete : str
        Whose strap; parts the straps' random numbers.
    ledger : Ledger
        Where losses and trouble are entered. That a transmission went out is for its sender to enter.
    life : int
        Number of the strap's start, or of the strap, where an athlete has several; each has trouble of its own.
    """

    def __init__(
        self,
        settings: RadioSettings,
        *,
        seed: int,
        team: str,
        athlete: str,
        ledger: Ledger,
        life: int = 0,
    ) -> None:
        self._settings = settings
        named = [seed, crc32(f"{team}/{athlete}".encode()), *([life] if life else [])]
        self._random = np.random.default_rng(named)
        # Apart, so that the other troubles are the same with and without bursts.
        self._burst_random = np.random.default_rng([*named, crc32(b"bursts")])
        self._bad_link = False
        self._begins_at = 0.0
        self._team = team
        self._athlete = athlete
        self.ledger = ledger
        self.lost_truth: list[TruthMessage] = []
        """Truth of packets that were lost, which no transmission carries; whoever sends truth takes it from here."""

    def transmit(
        self, packets: Iterable[ScheduledPacket], *, begins_at: float = 0.0
    ) -> Iterator[Transmission]:
        """Yield what goes out, in order of `Transmission.at_s`.

        Parameters
        ----------
        packets : iterable of ScheduledPacket
            In order of `ScheduledPacket.due_s`.
        begins_at : float
            Unix time, in seconds, at which the schedule begins, for the ledger.
        """
        self._begins_at = begins_at
        waiting: list[tuple[float, int, Transmission]] = []
        number = 0
        for scheduled in packets:
            # Nothing that is still to come can go out before it is due.
            while waiting and waiting[0][0] <= scheduled.due_s:
                yield heapq.heappop(waiting)[2]
            for transmission in self._trouble(scheduled):
                heapq.heappush(waiting, (transmission.at_s, number, transmission))
                number += 1
        while waiting:
            yield heapq.heappop(waiting)[2]

    def note(self, cause: Cause, scheduled: ScheduledPacket, at_s: float) -> None:
        """Enter in the ledger what happened to a packet."""
        packet = scheduled.packet
        if cause in FATES and cause != "sent" and scheduled.truth is not None:
            self.lost_truth.append(scheduled.truth)
        self.ledger.note(
            LedgerEntry(
                team=self._team,
                athlete=self._athlete,
                strap=packet.strap,
                boot=packet.boot,
                sequence=packet.sequence,
                first_sample=packet.first_sample,
                samples=len(packet.samples) // 2,
                cause=cause,
                due_s=scheduled.due_s,
                at_s=at_s,
                at=self._begins_at + at_s,
            )
        )

    def _trouble(self, scheduled: ScheduledPacket) -> list[Transmission]:
        settings, due_s = self._settings, scheduled.due_s
        lost, doubled, held_back, late, overtaken_by, doubled_after = self._random.random(6).tolist()
        in_burst = self._is_lost_in_burst()
        if any(stretch.holds(due_s) for stretch in settings.lead_off):
            scheduled = _without_contact(scheduled)
            self.note("lead_off", scheduled, due_s)
        if any(stretch.holds(due_s) for stretch in settings.dropouts_lost):
            self.note("lost_in_dropout", scheduled, due_s)
            return []
        if lost < settings.loss:
            self.note("lost", scheduled, due_s)
            return []
        if in_burst:
            self.note("lost_in_burst", scheduled, due_s)
            return []
        at_s = due_s
        if settings.jitter_s > 0.0:
            at_s += late * settings.jitter_s
            self.note("delayed", scheduled, at_s)
        if held_back < settings.reorder:
            at_s += (1.0 + (_REORDER_PACKETS - 1.0) * overtaken_by) * scheduled.lasts_s
            self.note("reordered", scheduled, at_s)
        at_s = self._after_dropout(scheduled, at_s)
        transmissions = [Transmission(at_s, scheduled, duplicate=False)]
        if doubled < settings.duplicates:
            again_s = self._after_dropout(None, at_s + doubled_after * _DUPLICATE_WITHIN_S)
            transmissions.append(Transmission(again_s, scheduled, duplicate=True))
        return transmissions

    def _is_lost_in_burst(self) -> bool:
        bursts = self._settings.bursts
        if bursts is None:
            return False
        turns, lost = self._burst_random.random(2).tolist()
        self._bad_link = turns >= bursts.leave if self._bad_link else turns < bursts.enter
        return self._bad_link and lost < bursts.loss

    def _after_dropout(self, scheduled: ScheduledPacket | None, at_s: float) -> float:
        """Return when the radio speaks again if it is silent at `at_s`."""
        for stretch in sorted((*self._settings.dropouts, *self._settings.dropouts_lost)):
            if stretch.holds(at_s):
                at_s = stretch.start_s + stretch.length_s
                if scheduled is not None:
                    self.note("held_in_dropout", scheduled, at_s)
        return at_s


def _without_contact(scheduled: ScheduledPacket) -> ScheduledPacket:
    packet: SamplePacket = msgspec.structs.replace(
        scheduled.packet, lead_off=True, samples=bytes(len(scheduled.packet.samples))
    )
    truth: TruthMessage | None = scheduled.truth
    if truth is not None:
        # What is sent holds no heartbeat, so there is nothing to find.
        truth = msgspec.structs.replace(truth, scored=False)
    return scheduled._replace(packet=packet, truth=truth)


def _check_probabilities(**probabilities: float) -> None:
    for what, probability in probabilities.items():
        if not 0.0 <= probability <= 1.0:
            raise UsageError(f"{what} {probability:g}: use a probability, 0 to 1")
