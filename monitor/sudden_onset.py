"""Runs of beats that became fast from one beat to the next.

A heart that beats fast and evenly may be working or out of order, and no beat of such a run tells which. How the run
began does: exertion shortens RR intervals over many beats, a tachycardia of the atria begins with one. So the interval
before the run stays the measure of its beats for as long as it lasts, be it minutes.

Source: S. Swerdlow et al., "Discrimination of ventricular tachycardia from sinus tachycardia and atrial fibrillation in
a tiered-therapy cardioverter-defibrillator", J. Am. Coll. Cardiol. 23 (1994), for sudden onset as a criterion.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled

_ONSET: Final = 0.82
_END: Final = 0.88
"""A run begins with an RR interval below this share of the median of the last ones, and ends with one above that."""
_MEDIAN_OF: Final = 8
_LEAST_KNOWN: Final = 6


@compiled
def follow_run(
    rr: float,
    last: NDArray[np.float32],
    row: int,
    level: NDArray[np.float32],
    first: NDArray[np.float32],
    length: NDArray[np.int64],
) -> None:
    """Move one row's run on by one RR interval.

    Parameters
    ----------
    rr : float
        Seconds; NaN where it is not known, which ends a run.
    last : ndarray of float32, shape ``[known]``
        The RR intervals before, the newest first.
    row : int
        Of `level`, `first` and `length`.
    level : ndarray of float32, shape ``[rows]``
        The median RR interval before the run, seconds.
    first : ndarray of float32, shape ``[rows]``
        The first RR interval of the run, seconds.
    length : ndarray of int64, shape ``[rows]``
        Beats of the run so far; 0 where there is none.
    """
    if np.isnan(rr):
        length[row] = 0
        return
    if length[row] > 0 and rr > _END * level[row]:
        length[row] = 0
    if length[row] > 0:
        length[row] += 1
    elif len(last) >= _LEAST_KNOWN:
        middle = np.median(last[: min(len(last), _MEDIAN_OF)])
        if rr < _ONSET * middle:
            level[row] = middle
            first[row] = rr
            length[row] = 1
