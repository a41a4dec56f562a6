"""Rhythms that take over from the sinus node for seconds to hours, placed by time.

They begin and end when they are told to, and one may begin where another ends: a ventricular tachycardia that
becomes fibrillation and then asystole is three of them.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError
from simulators.athlete_hearts import Beat
from simulators.ectopy import Ectopy, Focus, ventricular_beats
from simulators.fibrillation import (
    atrial_fibrillation,
    atrial_flutter,
    ventricular_fibrillation,
    ventricular_flutter,
)
from simulators.rhythm_track import RETURN_CYCLES, RhythmTrack

_LONGEST_S: Final = 24 * 3600.0
# Intervals in fibrillation: the AV node's refractory period, and a wait of which nothing is known but its mean.
_REFRACTORY_SHARE: Final = 0.55
_SHORTEST_S: Final = 0.2
_AFTER_SHOCK_S: Final = 1.0


class _Sustained:
    """An event with a length of its own."""

    __slots__ = ()

    at_s: float
    length_s: float

    @property
    def is_sustained(self) -> bool:
        """It begins at its time exactly, and may follow another such one at once."""
        return True

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 3.0 + self.length_s

    @property
    def end_s(self) -> float:
        """When it ends."""
        return self.at_s + self.length_s

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        if not (self.at_s >= 0.0 and 1.0 <= self.length_s <= _LONGEST_S):
            raise UsageError(f"{self}: use a time of 0 or later and a length of 1 to {_LONGEST_S:g} s")

    def _named(self, track: RhythmTrack, name: str) -> None:
        track.change(self.at_s, name)
        track.change(self.end_s, track.home)
        track.busy_until_s = self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class AtrialFibrillation(_Sustained):
    """Fibrillating atria: no P waves, f waves, RR intervals without order that follow effort all the same.

    Attributes
    ----------
    at_s, length_s : float
        When, and for how long.
    rate_factor : float
        Mean rate over that which the sinus node has at the time.
    irregularity : float
        Standard deviation of the RR interval as a share of it.
    f_wave_mv, f_wave_hz : float
        Amplitude and frequency of the f waves.
    ventricular_share : float
        Share of the beats that are V, at random.
    """

    at_s: float
    length_s: float = 60.0
    rate_factor: float = 1.15
    irregularity: float = 0.25
    f_wave_mv: float = 0.05
    f_wave_hz: float = 6.3
    ventricular_share: float = 0.0

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _Sustained.check(self)
        if not (0.5 <= self.rate_factor <= 2.0 and 0.05 <= self.irregularity <= 0.35):
            raise UsageError(f"{self}: use a rate_factor of 0.5 to 2 and an irregularity of 0.05 to 0.35")
        if not (0.0 <= self.f_wave_mv <= 0.3 and 4.0 <= self.f_wave_hz <= 9.0):
            raise UsageError(f"{self}: use f waves of 0 to 0.3 mV at 4 to 9 Hz")
        if not 0.0 <= self.ventricular_share <= 0.5:
            raise UsageError(f"{self}: use a ventricular_share of 0 to 0.5")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        wait = 1.0 - _REFRACTORY_SHARE
        shape = (wait / self.irregularity) ** 2
        most = int(1.6 * self.rate_factor * max(track.node.turn_at(self.end_s) - track.next_turn, 0.0)) + 20
        intervals = _REFRACTORY_SHARE + track.random.gamma(shape, wait / shape, most)
        turns = track.next_turn + np.concatenate([[0.0], np.cumsum(intervals / self.rate_factor)])
        waited_s = np.maximum(np.diff(track.node.time_of(turns)), _SHORTEST_S)
        times = track.next_s + np.concatenate([[0.0], np.cumsum(waited_s)])
        times = times[times < self.end_s]
        self._beats(track, times)
        track.oscillate(
            atrial_fibrillation(
                self.at_s, self.end_s, hz=self.f_wave_hz, millivolts=self.f_wave_mv, random=track.random
            )
        )
        self._named(track, "AFIB")
        track.reset(max(self.end_s, track.previous_s + RETURN_CYCLES * track.cycle_s(self.end_s)))

    def _beats(self, track: RhythmTrack, times: NDArray[np.floating[Any]]) -> None:
        ventricular = track.random.uniform(size=len(times)) < self.ventricular_share
        borders = np.flatnonzero(ventricular[1:] != ventricular[:-1]) + 1
        for part in np.split(np.arange(len(times)), borders):
            if len(part):
                track.beats(times[part], Beat.VENTRICULAR if ventricular[part[0]] else Beat.CONDUCTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtrialFlutter(_Sustained):
    """Fluttering atria, of whose waves every second, third or fourth is conducted.

    Attributes
    ----------
    at_s, length_s : float
        When, and for how long.
    flutter_hz, flutter_mv : float
        Frequency and amplitude of the flutter waves.
    conduction : int
        So many waves to a beat.
    """

    at_s: float
    length_s: float = 60.0
    flutter_hz: float = 5.0
    flutter_mv: float = 0.12
    conduction: int = 2

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _Sustained.check(self)
        if not (3.5 <= self.flutter_hz <= 6.0 and self.conduction in {1, 2, 3, 4}):
            raise UsageError(f"{self}: use flutter of 3.5 to 6 Hz and a conduction of 1 to 4")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        interval_s = self.conduction / self.flutter_hz
        first_s = max(self.at_s, track.previous_s + interval_s)
        # A beat lies at the same place of a flutter wave every time.
        first_s = self.at_s + np.ceil((first_s - self.at_s) * self.flutter_hz) / self.flutter_hz
        times = np.arange(first_s, self.end_s, interval_s)
        track.beats(times, Beat.CONDUCTED, cycle_s=1.2 * interval_s)
        track.oscillate(atrial_flutter(self.at_s, self.end_s, hz=self.flutter_hz, millivolts=self.flutter_mv))
        self._named(track, "AFL")
        track.reset(max(self.end_s, track.previous_s + RETURN_CYCLES * track.cycle_s(self.end_s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VentricularTachycardia(_Sustained):
    """V beats in a row for a while.

    Attributes
    ----------
    at_s, length_s : float
        When, and for how long.
    rate_bpm : float
        Their rate.
    focus : int
        From which of two foci they come.
    polymorphic : bool
        Whether their axis turns from beat to beat, as in torsades de pointes.
    """

    at_s: float
    length_s: float = 40.0
    rate_bpm: float = 180.0
    focus: Focus = 0
    polymorphic: bool = False

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _Sustained.check(self)
        if not 60.0 <= self.rate_bpm <= 280.0:
            raise UsageError(f"{self}: use a rate of 60 to 280 a minute")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        cycle_s = 60.0 / self.rate_bpm
        first_s = max(self.at_s, track.premature_s(0.6))
        run_s = np.arange(first_s, self.end_s, cycle_s)
        run_s += 0.01 * cycle_s * np.clip(track.random.standard_normal(len(run_s)), -3.0, 3.0)
        ventricular_beats(track, run_s, rate_bpm=self.rate_bpm, focus=self.focus, twisting=self.polymorphic)
        track.busy_until_s = self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class VentricularFibrillation(_Sustained):
    """Fibrillating or fluttering ventricles: no beats.

    Attributes
    ----------
    at_s, length_s : float
        When, and for how long.
    hz, millivolts : float
        Frequency and amplitude of the waves.
    flutter : bool
        Regular waves, like a sine, instead of disorder.
    """

    at_s: float
    length_s: float = 20.0
    hz: float = 5.0
    millivolts: float = 0.5
    flutter: bool = False

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _Sustained.check(self)
        if not (2.5 <= self.hz <= 9.0 and 0.02 <= self.millivolts <= 3.0):
            raise UsageError(f"{self}: use waves of 0.02 to 3 mV at 2.5 to 9 Hz")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        waves = ventricular_flutter if self.flutter else ventricular_fibrillation
        track.oscillate(
            waves(self.at_s, self.end_s, hz=self.hz, millivolts=self.millivolts, random=track.random)
        )
        track.fibrillate(self.at_s, self.end_s)
        self._named(track, "VFL" if self.flutter else "VF")
        track.reset(self.end_s + _AFTER_SHOCK_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asystole(_Sustained):
    """No beat: from its time to its end nothing but measurement noise and the baseline, or P waves.

    Attributes
    ----------
    at_s, length_s : float
        When, and for how long; the last beat lies before, the next follows at the end.
    p_waves : bool
        Whether the atria go on: ventricular standstill.
    """

    at_s: float
    length_s: float = 10.0
    p_waves: bool = False

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        # The P wave of a beat that is due just after the beginning would lie before it.
        if self.p_waves:
            turns = track.next_turn + np.arange(track.turns_until(self.end_s))
            times = track.node.time_of(turns)
            track.lone_p(times[times < self.end_s - 0.3])
        self._named(track, "ASYS")
        track.reset(self.end_s)


Arrhythmia: TypeAlias = (
    AtrialFibrillation | AtrialFlutter | VentricularTachycardia | VentricularFibrillation | Asystole
)
AnyEvent: TypeAlias = Ectopy | Arrhythmia
