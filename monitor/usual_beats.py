"""Beats of which the classifier need not be asked when there is too much to do: the athlete's own usual ones.

A beat is usual if it has the shape of the athlete's usual beat and comes in time, and if the classifier, when last
asked about such a beat of this athlete, was sure that it is normal. It takes over that answer. Of every ten in a row
one is asked about all the same, so that an answer never stands long. A beat of any other shape, early, late or of poor
signal always goes to the classifier: what raises an alarm is never left out.
"""

from typing import Final

import numpy as np

from monitor.contract import AAMI_CLASSES, CONTEXT_FIELDS, Beats, BoolArray, IntArray
from monitor.rows import Rows

ASKED_EVERY: Final = 10
_SURE: Final = 0.9
_QUALITY: Final = 0.5
_CORRELATION: Final = 0.95
_SIZE: Final = (0.8, 1.25)
_IN_TIME: Final = (0.85, 1.2)
_N: Final = AAMI_CLASSES.index("N")
_LIKE, _SIZE_FIELD, _BEFORE, _SHARE = (
    CONTEXT_FIELDS.index(name)
    for name in ("qrs_correlation", "qrs_size_ratio", "rr_before_usual_ratio", "shape_share")
)
_OWN_SHARE: Final = 0.5


class UsualBeats:
    """What the classifier last said of each athlete's usual beat.

    Parameters
    ----------
    capacity : int
        Rows to begin with.
    """

    def __init__(self, *, capacity: int) -> None:
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("answer", np.float32, (len(AAMI_CLASSES),))
        self._state.add("since", np.int64, fill=ASKED_EVERY)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows."""
        self._state.grow(capacity)

    def forget(self, rows: IntArray | int) -> None:
        """Let `rows` begin with another strap, or go on elsewhere: the next usual beat is asked about."""
        self._state.reset(rows)

    def spared(self, beats: Beats) -> BoolArray:
        """Return of which beats the classifier need not be asked, shape ``[beats]``; they count from now on."""
        usual = self._usual(beats)
        answer, since = self._state["answer"], self._state["since"]
        for index in np.flatnonzero(usual):
            row = beats.rows[index]
            since[row] += 1
            usual[index] = since[row] < ASKED_EVERY and answer[row, _N] >= _SURE
        return usual

    def answered(self, beats: Beats) -> None:
        """Take beats that the classifier was asked about."""
        asked = np.flatnonzero(self._usual(beats))
        rows = beats.rows[asked]
        self._state["answer"][rows] = beats.probabilities[asked]
        self._state["since"][rows] = 0

    def take_over(self, beats: Beats, spared: BoolArray) -> Beats:
        """Return beats of which those in `spared` have what the classifier last said of their like."""
        probabilities, label = beats.probabilities.copy(), beats.label.copy()
        probabilities[spared] = self._state["answer"][beats.rows[spared]]
        label[spared] = _N
        return beats.classified(probabilities, label)

    @staticmethod
    def _usual(beats: Beats) -> BoolArray:
        context = beats.context
        usual: BoolArray = (
            beats.complete
            & (beats.quality >= _QUALITY)
            & (context[:, _LIKE] >= _CORRELATION)
            & (context[:, _SIZE_FIELD] >= _SIZE[0])
            & (context[:, _SIZE_FIELD] <= _SIZE[1])
            & (context[:, _BEFORE] >= _IN_TIME[0])
            & (context[:, _BEFORE] <= _IN_TIME[1])
            & (context[:, _SHARE] >= _OWN_SHARE)
        )
        return usual
