"""What a bank's machines are given and what they give back: plain arrays, sorted by row and by when it was known.

Each machine is one compiled loop over the items of each row. Kinds, settings and margins are handed to it or stand in
its own file, because compiled code is cached by file.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    UNSURE_LABEL,
    Beats,
    BoolArray,
    EpisodeTransition,
    FloatArray,
    IntArray,
    Peaks,
    RhythmKind,
)
from monitor.rhythm.usual_beats import has_qrs
from monitor.rhythm.ventricular_odds import NAMED_FROM

VERDICT, BLOCKED, PEAK, BEAT = 0, 1, 2, 3
"""Sorts of items, in the order in which they are taken where they became known with the same sample.

Compiled code that is cached on disk has these numbers in it and is not compiled anew when they change here: add, never
renumber.
"""

TRANSITIONS: Final[tuple[EpisodeTransition, ...]] = ("onset", "update", "end")
ONSET, UPDATE, END = 0, 1, 2
NEVER: Final = int(np.iinfo(np.int64).max)

DoubleArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Where the signal itself begins or ceases to be something: to look like ventricular fibrillation, to be blocked.

    Attributes
    ----------
    rows, known_sample, onset_sample : ndarray of int64, shape ``[verdicts]``
        Row, the last sample needed to know it, and where the episode began or ended.
    begins : ndarray of bool, shape ``[verdicts]``
        Whether it begins.
    rate_bpm : ndarray of float64, shape ``[verdicts]``
        Waves a minute, NaN where there are none.
    """

    rows: IntArray
    known_sample: IntArray
    onset_sample: IntArray
    begins: NDArray[np.bool_]
    rate_bpm: DoubleArray

    @classmethod
    def empty(cls) -> "Verdicts":
        """Return none."""
        none = np.empty(0, np.int64)
        return cls(none, none, none, np.empty(0, np.bool_), np.empty(0))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Items:
    """All that became known, row by row and in order.

    Attributes
    ----------
    rows, ends : ndarray of int64, shape ``[rows]``
        Rows that moved on, and the first sample of each that is not known yet.
    first : ndarray of int64, shape ``[rows + 1]``
        Items of the row in place ``k`` are ``first[k]`` up to ``first[k + 1]``.
    sort, known, r_sample, label, beat : ndarray of int64, shape ``[items]``
        `VERDICT`, `BLOCKED`, `PEAK` or `BEAT`; when it was known; the R peak or where a verdict begins; index in
        `monitor.contract.LABELS` or whether a verdict begins; index in the beats it was made of. A beat that was called
        V or F with too little for it has no name here.
    quality : ndarray of float64, shape ``[items]``
        0 to 1.
    probabilities : ndarray of float32, shape ``[items, 5]``
        Of a beat's classes.
    odds : ndarray of float64, shape ``[items]``
        Log odds that a beat is ventricular, see `monitor.rhythm.ventricular_odds`.
    is_qrs : ndarray of bool, shape ``[items]``
        Whether a beat has a QRS complex, see `monitor.rhythm.usual_beats.has_qrs`.
    """

    rows: IntArray
    ends: IntArray
    first: IntArray
    sort: IntArray
    known: IntArray
    r_sample: IntArray
    label: IntArray
    beat: IntArray
    quality: DoubleArray
    probabilities: FloatArray
    odds: DoubleArray
    is_qrs: BoolArray

    def __len__(self) -> int:
        """Return how many items there are."""
        return len(self.sort)


_VENTRICULAR: Final = tuple(AAMI_CLASSES.index(name) for name in "VF")


def gather(
    rows: IntArray,
    ends: IntArray,
    peaks: Peaks,
    beats: Beats,
    odds: DoubleArray,
    verdicts: Verdicts,
    blocked: Verdicts,
) -> Items:
    """Put peaks, beats and verdicts in the order in which they became known, row by row.

    Raises
    ------
    ValueError
        If one of them is of a row that is not among `rows`.
    """
    n_peaks, n_beats, n_verdicts = len(peaks), len(beats), len(verdicts) + len(blocked)
    of_row = np.concatenate([verdicts.rows, blocked.rows, peaks.rows, beats.rows])
    place = np.full(int(max(rows.max(initial=0), of_row.max(initial=0))) + 1, -1, np.int64)
    place[rows] = np.arange(len(rows))
    at = place[of_row]
    if (at < 0).any():
        raise ValueError(f"rows {np.unique(of_row[at < 0])} have news but are not among {rows}")
    sort = np.repeat(
        np.array([VERDICT, BLOCKED, PEAK, BEAT]), [len(verdicts), len(blocked), n_peaks, n_beats]
    )
    known = np.concatenate(
        [verdicts.known_sample, blocked.known_sample, peaks.known_sample, beats.known_sample]
    )
    order = np.lexsort((sort, known, at))
    in_doubt = np.isin(beats.label, _VENTRICULAR) & (odds < NAMED_FROM)
    label = np.where(in_doubt, UNSURE_LABEL, beats.label)
    no_class = np.zeros((n_verdicts + n_peaks, beats.probabilities.shape[1]), np.float32)
    return Items(
        rows=rows,
        ends=ends,
        first=np.searchsorted(at[order], np.arange(len(rows) + 1)),
        sort=sort[order],
        known=known[order],
        r_sample=np.concatenate(
            [verdicts.onset_sample, blocked.onset_sample, peaks.r_sample, beats.r_sample]
        )[order],
        label=np.concatenate([verdicts.begins, blocked.begins, np.zeros(n_peaks), label]).astype(np.int64)[
            order
        ],
        beat=(np.arange(len(of_row)) - n_verdicts - n_peaks)[order],
        quality=np.concatenate([verdicts.rate_bpm, blocked.rate_bpm, peaks.quality, beats.quality])[order],
        probabilities=np.concatenate([no_class, beats.probabilities])[order],
        odds=np.concatenate([np.zeros(n_verdicts + n_peaks), odds])[order],
        is_qrs=np.concatenate([np.ones(n_verdicts + n_peaks, np.bool_), has_qrs(beats)])[order],
    )


_COLUMNS: Final = 7
"""Row, kind (index in the machine's own kinds), transition, onset, known, until, how many beats are evidence."""


@dataclass(frozen=True, slots=True)
class Found:
    """Events that one machine found.

    Attributes
    ----------
    kinds : tuple of str
        What the second column counts.
    events : ndarray of int64, shape ``[events, 7]``
        Row, kind, transition, onset, known, until, how many beats are evidence.
    rate_bpm : ndarray of float64, shape ``[events]``
        Heart rate, NaN where there is none.
    """

    kinds: tuple[RhythmKind, ...]
    events: IntArray
    rate_bpm: DoubleArray


def room_for(rows: int, items: int) -> tuple[IntArray, DoubleArray]:
    """Return arrays that hold whatever a machine can find."""
    room = 12 * (items + rows) + 16
    return np.empty((room, _COLUMNS), np.int64), np.empty(room)


@compiled
def emit(
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
    row: int,
    kind: int,
    transition: int,
    onset: int,
    known: int,
    until: int,
    evidence: int,
    rate: float,
) -> int:
    """Write an event down and return how many there are."""
    events[n, 0] = row
    events[n, 1] = kind
    events[n, 2] = transition
    events[n, 3] = onset
    events[n, 4] = known
    events[n, 5] = until
    events[n, 6] = evidence
    rates[n] = rate
    return n + 1
