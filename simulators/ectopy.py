"""Beats that interrupt a sinus rhythm: premature beats, bigeminy, runs, pauses, blocked beats, placed by time."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError
from simulators.athlete_hearts import Beat
from simulators.rhythm_track import RETURN_CYCLES, RhythmTrack

EctopicClass = Literal["S", "V", "F"]
Focus = Literal[0, 1]

TACHYCARDIA_BPM: Final = 100.0
"""From this rate on three V in a row are a ventricular tachycardia, below it an idioventricular rhythm."""

_Times: TypeAlias = NDArray[np.floating[Any]]
_MIN_COUPLING, _MAX_COUPLING = 0.3, 0.95
_KINDS: Final = {"S": Beat.ATRIAL, "V": Beat.VENTRICULAR, "F": Beat.FUSION}
_FOCI: Final = (Beat.VENTRICULAR, Beat.OTHER_VENTRICULAR)
# A Wenckebach period: the PR interval grows, each time by less.
_LONGEST_DELAY_S, _DELAY_REST = 0.16, 0.5
_TWIST_BEATS = 10.0
_CONDUCTED_AGAIN_S = 0.35
_LONG_RUN = 8
_QT_CYCLES_SHORT, _QT_CYCLES_LONG = 3.0, 1.2


class _Transient:
    """An event of single beats: a sinus beat at least stands between two of them."""

    __slots__ = ()

    @property
    def is_sustained(self) -> bool:
        """It begins with the first beat at or after its time."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrematureBeat(_Transient):
    """One premature beat instead of the first sinus beat at or after a time.

    Attributes
    ----------
    at_s : float
        That time.
    kind : {'V', 'S', 'F'}
        Its class. After a V (and a fusion beat) the sinus node goes on undisturbed: the pause is fully compensatory. An
        S resets it.
    coupling : float
        Its distance from the beat before, as a share of the RR interval it cuts short; never less than 0.27 s.
    focus : int
        Of a V: from which of two foci it comes.
    interpolated : bool
        Of a V: it falls between two sinus beats and replaces none, unless the second would find the ventricles
        refractory.
    aberrant : bool
        Of an S: one bundle branch does not conduct it yet, so that its QRS complex is wide.
    return_cycles : float
        Of an S: how many cycles of the sinus node later the next beat follows.
    """

    at_s: float
    kind: EctopicClass = "V"
    coupling: float = 0.6
    focus: Focus = 0
    interpolated: bool = False
    aberrant: bool = False
    return_cycles: float = RETURN_CYCLES

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 5.0

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _check_coupling(self.coupling)
        if self.interpolated and (self.kind != "V" or self.coupling > 0.6):
            raise UsageError(f"{self}: only a V with a coupling of 0.6 at most can be interpolated")
        if self.aberrant and self.kind != "S":
            raise UsageError(f"{self}: only an S can be conducted aberrantly")
        if not 0.8 <= self.return_cycles <= 2.0:
            raise UsageError(f"{self}: use return_cycles of 0.8 to 2")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        due_s = track.next_s
        at_s = track.premature_s(self.coupling)
        track.beats(np.array([at_s]), self._beat)
        if self.kind == "S":
            track.reset(at_s + self.return_cycles * track.cycle_s(due_s))
        elif not self.interpolated or due_s - at_s < _CONDUCTED_AGAIN_S:
            track.skip(1)

    @property
    def _beat(self) -> Beat:
        if self.kind == "V":
            return _FOCI[self.focus]
        return Beat.ABERRANT if self.aberrant else _KINDS[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bigeminy(_Transient):
    """A V instead of every second sinus beat, beginning at or after a time; or of every third: trigeminy.

    Attributes
    ----------
    at_s : float
        That time.
    cycles : int
        How many V.
    coupling : float
        As in `PrematureBeat`.
    every : int
        2 for bigeminy, 3 for trigeminy.
    """

    at_s: float
    cycles: int = 5
    coupling: float = 0.6
    every: int = 2

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 5.0 + self.cycles * self.every * 1.6

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _check_coupling(self.coupling)
        if self.cycles < 1:
            raise UsageError(f"{self}: use 1 cycle or more")
        if self.every not in {2, 3}:
            raise UsageError(f"{self}: use every 2 or 3 beats")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        began_s = track.premature_s(self.coupling)
        for cycle in range(self.cycles):
            track.beats(np.array([track.premature_s(self.coupling)]), Beat.VENTRICULAR)
            track.skip(1)
            if cycle + 1 < self.cycles:
                track.sinus(self.every - 1)
        if self.cycles >= 3:
            track.change(began_s, "B" if self.every == 2 else "T")
            track.change(track.next_s, track.home)
        track.sinus_beats_since = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VentricularRun(_Transient):
    """Consecutive V beats before the first sinus beat at or after a time, which then comes after a pause.

    Attributes
    ----------
    at_s : float
        That time.
    beats : int
        How many; two are a couplet.
    rate_bpm : float
        Their rate.
    coupling : float
        Distance of the first from the sinus beat before, as a share of the RR interval it cuts short.
    focus : int
        From which of two foci they come.
    polymorphic : bool
        Whether their axis turns from beat to beat, as in torsades de pointes.
    """

    at_s: float
    beats: int = 3
    rate_bpm: float = 160.0
    coupling: float = 0.6
    focus: Focus = 0
    polymorphic: bool = False

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 5.0 + self.beats * 60.0 / self.rate_bpm

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _check_coupling(self.coupling)
        if not (self.beats >= 2 and 40.0 <= self.rate_bpm <= 300.0):
            raise UsageError(f"{self}: use 2 beats or more at 40 to 300 a minute")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        first_s = track.premature_s(self.coupling)
        run_s = first_s + np.arange(self.beats) * (60.0 / self.rate_bpm)
        ventricular_beats(track, run_s, rate_bpm=self.rate_bpm, focus=self.focus, twisting=self.polymorphic)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupraventricularRun(_Transient):
    """Consecutive S beats before the first sinus beat at or after a time, which then comes after a pause.

    Attributes
    ----------
    at_s : float
        That time.
    beats : int
        How many.
    rate_bpm : float
        Their rate.
    coupling : float
        As in `VentricularRun`.
    """

    at_s: float
    beats: int = 4
    rate_bpm: float = 170.0
    coupling: float = 0.65

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 5.0 + self.beats * 60.0 / self.rate_bpm

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        _check_coupling(self.coupling)
        if not (self.beats >= 2 and 60.0 <= self.rate_bpm <= 260.0):
            raise UsageError(f"{self}: use 2 beats or more at 60 to 260 a minute")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        due_s = track.next_s
        cycle_s = 60.0 / self.rate_bpm
        run_s = track.premature_s(self.coupling) + np.arange(self.beats) * cycle_s
        track.beats(run_s, Beat.ATRIAL, cycle_s=1.3 * cycle_s)
        if self.beats >= 3:
            track.change(float(run_s[0]), "SVTA")
            track.change(float(run_s[-1]) + cycle_s, track.home)
        track.reset(float(run_s[-1]) + max(RETURN_CYCLES * track.cycle_s(due_s), cycle_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(_Transient):
    """No beat for a while before the first sinus beat at or after a time.

    Attributes
    ----------
    at_s : float
        That time.
    length_s : float
        Distance between the beats on its two sides.
    """

    at_s: float
    length_s: float = 3.0

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 4.0 + self.length_s

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        if not 0.3 <= self.length_s <= 60.0:
            raise UsageError(f"{self}: use a length of 0.3 to 60 s")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        track.reset(track.previous_s + self.length_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wenckebach(_Transient):
    """A period of second degree block, Mobitz I: the PR interval grows until a P wave is not conducted.

    Attributes
    ----------
    at_s : float
        It begins with the first sinus beat at or after this time.
    conducted : int
        Beats before the one that is missing.
    """

    at_s: float
    conducted: int = 4

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""
        return 5.0 + 1.7 * (self.conducted + 2)

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""
        if not 2 <= self.conducted <= 10:
            raise UsageError(f"{self}: use 2 to 10 conducted beats")

    def play(self, track: RhythmTrack) -> None:
        """Lay itself down."""
        turns = track.next_turn + np.arange(self.conducted + 1)
        times = track.node.time_of(turns)
        delay_s = _LONGEST_DELAY_S * (1.0 - _DELAY_REST ** np.arange(self.conducted))
        track.beats(times[:-1] + delay_s, Beat.SINUS, delay_s=delay_s)
        track.lone_p(times[-1:])
        track.skip(self.conducted + 1)
        track.change(float(times[0]), "BII")
        track.change(track.next_s, track.home)


Ectopy: TypeAlias = PrematureBeat | Bigeminy | VentricularRun | SupraventricularRun | Pause | Wenckebach


def ventricular_beats(
    track: RhythmTrack,
    run_s: _Times,
    *,
    rate_bpm: float,
    focus: Focus,
    twisting: bool,
    end_s: float | None = None,
) -> None:
    """Lay down V beats in a row, name the rhythm from three on, and let the sinus node return late.

    Parameters
    ----------
    track : RhythmTrack
        Where.
    run_s : ndarray of float64, shape ``[beats]``
        Their R peaks.
    rate_bpm : float
        Their rate.
    focus : int
        From which of two foci they come.
    twisting : bool
        Whether their axis turns, as in torsades de pointes.
    end_s : float, optional
        When the rhythm ends; without it, when the next V would have come.
    """
    due_s = track.next_s
    cycle_s = 60.0 / rate_bpm
    scale = None
    if twisting:
        axis = np.cos(2.0 * np.pi * np.arange(len(run_s)) / _TWIST_BEATS + track.random.uniform(0.0, 2.0))
        scale = np.where(axis >= 0.0, 1.0, -1.0) * (0.45 + 0.75 * np.abs(axis))
    # A few beats do not shorten the QT interval as many do.
    obeyed_s = cycle_s * (_QT_CYCLES_LONG if len(run_s) > _LONG_RUN else _QT_CYCLES_SHORT)
    track.beats(run_s, _FOCI[focus], cycle_s=obeyed_s, scale=scale)
    if len(run_s) >= 3:
        track.change(float(run_s[0]), "VT" if rate_bpm >= TACHYCARDIA_BPM else "IVR")
        track.change(float(run_s[-1]) + cycle_s if end_s is None else end_s, track.home)
    track.reset(float(run_s[-1]) + max(RETURN_CYCLES * track.cycle_s(due_s), cycle_s))


def _check_coupling(coupling: float) -> None:
    if not _MIN_COUPLING <= coupling <= _MAX_COUPLING:
        raise UsageError(f"coupling {coupling:g}: use {_MIN_COUPLING:g} to {_MAX_COUPLING:g}")
