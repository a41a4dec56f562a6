"""A strap that replays one record: which packet is due when, and what it says. Pure: no clock, no network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from monitor.contract import IntArray
from monitor.errors import UsageError
from monitor.wire import WIRE_VERSION, SamplePacket, StatusMessage, TruthMessage, is_name
from simulators.records import Record

DEFAULT_PACKET_S: Final = 0.25
BATTERY_TOLD_EVERY_S: Final = 10.0
"""How often, in seconds of signal, a strap tells its battery's charge."""
# Leaves room for the other fields within monitor.wire.MAX_PACKET_BYTES.
_MAX_PACKET_SAMPLES = 32_000
_MAX_SOURCE_LENGTH = 64
_MAX_LEAD_LENGTH = 32
_MOST_DRIFT_PPM = 10_000.0


class ScheduledPacket(NamedTuple):
    """A packet and when it is due.

    Attributes
    ----------
    due_s : float
        Seconds of schedule since the strap began: when the packet's last sample is taken.
    packet : SamplePacket
        The samples.
    truth : TruthMessage or None
        Reference annotations of the same stretch, where the record has any.
    lasts_s : float
        Seconds of schedule that its samples take.
    """

    due_s: float
    packet: SamplePacket
    truth: TruthMessage | None
    lasts_s: float = 0.0


class ClockJump(NamedTuple):
    """The strap's own clock is set: from then on its ``sent_at`` is off.

    Attributes
    ----------
    at_s : float
        Seconds of signal since the strap began.
    by_s : float
        By how many seconds, forward or, if negative, back.
    """

    at_s: float
    by_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strap:
    """One lead of a record, on the air.

    Attributes
    ----------
    record : Record
        What is replayed.
    team, athlete, strap : str
        Pseudonyms: 1 to 64 letters, digits, ``-`` or ``_``.
    boot : int
        Grows with each start of the strap.
    packet_s : float
        Seconds of signal in a packet. Packets are also cut where the signal becomes invalid (they say
        ``lead_off``) and where the reference stops or resumes scoring, so that each says one thing only.
    start_s : float
        Seconds into the record at which the strap begins.
    loop : bool
        Begin the record anew at its end; the sample counter goes on.
    speed : float
        Seconds of signal per second of schedule.
    begins_s : float
        Seconds of signal after the fleet's start at which the strap is switched on.
    dies : bool
        At the end of its record it is gone without a farewell: its last will speaks for it.
    drift_ppm : float
        By how many parts in a million the strap's crystal is fast: it takes samples sooner than its rate says, and its
        clock, which counts the same crystal, is as far ahead.
    clock_jumps : tuple of ClockJump
        When the strap's clock is set. The samples go on undisturbed.
    skips : tuple of (float, float)
        Start and length, in seconds of signal, of samples that the strap itself loses: ``first_sample`` jumps, the
        packet counter does not.
    battery : tuple of (float, float) or None
        Charge at the begin and at the end of the record, 0 to 1, which its status tells.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    record: Record
    team: str
    athlete: str
    strap: str
    boot: int
    packet_s: float = DEFAULT_PACKET_S
    start_s: float = 0.0
    loop: bool = False
    speed: float = 1.0
    begins_s: float = 0.0
    dies: bool = False
    drift_ppm: float = 0.0
    clock_jumps: tuple[ClockJump, ...] = ()
    skips: tuple[tuple[float, float], ...] = ()
    battery: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for what, name in (("team", self.team), ("athlete", self.athlete), ("strap", self.strap)):
            if not is_name(name):
                raise UsageError(f"{what} {name!r}: use 1 to 64 letters, digits, '-' or '_'")
        if not 0.0 < self.speed < float("inf"):
            raise UsageError(f"speed {self.speed:g}: use a number above 0")
        if not 1.0 <= self.packet_s * self.record.rate_hz <= _MAX_PACKET_SAMPLES:
            longest = _MAX_PACKET_SAMPLES / self.record.rate_hz
            raise UsageError(
                f"packet of {self.packet_s:g} s: use {1 / self.record.rate_hz:.2g} to {longest:g} s "
                f"at {self.record.rate_hz:g} Hz"
            )
        length_s = len(self.record) / self.record.rate_hz
        if not 0.0 <= self.start_s < length_s:
            raise UsageError(
                f"start {self.start_s:g} s: {self.record.name} lasts {length_s:g} s; use 0 or more, and less than that"
            )

    @property
    def source(self) -> str:
        """What the status says is replayed."""
        return self.record.name[-_MAX_SOURCE_LENGTH:]

    def status(self, *, online: bool, ended: bool = False, schedule_s: float | None = None) -> StatusMessage:
        """Return the strap's status; with ``online`` false it is the last will, with ``ended`` a farewell.

        Parameters
        ----------
        online, ended : bool
            As in `monitor.wire.StatusMessage`.
        schedule_s : float, optional
            Seconds of schedule at which it is told, for the battery's charge then.
        """
        return StatusMessage(
            version=WIRE_VERSION,
            strap=self.strap,
            online=online,
            ended=ended,
            boot=self.boot,
            source=self.source,
            battery=None if schedule_s is None else self.charge(schedule_s),
        )

    def schedule_s(self, samples: float) -> float:
        """Return the seconds of schedule at which so many samples have been taken."""
        true_hz = self.record.rate_hz * (1.0 + self.drift_ppm / 1e6)
        return (self.begins_s + samples / true_hz) / self.speed

    def clock_s(self, samples: float) -> float:
        """Return what the strap's own clock says then, in seconds of schedule."""
        signal_s = samples / self.record.rate_hz
        jumped_s = sum(jump.by_s for jump in self.clock_jumps if jump.at_s <= signal_s)
        return (self.begins_s + signal_s) / self.speed + jumped_s

    def packets(self, *, start_at: float) -> Iterator[ScheduledPacket]:
        """Yield the strap's packets in order, for ever if it loops.

        Parameters
        ----------
        start_at : float
            Unix time, in seconds, at which the schedule begins. A packet's ``sent_at`` is this plus what the strap's
            clock says when its last sample is taken (its ``due_s``, if that clock is right), however late somebody
            publishes it.
        """
        record = self.record
        length, rate_hz = len(record), record.rate_hz
        start = int(self.start_s * rate_hz)
        cuts, skips = _cuts(record), self.skipped_samples()
        first = grid = sequence = 0
        while self.loop or start + first < length:
            # The first grid line after this sample; lines lie at multiples of packet_s, rounded to samples.
            while (line := round((grid + 1) * self.packet_s * rate_hz)) <= first:
                grid += 1
            begin = (start + first) % length
            cut = int(cuts[np.searchsorted(cuts, begin, side="right")])
            end = min(line, first + cut - begin, *(edge for skip in skips for edge in skip if edge > first))
            if not any(skip_begin <= first < skip_end for skip_begin, skip_end in skips):
                yield ScheduledPacket(
                    self.schedule_s(end),
                    self._packet(sequence, first, begin, end - first, start_at + self.clock_s(end)),
                    self._truth(first, begin, end - first),
                    (end - first) / rate_hz / self.speed,
                )
                sequence += 1
            first = end

    def skipped_samples(self) -> list[tuple[int, int]]:
        """Return the stretches that the strap itself loses: first sample, and first after."""
        rate_hz = self.record.rate_hz
        return [
            (round(start_s * rate_hz), round((start_s + lasts_s) * rate_hz))
            for start_s, lasts_s in self.skips
        ]

    def charge(self, schedule_s: float) -> float | None:
        """Return the battery's charge, 0 to 1, at a second of the schedule; None where none is told."""
        if self.battery is None:
            return None
        full, empty = self.battery
        lasts_s = (len(self.record) / self.record.rate_hz - self.start_s) / self.speed
        spent = min(max((schedule_s - self.begins_s / self.speed) / lasts_s, 0.0), 1.0)
        return full + (empty - full) * spent

    def low_battery_sample(self, level: float) -> int | None:
        """Return the first sample at which the battery's charge is no more than `level`; None if it never is."""
        if self.battery is None or self.battery[1] > level:
            return None
        full, empty = self.battery
        spent = 0.0 if full <= level else (full - level) / (full - empty)
        return round(spent * len(self.record))

    def _packet(self, sequence: int, first: int, begin: int, samples: int, sent_at: float) -> SamplePacket:
        record = self.record
        return SamplePacket(
            version=WIRE_VERSION,
            strap=self.strap,
            boot=self.boot,
            sequence=sequence,
            first_sample=first,
            rate_hz=record.rate_hz,
            microvolts_per_count=record.microvolts_per_count,
            lead=record.lead[:_MAX_LEAD_LENGTH],
            lead_off=not np.isfinite(record.millivolts[begin]),
            sent_at=sent_at,
            samples=record.counts[begin : begin + samples].astype("<i2").tobytes(),
        )

    def _truth(self, first: int, begin: int, samples: int) -> TruthMessage | None:
        if self.record.truth is None:
            return None
        here = self.record.truth.between(begin, begin + samples)
        return TruthMessage(
            version=WIRE_VERSION,
            boot=self.boot,
            first_sample=first,
            end_sample=first + samples,
            r_samples=(here.r_samples - begin + first).tolist(),
            classes=here.class_names,
            scored=len(here.unscored) == 0,
        )


def _cuts(record: Record) -> IntArray:
    """Return the samples of the record at which a packet must end, rising; the last is its length."""
    valid = record.valid
    changes = np.flatnonzero(valid[1:] != valid[:-1]) + 1
    unscored = record.truth.unscored.ravel() if record.truth is not None else np.empty(0, np.int64)
    cuts: IntArray = np.unique(np.concatenate([changes, unscored, [len(record)]]).astype(np.int64))
    return cuts
