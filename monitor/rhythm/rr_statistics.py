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
    profile = np.cumsum(rr_s - rr_s.mean())
    lengths = np.arange(BOXES[0], BOXES[1] + 1)
    fluctuation = np.empty(len(lengths))
    for place, length in enumerate(lengths.tolist()):
        boxes = len(profile) // length
        # From both ends, so that no interval is left out.
        whole = np.concatenate([profile[: boxes * length], profile[-boxes * length :]]).reshape(-1, length)
        time = np.arange(length) - (length - 1) / 2.0
        slope = whole @ time / (time @ time)
        rest = whole - whole.mean(axis=1, keepdims=True) - slope[:, np.newaxis] * time
        fluctuation[place] = np.sqrt(np.mean(rest**2))
    if (fluctuation <= 0.0).any():
        return float("nan")
    return float(np.polyfit(np.log(lengths), np.log(fluctuation), 1)[0])


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
    good = normal.copy()
    if good.any():
        padded = np.pad(np.where(good, rr_s, np.nan), AROUND // 2, mode="reflect" if n > AROUND else "edge")
        around = np.lib.stride_tricks.sliding_window_view(padded, AROUND)
        # NaN comes last in order, and where there is nothing else it stays.
        ordered = np.sort(around, axis=1)
        known = np.maximum(AROUND - np.isnan(ordered).sum(axis=1), 1)
        place = np.arange(n)
        median = (ordered[place, (known - 1) // 2] + ordered[place, known // 2]) / 2.0
        good &= np.abs(rr_s - median) <= DEVIATION * median
    share = float(1.0 - good.mean())
    rate = float(60.0 / rr_s.mean())
    if n < MIN_INTERVALS or share > MAX_CORRECTED:
        return RRStatistics(n, share, rate, None, None, None)
    place = np.arange(n)
    corrected = np.interp(place, place[good], rr_s[good])
    pairs = good[1:] & good[:-1]
    rmssd = float(np.sqrt(np.mean(np.diff(rr_s)[pairs] ** 2)) * 1e3)
    sdnn = float(np.std(rr_s[good], ddof=1) * 1e3)
    alpha = dfa_alpha1(corrected) if n >= 4 * BOXES[1] else float("nan")
    return RRStatistics(n, share, rate, rmssd, sdnn, None if np.isnan(alpha) else alpha)


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
