"""Runs of beats that became fast from one beat to the next.

A heart that beats fast and evenly may be working or out of order, and no beat of such a run tells which. How the run
began does: exertion shortens RR intervals over many beats, a tachycardia of the atria begins with one. So the interval
before the run stays the measure of its beats for as long as it lasts, be it minutes.

That measure must be one that the heart had kept. After a bigeminy, a block, or ectopic beats that nobody found the last
RR intervals are twice the sinus node's or a mixture, and its own rhythm, come back, would pass for a tachycardia. So a
run begins only where its first interval is short for the athlete's usual rhythm too, or follows an even one and is not
half of it. And a tachycardia keeps its rate: a run whose rate moves is the sinus node at work, and ends.

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
_SUDDEN: Final = 0.88
"""The first interval is below this share of the longer one of the two before: exertion shortens none by so much."""
_USUAL: Final = 0.85
_EVEN: Final = 0.12
_EVEN_SHARE: Final = 0.7
_HALF: Final = 0.57
"""It is also below `_USUAL` of the usual interval; or `_EVEN_SHARE` of the last ones are within `_EVEN` of their median
and it is above `_HALF` of that."""
_MOVED: Final = 0.2
"""A run ends when the running mean of its intervals is so far, as a share, from the mean of its first ones."""
_FIRST: Final = 8
_MEDIAN_OF: Final = 8
_LEAST_KNOWN: Final = 6


@compiled
def follow_run(
    rr: float,
    usual_ratio: float,
    last: NDArray[np.float32],
    row: int,
    level: NDArray[np.float32],
    first: NDArray[np.float32],
    means: NDArray[np.float32],
    length: NDArray[np.int64],
) -> None:
    """Move one row's run on by one RR interval.

    Parameters
    ----------
    rr : float
        Seconds; NaN where it is not known, which ends a run.
    usual_ratio : float
        `rr` over the athlete's usual RR interval; NaN where that is not known.
    last : ndarray of float32, shape ``[known]``
        The RR intervals before, the newest first.
    row : int
        Of the arrays that follow.
    level : ndarray of float32, shape ``[rows]``
        The median RR interval before the run, seconds.
    first : ndarray of float32, shape ``[rows]``
        The first RR interval of the run, seconds.
    means : ndarray of float32, shape ``[rows, 2]``
        The mean of the first RR intervals of the run, and that of the last ones, seconds.
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
        if length[row] <= _FIRST:
            means[row] += np.float32(rr - means[row, 0]) / length[row]
            return
        means[row, 1] += np.float32(rr - means[row, 1]) / _FIRST
        if abs(means[row, 1] - means[row, 0]) > _MOVED * means[row, 0]:
            length[row] = 0
    elif len(last) >= _LEAST_KNOWN:
        before = last[: min(len(last), _MEDIAN_OF)]
        middle = float(np.median(before))
        if _begins(rr, usual_ratio, before, middle):
            level[row] = middle
            first[row] = rr
            means[row] = rr
            length[row] = 1


@compiled
def _begins(rr: float, usual_ratio: float, before: NDArray[np.float32], middle: float) -> bool:
    if rr >= _ONSET * middle or rr >= _SUDDEN * max(before[0], before[1]):
        return False
    # Not known: nothing speaks against it.
    if not usual_ratio >= _USUAL:
        return True
    even = (np.abs(before - middle) < _EVEN * middle).mean() >= _EVEN_SHARE
    return bool(even and rr > _HALF * middle)
