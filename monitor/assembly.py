"""Assembly: one strap's packets, in whatever order they come, into one stretch of samples that only moves forward.

Duplicates are dropped, packets out of order wait a bounded time for those before them, what never comes becomes a
gap that is counted, a strap that starts again begins anew. The sample clock orders everything; arrival times decide
only how long to wait. Each athlete has an assembly of their own, so nothing one strap sends can touch another's.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray, RowState
from monitor.rows import number_in
from monitor.wire import SamplePacket

VERSION: Final = 1
FAR_AHEAD_S: Final = 600.0
"""A packet this far ahead of the samples is believed only once the samples before it have stopped coming; then it is
no gap but a new beginning."""

_GAPS_KEPT: Final = 64
_WAIT_PACKETS: Final = 3
_NOTHING: Final = np.empty(0, np.float32)


@dataclass(frozen=True, kw_only=True)
class ReorderLimits:
    """How long a packet may wait for those before it.

    Attributes
    ----------
    packets : int
        Packets that may wait at once.
    wait_s : float
        Seconds, by arrival, that one may wait; three times its own length if that is more.
    other_strap_s : float
        Seconds without a sample after which another strap may take over an athlete's name; so may the same strap with
        a lower boot, another rate or a counter that went back by more than `FAR_AHEAD_S`, since a strap that is
        refused for ever would be a strap nobody watches.
    """

    packets: int = 8
    wait_s: float = 1.0
    other_strap_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch that comes next.

    Attributes
    ----------
    boot : int
        The strap's boot; a new one begins a new row of samples.
    first_sample, end_sample : int
        The stretch. Samples between the piece before and this one were lost.
    millivolts : ndarray of float32, shape ``[end_sample - first_sample]``
        The samples; empty with the lead off.
    lead_off : bool
        The electrodes had no contact.
    due_at : float
        Unix time, in seconds, at which the strap's schedule had the packet ready.
    due_sample : int
        First sample after that packet: the one that would be taken at `due_at`.
    rate_hz : float
        Sampling rate.
    begins : bool
        The first piece of a strap or a boot: what came before has no part in it.
    strap : str
        Whose it is.
    """

    boot: int
    first_sample: int
    end_sample: int
    millivolts: FloatArray
    lead_off: bool
    due_at: float
    due_sample: int
    rate_hz: float
    begins: bool = False
    strap: str = ""


@dataclass(slots=True)
class LinkCounters:
    """What became of one athlete's packets.

    ``received`` counts every packet that named this athlete and could be read; all others but ``lost`` are a part of
    it. ``lost`` packets never came, or came ``late``: too late to be of use.
    """

    received: int = 0
    duplicate: int = 0
    late: int = 0
    stale_boot: int = 0
    other_strap: int = 0
    inconsistent: int = 0
    implausible: int = 0
    lost: int = 0
    lost_samples: int = 0


@dataclass(slots=True)
class _Held:
    packet: SamplePacket
    arrived_at: float


@dataclass(slots=True)
class _Place:
    """Where a strap's samples have come to."""

    strap: str
    boot: int
    rate_hz: float
    lead: str
    next_sample: int
    next_sequence: int
    progress_at: float
    begun: bool = False
    gaps: list[tuple[int, int]] = field(default_factory=list)  # the last stretches that were given up
    held: list[_Held] = field(default_factory=list)


class StrapAssembly:
    """Puts one athlete's packets in order.

    Delay: none for packets in order; a packet after a missing one waits at most ``limits.wait_s``.

    Parameters
    ----------
    limits : ReorderLimits
        Bounds on waiting.
    """

    def __init__(self, limits: ReorderLimits | None = None) -> None:
        self._limits = limits or ReorderLimits()
        self._place: _Place | None = None
        self.counters = LinkCounters()

    @property
    def boot(self) -> int:
        """The boot whose samples are taken; -1 before the first packet."""
        return self._place.boot if self._place else -1

    @property
    def strap(self) -> str:
        """The strap whose samples are taken; empty before the first packet."""
        return self._place.strap if self._place else ""

    @property
    def lead(self) -> str:
        """The lead of the last packet that was taken."""
        return self._place.lead if self._place else ""

    @property
    def rate_hz(self) -> float:
        """The sampling rate; NaN before the first packet."""
        return self._place.rate_hz if self._place else float("nan")

    @property
    def progress_at(self) -> float:
        """When samples last came, by arrival; minus infinity before the first packet."""
        return self._place.progress_at if self._place else float("-inf")

    @property
    def waiting(self) -> bool:
        """Whether packets wait for others, so that `tick` has something to decide."""
        return self._place is not None and bool(self._place.held)

    def push(self, packet: SamplePacket, now: float) -> list[Piece]:
        """Take a packet that arrived at `now` and return the pieces that come next.

        Parameters
        ----------
        packet : SamplePacket
            A checked packet, see `monitor.wire.decode_samples`.
        now : float
            Arrival time in seconds, on any clock that only moves forward.
        """
        self.counters.received += 1
        place = self._place
        if place is None:
            return self._begin(packet, now)
        if (
            packet.first_sample == place.next_sample
            and packet.strap == place.strap
            and packet.boot == place.boot
            and packet.rate_hz == place.rate_hz
            and not place.held
        ):
            # What nearly all packets are; the way below would come to the same.
            return [self._take(packet, now)]
        cause = self._cause_to_drop(packet, place)
        if self._takes_over(packet, place, cause, now):
            return self._flush(now) + self._begin(packet, now)
        if cause is not None:
            setattr(self.counters, cause, getattr(self.counters, cause) + 1)
            return []
        if packet.first_sample <= place.next_sample:
            return [self._take(packet, now), *self._take_held(now)]
        place.held.append(_Held(packet, now))
        place.held.sort(key=lambda held: held.packet.first_sample)
        return self.tick(now)

    def tick(self, now: float) -> list[Piece]:
        """Let arrival time reach `now`: packets that have waited long enough come with a gap before them."""
        pieces: list[Piece] = []
        place = self._place
        while place is not None and place.held:
            oldest = min(held.arrived_at for held in place.held)
            first = place.held[0]
            # Long packets overtake one another by their own length.
            packet_s = (first.packet.end_sample - first.packet.first_sample) / place.rate_hz
            wait_s = max(self._limits.wait_s, _WAIT_PACKETS * packet_s)
            if len(place.held) <= self._limits.packets and now - oldest < wait_s:
                break
            ahead_s = (first.packet.first_sample - place.next_sample) / place.rate_hz
            if ahead_s > FAR_AHEAD_S and place.progress_at > first.arrived_at:
                # The samples went on without it: this one claims a place that the strap has not reached.
                place.held.pop(0)
                self.counters.implausible += 1
                continue
            if place.begun and ahead_s > FAR_AHEAD_S:
                self.counters.lost += 1
                place.held.pop(0)
                rest = place.held
                pieces += self._begin_at(first.packet, now)
                place = self._place
                assert place is not None  # noqa: S101 - it has just begun
                place.held = rest
                pieces += self._take_held(now)
                continue
            pieces += self._give_up(now)
        return pieces

    def flush(self, now: float) -> list[Piece]:
        """Return all that waits, with gaps where packets are missing: nothing more will come."""
        return self._flush(now) if self._place else []

    def export_row(self) -> RowState:
        """Return the state as plain arrays."""
        place = self._place
        described: dict[str, Any] = {"counters": asdict(self.counters), "place": None}
        if place is not None:
            described["place"] = {f.name: getattr(place, f.name) for f in fields(place) if f.name != "held"}
            described["held"] = [
                (msgspec.msgpack.encode(held.packet), held.arrived_at) for held in place.held
            ]
        encoded = np.frombuffer(msgspec.msgpack.encode(described), np.uint8).copy()
        return {"version": np.array(VERSION), "assembly": encoded}

    def import_row(self, state: RowState) -> None:
        """Take over a state that `export_row` gave.

        Raises
        ------
        ValueError
            If it has another version or is damaged; nothing is changed then.
        """
        if number_in(state, "version") != VERSION:
            raise ValueError(f"assembly state has another version than {VERSION}")
        try:
            described = msgspec.msgpack.decode(state["assembly"].tobytes())
            counters = LinkCounters(**described["counters"])
            place = None
            if described["place"] is not None:
                held = [
                    _Held(msgspec.msgpack.decode(packet, type=SamplePacket), arrived_at)
                    for packet, arrived_at in described["held"]
                ]
                place = _Place(**described["place"], held=held)
        except (KeyError, TypeError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"assembly state is damaged: {error}") from error
        self.counters = counters
        self._place = place

    def _takes_over(self, packet: SamplePacket, place: _Place, cause: str | None, now: float) -> bool:
        """Whether a packet that does not go on where the samples stand begins anew."""
        if packet.strap == place.strap and packet.boot > place.boot:
            return True
        if now - place.progress_at < self._limits.other_strap_s:
            return False
        behind_s = (place.next_sample - packet.end_sample) / place.rate_hz
        return cause in ("other_strap", "stale_boot", "inconsistent") or behind_s > FAR_AHEAD_S

    @staticmethod
    def _cause_to_drop(packet: SamplePacket, place: _Place) -> str | None:
        """Return the name of the counter of a packet that cannot be used; None for one that can."""
        cause = None
        if packet.strap != place.strap:
            cause = "other_strap"
        elif packet.boot < place.boot:
            cause = "stale_boot"
        elif packet.rate_hz != place.rate_hz:
            cause = "inconsistent"
        elif packet.end_sample <= place.next_sample:
            given_up = any(first <= packet.first_sample < end for first, end in place.gaps)
            cause = "late" if given_up else "duplicate"
        elif any(held.packet.first_sample == packet.first_sample for held in place.held):
            cause = "duplicate"
        return cause

    def _begin(self, packet: SamplePacket, now: float) -> list[Piece]:
        # A strap's very first packets may be out of order too: then the earlier ones are waited for.
        if packet.first_sample == 0 or packet.sequence > self._limits.packets:
            return self._begin_at(packet, now)
        self._place = _place_of(packet, 0, now)
        self._place.held.append(_Held(packet, now))
        return self.tick(now)

    def _begin_at(self, packet: SamplePacket, now: float) -> list[Piece]:
        self._place = _place_of(packet, packet.first_sample, now)
        return [self._take(packet, now)]

    def _take(self, packet: SamplePacket, now: float) -> Piece:
        place = self._place
        assert place is not None  # noqa: S101 - only called with a place
        # A packet that overlaps what is known already brings only its new part.
        first = max(packet.first_sample, place.next_sample)
        end = packet.end_sample
        millivolts = _NOTHING
        if not packet.lead_off:
            counts: NDArray[np.int16] = packet.counts()
            if first > packet.first_sample:
                counts = counts[first - packet.first_sample :]
            # Of int16 and float32 NumPy makes float32, exactly.
            millivolts = counts * np.float32(packet.microvolts_per_count / 1000.0)
        place.next_sample = end
        place.next_sequence = packet.sequence + 1
        place.progress_at = now
        place.lead = packet.lead
        begins, place.begun = not place.begun, True
        return Piece(
            boot=packet.boot,
            first_sample=first,
            end_sample=end,
            millivolts=millivolts,
            lead_off=packet.lead_off,
            due_at=packet.sent_at,
            due_sample=end,
            rate_hz=packet.rate_hz,
            begins=begins,
            strap=packet.strap,
        )

    def _take_held(self, now: float) -> list[Piece]:
        place = self._place
        assert place is not None  # noqa: S101 - only called with a place
        pieces = []
        while place.held and place.held[0].packet.first_sample <= place.next_sample:
            packet = place.held.pop(0).packet
            if packet.end_sample > place.next_sample:
                pieces.append(self._take(packet, now))
            else:
                self.counters.duplicate += 1
        return pieces

    def _give_up(self, now: float) -> list[Piece]:
        """Go on after a gap with the first packet that waits."""
        place = self._place
        assert place is not None  # noqa: S101 - only called with a place
        packet = place.held.pop(0).packet
        if place.begun:
            missing = packet.first_sample - place.next_sample
            # No more packets than samples can be missing, whatever the sequence says.
            self.counters.lost += min(max(packet.sequence - place.next_sequence, 1), missing)
            self.counters.lost_samples += missing
        place.gaps = [*place.gaps, (place.next_sample, packet.first_sample)][-_GAPS_KEPT:]
        place.next_sample = packet.first_sample
        return [self._take(packet, now), *self._take_held(now)]

    def _flush(self, now: float) -> list[Piece]:
        pieces: list[Piece] = []
        while self._place is not None and self._place.held:
            place = self._place
            if place.held[0].packet.first_sample - place.next_sample > FAR_AHEAD_S * place.rate_hz:
                # Nothing after it will say whether it was true.
                self.counters.implausible += len(place.held)
                place.held.clear()
            else:
                pieces += self._give_up(now)
        return pieces


def _place_of(packet: SamplePacket, next_sample: int, now: float) -> _Place:
    return _Place(
        strap=packet.strap,
        boot=packet.boot,
        rate_hz=packet.rate_hz,
        lead=packet.lead,
        next_sample=next_sample,
        next_sequence=packet.sequence,
        progress_at=now,
    )
