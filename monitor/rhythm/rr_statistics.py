"""Statistics of the RR intervals that know about ectopy: heart rate, RMSSD, SDNN and DFA alpha 1.

An interval counts as normal if both its beats are called N and can be trusted, and it does not differ by more than a
fifth from the median of those around it; others are corrected by what lies between the normal ones. How many were
corrected is told, and above 3 % the numbers that depend on every interval are hidden: they would be made of ectopy.

References
----------
Task Force of the European Society of Cardiology and the North American Society of Pacing and Electrophysiology,
"Heart rate variability", Circulation 93 (1996): RMSSD and SDNN of normal-to-normal intervals.
C.-K. Peng, S. Havlin, H. E. Stanley, A. L. Goldberger, "Quantification of scaling exponents and crossover phenomena in
nonstationary heartbeat time series", Chaos 5 (1995): detrended fluctuation analysis.
B. Rogers, D. Giles, N. Draper, O. Hoos, T. Gronwald, "A new detection method defining the aerobic threshold for
endurance exercise and training prescription based on fractal correlation properties of heart rate variability", Front.
Physiol. 11 (2021): DFA alpha 1 over windows of two minutes.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    TRUSTED_QUALITY,
    Beats,
    IntArray,
)
from monitor.rows import Rows, RowStage

WINDOW_S: Final = 120.0
KEPT: Final = 512
"""Intervals that are kept: two minutes at 250 a minute."""
MIN_INTERVALS: Final = 32
MAX_CORRECTED: Final = 0.03
DEVIATION: Final = 0.2
AROUND: Final = 11
"""Intervals of whose median another is a deviation."""
BOXES: Final = (4, 16)
"""Shortest and longest box of the short-term scaling exponent, in beats."""
ROUNDING_S: Final = 1e-9
"""A fluctuation that is no larger comes of arithmetic: the intervals never change."""
LONGEST: Final = 0xFFFFFFFF
"""Samples: what an interval, and the distance between two of those that are kept, can be at most."""

_N = AAMI_CLASSES.index("N")


@dataclass(frozen=True, slots=True)
class RRStatistics:
    """What the last two minutes of RR intervals say.

    Attributes
    ----------
    intervals : int
        How many there were.
    corrected_share : float
        Share of them that had to be corrected, 0 to 1; NaN where there are none.
    rate_bpm : float
        Mean heart rate, from all of them.
    rmssd_ms, sdnn_ms, dfa_alpha1 : float or None
        None where there are fewer than 32 intervals, or more than 3 % had to be corrected.
    """

    intervals: int
    corrected_share: float
    rate_bpm: float
    rmssd_ms: float | None
    sdnn_ms: float | None
    dfa_alpha1: float | None


@compiled
def _keep(
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    normal: NDArray[np.bool_],
    latest: NDArray[np.int64],
    lengths: NDArray[np.uint32],
    ends: NDArray[np.uint32],
    normals: NDArray[np.bool_],
) -> None:
    for k in range(len(rows)):
        i = latest[rows[k]]
        if 0 <= i[0] < r_sample[k]:
            at = i[2] % lengths.shape[1]
            lengths[rows[k], at] = min(r_sample[k] - i[0], LONGEST)
            ends[rows[k], at] = r_sample[k] & LONGEST
            normals[rows[k], at] = normal[k] and i[1] == 1
            i[2] += 1
        i[0] = r_sample[k]
        i[1] = 1 if normal[k] else 0


@compiled
def _fluctuation(profile: NDArray[np.float64], length: int) -> float:
    """Return the root mean square of what a straight line leaves of each box of `length`."""
    n = len(profile)
    boxes = n // length
    middle = (length - 1) / 2.0
    spread = length * (length * length - 1) / 12.0
    total = 0.0
    # From both ends, so that no interval is left out.
    for end in range(2):
        for box in range(boxes):
            first = (0 if end == 0 else n - boxes * length) + box * length
            mean, slope = 0.0, 0.0
            for k in range(length):
                mean += profile[first + k]
                slope += profile[first + k] * (k - middle)
            mean /= length
            slope /= spread
            for k in range(length):
                total += (profile[first + k] - mean - slope * (k - middle)) ** 2
    return float(np.sqrt(total / (2 * boxes * length)))


@compiled
def _exponent(rr_s: NDArray[np.float64]) -> float:
    profile = np.cumsum(rr_s - rr_s.mean())
    n = BOXES[1] - BOXES[0] + 1
    x, y = np.empty(n), np.empty(n)
    for k in range(n):
        fluctuation = _fluctuation(profile, BOXES[0] + k)
        if fluctuation <= ROUNDING_S:
            return np.nan
        x[k], y[k] = np.log(BOXES[0] + k), np.log(fluctuation)
    x -= x.mean()
    return float((x * y).sum() / (x * x).sum())


@compiled
def _median_around(rr_s: NDArray[np.float64], normal: NDArray[np.bool_], place: int) -> float:
    """Return the median of the normal intervals around one; at the ends the series is mirrored, or goes on if short."""
    n = len(rr_s)
    kept = np.empty(AROUND)
    count = 0
    for k in range(place - AROUND // 2, place + AROUND // 2 + 1):
        at = k
        if k < 0 or k >= n:
            ends = -k if k < 0 else 2 * (n - 1) - k
            at = ends if n > AROUND else min(max(k, 0), n - 1)
        if not normal[at]:
            continue
        hole = count
        while hole > 0 and kept[hole - 1] > rr_s[at]:
            kept[hole] = kept[hole - 1]
            hole -= 1
        kept[hole] = rr_s[at]
        count += 1
    return (kept[(count - 1) // 2] + kept[count // 2]) / 2.0 if count else np.nan


@compiled
def _summarize(rr_s: NDArray[np.float64], normal: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Return the share that has to be corrected, RMSSD and SDNN in seconds, and the exponent; NaN where hidden."""
    n = len(rr_s)
    good = np.empty(n, np.bool_)
    for k in range(n):
        median = _median_around(rr_s, normal, k) if normal[k] else np.nan
        good[k] = np.abs(rr_s[k] - median) <= DEVIATION * median
    share = 1.0 - good.mean()
    if n < MIN_INTERVALS or share > MAX_CORRECTED:
        return share, np.nan, np.nan, np.nan
    changes, pairs = 0.0, 0
    for k in range(1, n):
        if good[k] and good[k - 1]:
            changes += (rr_s[k] - rr_s[k - 1]) ** 2
            pairs += 1
    places = np.flatnonzero(good)
    known = rr_s[places]
    sdnn = np.sqrt(((known - known.mean()) ** 2).sum() / (len(known) - 1))
    alpha = np.nan
    if n >= 4 * BOXES[1]:
        alpha = _exponent(np.interp(np.arange(n), places, known))
    return share, np.sqrt(changes / pairs), sdnn, alpha


def dfa_alpha1(rr_s: NDArray[np.float64]) -> float:
    """Return the short-term scaling exponent of RR intervals by detrended fluctuation analysis.

    Parameters
    ----------
    rr_s : ndarray of float64, shape ``[intervals]``
        Seconds, without ectopy; four boxes of the longest length at least.

    Returns
    -------
    float
        About 0.5 for white noise, 1 for 1/f noise, 1.5 for a random walk; NaN for intervals that never change.
    """
    return float(_exponent(rr_s))


def statistics_of(rr_s: NDArray[np.float64], normal: NDArray[np.bool_]) -> RRStatistics:
    """Return the statistics of a stretch of RR intervals.

    Parameters
    ----------
    rr_s : ndarray of float64, shape ``[intervals]``
        Seconds, in order.
    normal : ndarray of bool, shape ``[intervals]``
        Whether both beats of an interval are normal ones.
    """
    n = len(rr_s)
    if n == 0:
        return RRStatistics(0, float("nan"), float("nan"), None, None, None)
    share, rmssd_s, sdnn_s, alpha = _summarize(rr_s, normal)
    rate = float(60.0 / rr_s.mean())
    if np.isnan(rmssd_s):
        return RRStatistics(n, share, rate, None, None, None)
    return RRStatistics(n, share, rate, 1e3 * rmssd_s, 1e3 * sdnn_s, None if np.isnan(alpha) else alpha)


class RRBank(RowStage):
    """Keeps the last RR intervals of the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._state = Rows(version=2, capacity=capacity)
        self._state.add(
            "latest", np.int64, (3,), np.array([-1, 0, 0])
        )  # last beat, whether normal, intervals
        # Half of the memory that whole numbers of samples would take: ends are told by their last 32 bits.
        self._state.add("length", np.uint32, (KEPT,))
        self._state.add("end", np.uint32, (KEPT,))
        self._state.add("normal", np.bool_, (KEPT,))

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def restart(self, rows: IntArray) -> None:
        """Let `rows` go on after a gap: the interval over it is void."""
        self._state["latest"][rows, 0] = -1

    def process(self, beats: Beats) -> None:
        """Take new beats, classified."""
        if not len(beats):
            return
        order = np.argsort(beats.rows, kind="stable")
        normal = (beats.label == _N) & (beats.quality >= TRUSTED_QUALITY)
        _keep(
            beats.rows[order],
            beats.r_sample[order],
            normal[order],
            self._state["latest"],
            self._state["length"],
            self._state["end"],
            self._state["normal"],
        )

    def statistics(self, row: int) -> RRStatistics:
        """Return the statistics of the last two minutes of one row."""
        count = int(self._state["latest"][row, 2])
        order = np.arange(max(count - KEPT, 0), count) % KEPT
        ends = self._state["end"][row, order]
        recent = order[ends[-1] - ends < WINDOW_S * self._rate_hz] if len(ends) else order
        return statistics_of(
            self._state["length"][row, recent] / self._rate_hz, self._state["normal"][row, recent]
        )
