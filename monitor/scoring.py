"""How good the beats are: counts that add up over records, and the fractions that follow from them.

Two questions are kept apart. `QrsCounts` asks whether beats were found, whatever they were called.
`ClassCounts` asks what they were called: a table of reference class against given label, with a column for
beats called "unsure", one for beats not detected, and a row for detections that are no beat. Both are sums
over beats, so records add up to "gross" figures by ``+``. A fraction whose denominator is zero is None, never
0 or NaN.
"""

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from monitor.beat_matching import MATCH_WINDOW_S, Matching, inside, match_beats, window_samples
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, IntArray

LEARNING_S: Final = 300.0
"""EC57's learning period: the first five minutes of a record."""

_CLASSES: Final = len(AAMI_CLASSES)
_UNDETECTED: Final = UNSURE_LABEL + 1
_EXTRA: Final = _CLASSES
_NO_INTERVALS: Final[IntArray] = np.empty((0, 2), np.int64)

_EC57_FORGIVEN: Final = {"S": ("Q",), "V": ("F", "Q")}
"""Reference classes that may be called S or V without being a false S or V."""


@dataclass(frozen=True, slots=True)
class QrsCounts:
    """How many beats were found, invented and missed.

    Attributes
    ----------
    tp, fp, fn : int
        Beats found, detections that are no beat, beats missed.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Self) -> Self:
        """Return the counts of both together."""
        return type(self)(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def se(self) -> float | None:
        """Sensitivity, 0 to 1; None without reference beats."""
        return _fraction(self.tp, self.tp + self.fn)

    @property
    def ppv(self) -> float | None:
        """Positive predictivity, 0 to 1; None without detections."""
        return _fraction(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both, 0 to 1; None without reference beats and detections."""
        return _fraction(2 * self.tp, 2 * self.tp + self.fp + self.fn)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well one class was recognised.

    Attributes
    ----------
    se, ppv : float or None
        Sensitivity and positive predictivity, 0 to 1; None where nothing could be right.
    n : int
        Reference beats of the class, undetected ones included.
    """

    se: float | None
    ppv: float | None
    n: int


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """What the beats were called.

    Attributes
    ----------
    table : ndarray of int64, shape ``[6, 7]``
        Rows: reference N, S, V, F, Q, and detections that are no beat. Columns: called N, S, V, F, Q, called
        "unsure", not detected.
    """

    table: IntArray = field(default_factory=lambda: np.zeros((_CLASSES + 1, _UNDETECTED + 1), np.int64))

    def __add__(self, other: Self) -> Self:
        """Return the counts of both together."""
        return type(self)(self.table + other.table)

    @property
    def confusion(self) -> IntArray:
        """Beats by reference class (row) and given class (column), shape ``[5, 5]``."""
        return self.table[:_CLASSES, :_CLASSES]

    @property
    def unsure(self) -> IntArray:
        """Beats called "unsure", by reference class, shape ``[5]``."""
        return self.table[:_CLASSES, UNSURE_LABEL]

    @property
    def undetected(self) -> IntArray:
        """Beats not detected, by reference class, shape ``[5]``."""
        return self.table[:_CLASSES, _UNDETECTED]

    @property
    def extra(self) -> IntArray:
        """Detections that are no beat, by given class and "unsure", shape ``[6]``."""
        return self.table[_EXTRA, :_UNDETECTED]

    @property
    def n(self) -> IntArray:
        """Reference beats by class, shape ``[5]``."""
        beats: IntArray = self.table[:_CLASSES].sum(axis=1)
        return beats

    @property
    def accuracy(self) -> float | None:
        """Share of all reference beats called by their class; "unsure" and undetected ones are wrong."""
        return _fraction(int(np.trace(self.confusion)), int(self.n.sum()))

    @property
    def baseline(self) -> float | None:
        """Accuracy of calling every beat by the commonest class, had each been detected."""
        return _fraction(int(self.n.max()), int(self.n.sum()))

    def plain(self) -> dict[str, ClassScore]:
        """Score each class by the table as it stands: every beat called by a wrong class is a false one."""
        return {name: self._score(name, ()) for name in AAMI_CLASSES}

    def ec57(self) -> dict[str, ClassScore]:
        """Score ventricular and supraventricular beats by ANSI/AAMI EC57.

        A fusion beat or one of unknown class called V is no false V, and one of unknown class called S is no
        false S. A fusion beat called S is false.
        """
        return {name: self._score(name, forgiven) for name, forgiven in _EC57_FORGIVEN.items()}

    def _score(self, name: str, forgiven: tuple[str, ...]) -> ClassScore:
        own = AAMI_CLASSES.index(name)
        right = int(self.table[own, own])
        called = int(self.table[:, own].sum()) - sum(
            int(self.table[AAMI_CLASSES.index(other), own]) for other in forgiven
        )
        n = int(self.table[own].sum())
        return ClassScore(se=_fraction(right, n), ppv=_fraction(right, called), n=n)


@dataclass(frozen=True, slots=True)
class Score:
    """Both sets of counts over the same beats."""

    qrs: QrsCounts = field(default_factory=QrsCounts)
    classes: ClassCounts = field(default_factory=ClassCounts)

    def __add__(self, other: Self) -> Self:
        """Return the counts of both together."""
        return type(self)(self.qrs + other.qrs, self.classes + other.classes)


def score_beats(
    reference: IntArray,
    reference_class: NDArray[np.int8],
    detections: IntArray,
    label: NDArray[np.int8],
    *,
    rate_hz: float,
    unscored: IntArray = _NO_INTERVALS,
    start_sample: int = 0,
    window_s: float = MATCH_WINDOW_S,
) -> Score:
    """Score detections and their labels against reference beats, by ANSI/AAMI EC57.

    Parameters
    ----------
    reference : ndarray of int64, shape ``[reference]``
        Reference R peaks, in any order.
    reference_class : ndarray of int8, shape ``[reference]``
        Index in `AAMI_CLASSES`; anything else is a beat without a class: it counts as a beat, not in the
        classes.
    detections : ndarray of int64, shape ``[detections]``
        Detected R peaks, in any order.
    label : ndarray of int8, shape ``[detections]``
        Index in `monitor.contract.LABELS`.
    rate_hz : float
        Sampling rate of both.
    unscored : ndarray of int64, shape ``[k, 2]``
        Stretches in which the reference is not to be scored, such as ventricular flutter: first sample, and
        first after.
    start_sample : int
        End of the learning period. A pair counts by its reference beat, a detection without one by itself.
    window_s : float
        Farthest that a detection may lie from its beat.

    Returns
    -------
    Score
        The counts.

    Notes
    -----
    Reference beats in `unscored` are left out, and so are detections there that pair with no beat outside.
    Nothing else is excused: a beat that was not announced is a miss, whatever the signal looked like.
    """
    scored = ~inside(reference, unscored)
    reference, reference_class = reference[scored], reference_class[scored]
    matching = match_beats(reference, detections, window=window_samples(rate_hz, window_s))
    matching = _after(matching, reference, detections, start_sample, unscored)
    return count_beats(matching, reference_class, label)


def count_beats(matching: Matching, reference_class: NDArray[np.int8], label: NDArray[np.int8]) -> Score:
    """Count pairs, misses and extra detections by class.

    Parameters
    ----------
    matching : Matching
        What belongs together.
    reference_class, label : ndarray of int8, shapes ``[reference]`` and ``[detections]``
        As in `score_beats`.
    """
    qrs = QrsCounts(tp=len(matching.reference), fp=len(matching.extra), fn=len(matching.missed))
    rows = np.concatenate(
        [
            reference_class[matching.reference],
            reference_class[matching.missed],
            np.full(len(matching.extra), _EXTRA),
        ]
    ).astype(np.int64)
    columns = np.concatenate(
        [label[matching.detection], np.full(len(matching.missed), _UNDETECTED), label[matching.extra]]
    ).astype(np.int64)
    # A reference beat without a class must not pass for the row of extra detections.
    of_class = (rows >= 0) & (rows < _CLASSES)
    of_class[len(matching.reference) + len(matching.missed) :] = True
    classes = ClassCounts()
    np.add.at(classes.table, (rows[of_class], columns[of_class]), 1)
    return Score(qrs=qrs, classes=classes)


def _after(
    matching: Matching, reference: IntArray, detections: IntArray, start_sample: int, unscored: IntArray
) -> Matching:
    paired = reference[matching.reference] >= start_sample
    extra = detections[matching.extra]
    return Matching(
        reference=matching.reference[paired],
        detection=matching.detection[paired],
        missed=matching.missed[reference[matching.missed] >= start_sample],
        extra=matching.extra[(extra >= start_sample) & ~inside(extra, unscored)],
    )


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None
