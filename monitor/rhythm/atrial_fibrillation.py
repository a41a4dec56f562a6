"""Atrial fibrillation: RR intervals between beats that are not ventricular, irregular with no pattern, and no P waves.

Of the last 40 such intervals three numbers are taken. The coefficient of sample entropy: how little a pair of like
intervals says about the next. The typical distance of an interval to the nearest of the three before it, as a share of
the typical interval: small in bi- and trigeminy of beats that the classifier missed, and where premature beats
interrupt a steady rhythm. And how much the signal before the QRS is like that of the athlete's own usual beat: in
sinus rhythm, however irregular, the P wave comes again; in fibrillation there is none. One weighted sum decides, with
hysteresis, and must do so for some beats, for an onset and for an end. The weights are those of a logistic regression
over windows of DS1, of records full of supraventricular beats and of synthetic athletes, rounded. DS1 has fibrillation
of two people only, and theirs is irregular; so the offset lies between them and the ectopy of all others, half a unit
nearer to the latter than the regression had it. With that, 99 % of svdb 804 are told instead of 92 % (svdb has no
rhythm labels; by its intervals this record fibrillates from end to end), and what is told of DS1 stays as it is.

References
----------
D. E. Lake, J. R. Moorman, "Accurate estimation of entropy in very short physiological time series: the problem of
atrial fibrillation detection in implanted ventricular devices", Am. J. Physiol. Heart Circ. Physiol. 300 (2011).
K. Tateno, L. Glass, "Automatic detection of atrial fibrillation using the coefficient of variation and density
histograms of RR and ΔRR intervals", Med. Biol. Eng. Comput. 39 (2001): intervals and their differences.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    TRUSTED_QUALITY,
    FloatArray,
    IntArray,
    RhythmKind,
)
from monitor.rhythm.items import BEAT, END, ONSET, VERDICT, Found, Items, emit, room_for
from monitor.rows import Rows, RowStage

INTERVALS: Final = 40
ENTROPY_WEIGHT: Final = 3.3
ENTROPY_FROM: Final = -1.0
NEAREST_WEIGHT: Final = 0.7
NEAREST_FROM: Final = 0.04
P_WAVE_WEIGHT: Final = 2.9
OFFSET: Final = -0.2
ALIKE_S: Final = 0.03
STEADY_BELOW: Final = 0.015
"""Typical distance to the nearest of three, as a share of the interval, below which nothing else is looked at."""
HELD_BEATS: Final = 8
"""Beats in a row at which the sum is above 0 before it is an episode, or below `OVER_BELOW` before it is over."""
OVER_BELOW: Final = -2.25
"""The sum below which an episode is over."""
BACK: Final = 24
"""So many intervals before the turn was seen it is said to have happened: the window must fill before it shows."""
MAYBE_FROM: Final = 0.25
"""Beats that are V or F with this probability or more are none to count intervals from."""
MAX_RR_S: Final = 3.0
BRIDGED_GAP_S: Final = 10.0
EVIDENCE: Final = 48

KINDS: Final[tuple[RhythmKind, ...]] = ("atrial_fibrillation",)
_V, _F = AAMI_CLASSES.index("V"), AAMI_CLASSES.index("F")
_LAST_R, _EXCLUDED, _COUNT, _HELD, _ONSET, _OVER, _FIBRILLATING = range(7)
_IN_EPISODES, _SEEN = range(2)


@compiled
def _evidence(
    rr: NDArray[np.float64], p_like: NDArray[np.float64], count: int, w: NDArray[np.float64]
) -> float:
    """Return the weighted sum over the last intervals, as log odds of fibrillation."""
    for k in range(INTERVALS):
        w[k] = rr[(count + k) % INTERVALS]
    nearest = np.empty(INTERVALS - 3)
    for k in range(3, INTERVALS):
        nearest[k - 3] = min(abs(w[k] - w[k - 1]), abs(w[k] - w[k - 2]), abs(w[k] - w[k - 3]))
    typical = np.median(nearest) / np.median(w)
    if typical < STEADY_BELOW:
        return -np.inf
    once, twice = 0, 0
    for i in range(INTERVALS - 1):
        for j in range(i + 1, INTERVALS - 1):
            if abs(w[i] - w[j]) < ALIKE_S:
                once += 1
                if abs(w[i + 1] - w[j + 1]) < ALIKE_S:
                    twice += 1
    entropy = np.log((once + 0.5) / (twice + 0.5)) + np.log(2.0 * ALIKE_S) - np.log(w.mean())
    return float(
        OFFSET
        + ENTROPY_WEIGHT * (min(max(entropy, -2.5), 0.5) - ENTROPY_FROM)
        + NEAREST_WEIGHT * np.log(typical / NEAREST_FROM)
        - P_WAVE_WEIGHT * np.median(p_like)
    )


@compiled
def _end(
    row: int,
    at: int,
    known: int,
    i: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if i[_ONSET] >= 0:
        n = emit(events, rates, n, row, 0, END, i[_ONSET], known, max(at, i[_ONSET]), 0, np.nan)
        i[_OVER] = max(at, i[_ONSET])
    i[_ONSET] = -1
    i[_HELD] = 0
    return n


@compiled
def _advance(  # noqa: C901 - one pass over the items, in the order in which they became known
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    sort: NDArray[np.int64],
    known: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    quality: NDArray[np.float64],
    probabilities: NDArray[np.float32],
    beat: NDArray[np.int64],
    p_wave: NDArray[np.float32],
    rate_hz: float,
    integers: NDArray[np.int64],
    burden: NDArray[np.float64],
    rrs: NDArray[np.float64],
    p_likes: NDArray[np.float64],
    begins: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    w = np.empty(INTERVALS)
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        rr = rrs[row]
        for item in range(first[place], first[place + 1]):
            if sort[item] == VERDICT:
                i[_FIBRILLATING] = label[item]
                n = _end(row, r_sample[item], known[item], i, events, rates, n)
                i[_LAST_R] = -1
                i[_COUNT] = 0
            if sort[item] != BEAT or i[_FIBRILLATING] == 1:
                continue
            r = r_sample[item]
            last_r = i[_LAST_R]
            p_here = probabilities[item, _V] + probabilities[item, _F]
            excluded = label[item] in (_V, _F) or p_here >= MAYBE_FROM or quality[item] < TRUSTED_QUALITY
            rr_s = (r - last_r) / rate_hz
            usable = last_r >= 0 and not excluded and i[_EXCLUDED] == 0 and 0.0 < rr_s < MAX_RR_S
            if last_r >= 0 and 0.0 < rr_s < MAX_RR_S:
                burden[row, _SEEN] += rr_s
                if i[_ONSET] >= 0:
                    burden[row, _IN_EPISODES] += rr_s
            i[_LAST_R] = r
            i[_EXCLUDED] = 1 if excluded else 0
            if not usable:
                continue
            at = i[_COUNT] % INTERVALS
            rr[at] = rr_s
            begins[row, at] = last_r
            like = p_wave[beat[item]]
            # As long as there is no usual beat its P wave says nothing.
            p_likes[row, at] = 0.5 if np.isnan(like) else min(max(like, 0.0), 1.0)
            i[_COUNT] += 1
            if i[_COUNT] < INTERVALS:
                continue
            log_odds = _evidence(rr, p_likes[row], i[_COUNT], w)
            held_since = begins[row, (i[_COUNT] - min(BACK + HELD_BEATS, INTERVALS)) % INTERVALS]
            if i[_ONSET] >= 0:
                i[_HELD] = i[_HELD] + 1 if log_odds < OVER_BELOW else 0
                if i[_HELD] >= HELD_BEATS:
                    n = _end(row, held_since, known[item], i, events, rates, n)
                continue
            i[_HELD] = i[_HELD] + 1 if log_odds >= 0.0 else 0
            if i[_HELD] >= HELD_BEATS:
                i[_HELD] = 0
                i[_ONSET] = max(held_since, i[_OVER])
                rate = 60.0 / w.mean()
                n = emit(events, rates, n, row, 0, ONSET, i[_ONSET], known[item], known[item], EVIDENCE, rate)
    return n


@compiled
def _break_off(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    rate_hz: float,
    for_good: bool,  # noqa: FBT001 - numba passes by position
    integers: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        i = integers[rows[place]]
        if for_good or first_sample[place] - ends[place] > BRIDGED_GAP_S * rate_hz:
            known = max(ends[place] - 1, 0)
            n = _end(rows[place], known, known, i, events, rates, n)
            i[_COUNT] = 0
        i[_LAST_R] = -1
    return n


class AtrialFibrillationMachine(RowStage):
    """Finds atrial fibrillation in the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._state = Rows(version=3, capacity=capacity)
        # Last beat, whether it is none to count from, intervals, beats held, onset, end before, ventricles fibrillate.
        self._state.add("integers", np.int64, (7,), np.array([-1, 0, 0, 0, -1, 0, 0]))
        self._state.add("burden", np.float64, (2,))
        self._state.add("rr", np.float64, (INTERVALS,))
        self._state.add("p_like", np.float64, (INTERVALS,))
        self._state.add("begins", np.int64, (INTERVALS,))

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def restart(self, rows: IntArray, end: IntArray, first_sample: IntArray, *, for_good: bool) -> Found:
        """Let `rows` go on at `first_sample` after a gap from `end` on; an episode lasts over a short one."""
        events, rates = room_for(len(rows), 0)
        integers = self._state["integers"]
        n = _break_off(rows, end, first_sample, self._rate_hz, for_good, integers, events, rates)
        return Found(KINDS, events[:n], rates[:n])

    def process(self, items: Items, p_wave: FloatArray) -> Found:
        """Take what became known.

        Parameters
        ----------
        items : Items
            News, in order.
        p_wave : ndarray of float32, shape ``[beats]``
            Correlation of the signal before each QRS with that of the usual beat, as `items.beat` counts them; NaN
            where there is none.
        """
        state = self._state
        events, rates = room_for(len(items.rows), len(items))
        n = _advance(
            items.rows,
            items.first,
            items.sort,
            items.known,
            items.r_sample,
            items.label,
            items.quality,
            items.probabilities,
            items.beat,
            p_wave,
            self._rate_hz,
            state["integers"],
            state["burden"],
            state["rr"],
            state["p_like"],
            state["begins"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])

    def burden(self, row: int) -> float:
        """Return the share of the time between beats that lay in told episodes, 0 to 1; NaN before the first beat."""
        inside, seen = self._state["burden"][row].tolist()
        return float(inside / seen) if seen > 0.0 else float("nan")
