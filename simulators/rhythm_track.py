"""A rhythm as it is laid down from left to right: sinus beats, and what events put in their place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError
from simulators.athlete_hearts import Beat
from simulators.fibrillation import Oscillation
from simulators.sinus import SinusNode

RETURN_CYCLES: Final = 1.2
"""A sinus beat after a run or a premature S comes a little late, as in the living heart."""
REFRACTORY_S: Final = 0.27
"""No premature beat follows another beat sooner."""

_Array: TypeAlias = NDArray[np.float64]
_Times: TypeAlias = NDArray[np.floating[Any]]


class HeartEvent(Protocol):
    """What interrupts the sinus rhythm."""

    @property
    def at_s(self) -> float:
        """When it begins."""

    @property
    def lasts_s(self) -> float:
        """For how long, about, it keeps the rhythm from being free."""

    @property
    def is_sustained(self) -> bool:
        """Whether it begins at its time exactly, and may follow another such one at once."""

    def check(self) -> None:
        """Raise `UsageError` if a value is out of range."""

    def play(self, track: "RhythmTrack") -> None:
        """Lay itself down."""


class Rhythm(NamedTuple):
    """Beats in time, and what else the heart does.

    Attributes
    ----------
    r_s : ndarray of float64, shape ``[beats]``
        R peaks in seconds, rising.
    kinds : ndarray of int8, shape ``[beats]``
        `simulators.athlete_hearts.Beat` of each.
    cycle_s : ndarray of float64, shape ``[beats]``
        RR interval that the QT interval obeys.
    delay_s : ndarray of float64, shape ``[beats]``
        By how much the PR interval is longer than usual.
    scale : ndarray of float64, shape ``[beats]``
        Factor on the beat's waves, negative where its axis has turned.
    lone_p_s : ndarray of float64, shape ``[waves]``
        Where an R peak would have followed P waves that were not conducted.
    changes : tuple of (float, str)
        When each rhythm begins, and its WFDB name without the bracket.
    fibrillation : tuple of (float, float)
        Ventricular flutter or fibrillation: from when to when.
    oscillations : tuple of Oscillation
        Waves that are no beats.
    """

    r_s: _Array
    kinds: NDArray[np.int8]
    cycle_s: _Array
    delay_s: _Array
    scale: _Array
    lone_p_s: _Array
    changes: tuple[tuple[float, str], ...]
    fibrillation: tuple[tuple[float, float], ...]
    oscillations: tuple[Oscillation, ...]


@dataclass(slots=True, eq=False)
class RhythmTrack:
    """A rhythm up to some moment, and the sinus node that goes on from there.

    Attributes
    ----------
    node : SinusNode
        It turns whatever happens; a beat that resets it only moves the phase in which it is heard.
    home : str
        Name of the rhythm between events.
    random : numpy.random.Generator
        Of what is random in events.
    next_turn : float
        The node's turn at its next beat.
    busy_until_s : float
        End of the last sustained event.
    sinus_beats_since : int
        Sinus beats since the last event.
    """

    node: SinusNode
    home: str
    random: np.random.Generator
    next_turn: float = 0.0
    busy_until_s: float = 0.0
    sinus_beats_since: int = 0
    _beats: list[tuple[_Times, Beat, _Times, _Times, _Times]] = field(default_factory=list)
    _lone_p: list[_Array] = field(default_factory=list)
    _changes: list[tuple[float, str]] = field(default_factory=list)
    _fibrillation: list[tuple[float, float]] = field(default_factory=list)
    _oscillations: list[Oscillation] = field(default_factory=list)

    @property
    def next_s(self) -> float:
        """When the node's next beat is due."""
        return float(self.node.time_of(np.array([self.next_turn]))[0])

    @property
    def previous_s(self) -> float:
        """The last beat's R peak; where there is none, a cycle before the next."""
        return float(self._beats[-1][0][-1]) if self._beats else self.next_s - self.cycle_s(self.next_s)

    def cycle_s(self, time_s: float) -> float:
        """Return the node's mean RR interval at a time."""
        return float(self.node.at(self.node.cycle_s, np.array([time_s]))[0])

    def turns_until(self, time_s: float) -> int:
        """Return how many of the node's beats are due before a time."""
        return max(0, int(np.ceil(self.node.turn_at(time_s) - self.next_turn - 1e-9)))

    def sinus_until(self, time_s: float) -> None:
        """Lay down the node's beats before a time."""
        self.sinus(self.turns_until(time_s))

    def sinus(self, beats: int) -> None:
        """Lay down so many of the node's beats."""
        if beats > 0:
            self.beats(self.node.time_of(self.next_turn + np.arange(beats)), Beat.SINUS)
            self.next_turn += beats
            self.sinus_beats_since += beats

    def beats(
        self,
        r_s: _Times,
        kind: Beat,
        *,
        cycle_s: float = float("inf"),
        delay_s: _Times | None = None,
        scale: _Times | None = None,
    ) -> None:
        """Lay down beats; their QT interval obeys the node's rate, or `cycle_s` if that is shorter."""
        if len(r_s):
            obeyed = np.minimum(self.node.at(self.node.qt_cycle_s, r_s), cycle_s)
            self._beats.append(
                (
                    r_s,
                    kind,
                    obeyed,
                    np.zeros_like(r_s) if delay_s is None else delay_s,
                    np.ones_like(r_s) if scale is None else scale,
                )
            )

    def premature_s(self, coupling: float) -> float:
        """Return when a beat comes that cuts the present RR interval short to a share of it."""
        previous_s, due_s = self.previous_s, self.next_s
        interval_s = due_s - previous_s
        return previous_s + max(coupling * interval_s, min(REFRACTORY_S, 0.95 * interval_s))

    def lone_p(self, r_s: _Array) -> None:
        """Lay down P waves that no QRS complex follows."""
        self._lone_p.append(r_s)

    def skip(self, turns: int) -> None:
        """Let beats of the node go unheard."""
        self.next_turn += turns

    def reset(self, next_s: float) -> None:
        """Let the node's next beat be heard at a time."""
        self.next_turn = self.node.turn_at(next_s)

    def change(self, at_s: float, name: str) -> None:
        """Name the rhythm from a time on, whatever it was to be called by then."""
        while self._changes and self._changes[-1][0] >= at_s:
            self._changes.pop()
        self._changes.append((at_s, name))

    def fibrillate(self, begin_s: float, end_s: float) -> None:
        """Say that the ventricles fibrillate or flutter."""
        self._fibrillation.append((begin_s, end_s))

    def oscillate(self, oscillation: Oscillation) -> None:
        """Lay down waves that are no beats."""
        self._oscillations.append(oscillation)

    def rhythm(self) -> Rhythm:
        """Return all that was laid down."""
        counts = [len(part[0]) for part in self._beats]
        columns = [np.concatenate([part[k] for part in self._beats] or [np.empty(0)]) for k in (0, 2, 3, 4)]
        kinds = np.repeat(np.array([int(part[1]) for part in self._beats], np.int8), counts)
        return Rhythm(
            r_s=columns[0],
            kinds=kinds,
            cycle_s=columns[1],
            delay_s=columns[2],
            scale=columns[3],
            lone_p_s=np.concatenate(self._lone_p) if self._lone_p else np.empty(0),
            changes=((0.0, self.home), *self._changes),
            fibrillation=tuple(self._fibrillation),
            oscillations=tuple(self._oscillations),
        )


def place(
    events: Sequence[HeartEvent],
    node: SinusNode,
    *,
    seconds: float,
    home: str,
    random: np.random.Generator,
) -> Rhythm:
    """Return a rhythm in which `events` interrupt the sinus node.

    Parameters
    ----------
    events : sequence of HeartEvent
        In any order; their times are those of the resulting rhythm.
    node : SinusNode
        It goes on beneath them.
    seconds : float
        Length of the rhythm; a few beats may lie after it.
    home : str
        Name of the rhythm between events.
    random : numpy.random.Generator
        Of what is random in events.

    Raises
    ------
    UsageError
        If an event lies before the second beat or after the last, overlaps another, or has a value out of range.
    """
    track = RhythmTrack(node, home, random, next_turn=node.first_turn)
    for event in sorted(events, key=lambda event: event.at_s):
        event.check()
        if event.at_s > seconds:
            raise UsageError(f"{_called(event)}: the rhythm ends at {seconds:g} s; move it before that")
        track.sinus_until(event.at_s)
        is_free = event.at_s >= track.busy_until_s if event.is_sustained else track.sinus_beats_since > 0
        if not is_free:
            raise UsageError(
                f"{_called(event)}: begins before the rhythm is free for it; move it or the event before"
            )
        track.sinus_beats_since = 0
        event.play(track)
    # What the last beats' neighbours do can still be seen at the end.
    track.sinus_until(seconds + 2.0)
    return track.rhythm()


def _called(event: HeartEvent) -> str:
    words = re.findall("[A-Z][a-z]*", type(event).__name__)
    return f"{' '.join(words).lower()} at {event.at_s:g} s"
