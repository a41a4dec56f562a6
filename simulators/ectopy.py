"""What interrupts a sinus rhythm: premature beats, bigeminy, ventricular runs and pauses, placed by time."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES
from monitor.errors import UsageError

EctopicClass = Literal["S", "V"]


class Rhythm(NamedTuple):
    """Beats in time.

    Attributes
    ----------
    r_s : ndarray of float64, shape ``[beats]``
        R peaks in seconds, rising.
    classes : ndarray of int8, shape ``[beats]``
        Index in `monitor.contract.AAMI_CLASSES`.
    cycle_s : ndarray of float64, shape ``[beats]``
        The sinus node's own cycle at that time, in seconds.
    """

    r_s: NDArray[np.float64]
    classes: NDArray[np.int8]
    cycle_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrematureBeat:
    """One premature beat instead of the first sinus beat at or after a time.

    Attributes
    ----------
    at_s : float
        That time.
    kind : {'V', 'S'}
        Its class. After a V the sinus node goes on undisturbed: the pause is fully compensatory. An S resets it: the
        next beat follows 1.2 cycles later, and all later ones move with it.
    coupling : float
        Its distance from the beat before, as a share of the RR interval it cuts short.
    """

    at_s: float
    kind: EctopicClass = "V"
    coupling: float = 0.6

    @property
    def may_advance_s(self) -> float:
        """By how many seconds at most later beats come earlier."""
        return 3.0 if self.kind == "S" else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bigeminy:
    """A V instead of every second sinus beat, beginning at or after a time.

    Attributes
    ----------
    at_s : float
        That time.
    cycles : int
        How many V.
    coupling : float
        As in `PrematureBeat`.
    """

    at_s: float
    cycles: int = 5
    coupling: float = 0.6

    @property
    def may_advance_s(self) -> float:
        """By how many seconds at most later beats come earlier."""
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VentricularRun:
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
    """

    at_s: float
    beats: int = 3
    rate_bpm: float = 160.0
    coupling: float = 0.6

    @property
    def may_advance_s(self) -> float:
        """By how many seconds at most later beats come earlier."""
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
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
    def may_advance_s(self) -> float:
        """By how many seconds at most later beats come earlier."""
        return 0.0


Ectopy: TypeAlias = PrematureBeat | Bigeminy | VentricularRun | Pause

_N = AAMI_CLASSES.index("N")
_V = AAMI_CLASSES.index("V")
_MIN_COUPLING, _MAX_COUPLING = 0.3, 0.95
# A sinus beat after a run or a premature S comes a little late, as in the living heart.
_RETURN_CYCLES = 1.2


def place(events: tuple[Ectopy, ...], sinus: Rhythm) -> Rhythm:
    """Return a rhythm in which `events` interrupt the sinus rhythm.

    Parameters
    ----------
    events : tuple of Ectopy
        In any order; their times are those of the resulting rhythm.
    sinus : Rhythm
        Sinus beats only.

    Raises
    ------
    UsageError
        If an event lies before the second beat or after the last, overlaps another, or has a value out of range.
    """
    rhythm = sinus
    free_from = 1
    for event in sorted(events, key=lambda event: event.at_s):
        _check(event)
        k = int(np.searchsorted(rhythm.r_s, event.at_s))
        if k < free_from:
            raise UsageError(f"{event}: begins before the rhythm is free for it; move it or the event before")
        # A bigeminy needs its beats and one after; the others need fewer.
        needed = 2 * event.cycles if isinstance(event, Bigeminy) else 1
        if k + needed >= len(rhythm.r_s):
            raise UsageError(f"{event}: lies after the last beats of the rhythm")
        match event:
            case PrematureBeat():
                rhythm, end = _premature(rhythm, k, event), k + 1
            case Bigeminy():
                rhythm, end = _bigeminy(rhythm, k, event), k + 2 * event.cycles - 1
            case VentricularRun():
                rhythm, end = _run(rhythm, k, event), k + event.beats
            case Pause():
                rhythm, end = _pause(rhythm, k, event), k
        # One sinus beat at least between two events.
        free_from = end + 1
    return rhythm


def _check(event: Ectopy) -> None:
    if not isinstance(event, Pause) and not _MIN_COUPLING <= event.coupling <= _MAX_COUPLING:
        raise UsageError(f"coupling {event.coupling:g}: use {_MIN_COUPLING:g} to {_MAX_COUPLING:g}")
    if isinstance(event, VentricularRun) and not (event.beats >= 2 and 40.0 <= event.rate_bpm <= 300.0):
        raise UsageError(f"{event}: use 2 beats or more at 40 to 300 a minute")
    if isinstance(event, Bigeminy) and event.cycles < 1:
        raise UsageError(f"{event}: use 1 cycle or more")
    if isinstance(event, Pause) and not 0.3 <= event.length_s <= 60.0:
        raise UsageError(f"{event}: use a length of 0.3 to 60 s")


def _premature(rhythm: Rhythm, k: int, event: PrematureBeat) -> Rhythm:
    r_s, classes = rhythm.r_s.copy(), rhythm.classes.copy()
    r_s[k] = r_s[k - 1] + event.coupling * (r_s[k] - r_s[k - 1])
    classes[k] = AAMI_CLASSES.index(event.kind)
    if event.kind == "S":
        r_s[k + 1 :] += r_s[k] + _RETURN_CYCLES * rhythm.cycle_s[k] - r_s[k + 1]
    return rhythm._replace(r_s=r_s, classes=classes)


def _bigeminy(rhythm: Rhythm, k: int, event: Bigeminy) -> Rhythm:
    r_s, classes = rhythm.r_s.copy(), rhythm.classes.copy()
    ectopic = np.arange(k, k + 2 * event.cycles, 2)
    r_s[ectopic] = r_s[ectopic - 1] + event.coupling * (r_s[ectopic] - r_s[ectopic - 1])
    classes[ectopic] = _V
    return rhythm._replace(r_s=r_s, classes=classes)


def _run(rhythm: Rhythm, k: int, event: VentricularRun) -> Rhythm:
    cycle_s = rhythm.cycle_s[k]
    first_s = rhythm.r_s[k - 1] + event.coupling * (rhythm.r_s[k] - rhythm.r_s[k - 1])
    run_s = first_s + np.arange(event.beats) * (60.0 / event.rate_bpm)
    later_s = rhythm.r_s[k:] + (run_s[-1] + _RETURN_CYCLES * cycle_s - rhythm.r_s[k])
    return Rhythm(
        r_s=np.concatenate([rhythm.r_s[:k], run_s, later_s]),
        classes=np.concatenate([rhythm.classes[:k], np.full(event.beats, _V, np.int8), rhythm.classes[k:]]),
        cycle_s=np.concatenate([rhythm.cycle_s[:k], np.full(event.beats, cycle_s), rhythm.cycle_s[k:]]),
    )


def _pause(rhythm: Rhythm, k: int, event: Pause) -> Rhythm:
    r_s = rhythm.r_s.copy()
    r_s[k:] += r_s[k - 1] + event.length_s - r_s[k]
    return rhythm._replace(r_s=r_s)
