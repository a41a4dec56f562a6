"""The athlete's own usual beat: what each new beat is compared with, learnt as the signal comes and without labels.

Beats of one shape are gathered to a running mean, the template of that shape; the usual one is the shape that most of
the beats have which come in time. Beside it stands the athlete's usual RR interval, the median of those between usual
beats in time, so that a run of early beats does not become the measure of what is early, and the spread of all RR
intervals of the last minutes.

A beat is compared first and learnt from afterwards; only whole windows of trusted signal are learnt from. A short gap
leaves all this standing. After a long one the strap may sit elsewhere, so shapes keep a tenth of their weight and a new
one prevails within some twenty beats; RR intervals are forgotten.

References
----------
P. de Chazal, R. B. Reilly, "A patient-adapting heartbeat classifier using ECG morphology and heartbeat interval
features", IEEE Trans. Biomed. Eng. 53 (2006), for adapting; M. Llamedo, J. P. Martínez, "Heartbeat classification using
feature selection driven by database generalization criteria", IEEE Trans. Biomed. Eng. 58 (2011), for RR intervals
against a history of minutes.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    CONTEXT_FIELDS,
    RR_FIELDS,
    TRUSTED_QUALITY,
    WINDOW_POINTS,
    Beats,
    BoolArray,
    FloatArray,
    IntArray,
)
from monitor.rows import Rows, RowStage

SHAPES: Final = 6
"""Shapes that an athlete's beats may have at once."""
LONG_RR: Final = 256
"""RR intervals whose spread is known: three to five minutes."""
STEPS: Final = 64
"""Changes from one RR interval to the next whose median is known."""
USUAL_RR: Final = 64
"""RR intervals between usual beats in time whose median is the usual one."""
LONG_GAP_S: Final = 60.0
_LEAST_RR: Final = 8
_LAST: Final = 8
_SAME_SHAPE: Final = 0.9
# What a beat must have in common with the usual one to be left as it is when there is too much to do.
_RESEMBLES: Final = 0.97
_LIKE_SIZE: Final = 0.8
_WELL_KNOWN: Final = 20.0
_LEAST_SIZE: Final = 0.5
_LARGEST_SIZE: Final = 2.0
_EARLY: Final = 0.85
_LATE: Final = 1.2
# A shape loses half of its weight in 140 beats; its mean follows a change within some 24.
_DECAY: Final = float(np.exp(-1 / 200))
_SLOWEST: Final = 1 / 24
_GAP_KEEPS: Final = 0.1
_STEEP: Final = 0.03
# Zones in points of the 360 Hz grid, and how far a beat is shifted to lie on a template.
_R: Final = WINDOW_POINTS // 2
_QRS: Final = (_R - 36, _R + 54)
_SLOPES: Final = (_R - 54, _R + 72)
_P: Final = (_R - 90, _R - 25)
_T: Final = (_R + 54, _R + 160)
_SHIFT: Final = 8
_GRID_HZ: Final = 360.0
_WIDTH: Final = len(CONTEXT_FIELDS) - RR_FIELDS


def described() -> list[object]:
    """Return everything that shapes what this stage adds to a beat, for `monitor.beats.input_path_version`."""
    return [
        1,
        [SHAPES, LONG_RR, STEPS, USUAL_RR, LONG_GAP_S, _LEAST_RR, _LAST, TRUSTED_QUALITY],
        [_SAME_SHAPE, _LEAST_SIZE, _LARGEST_SIZE, _EARLY, _LATE, _DECAY, _SLOWEST, _GAP_KEEPS, _STEEP],
        [_QRS, _SLOPES, _P, _T, _SHIFT],
    ]


@compiled
def _compare(
    one: NDArray[np.float32], other: NDArray[np.float32], first: int, end: int, shift: int
) -> tuple[float, float, float]:
    """Return correlation, size of one over that of the other, and what the other leaves of it, over its own size."""
    n = end - first
    mean_one = 0.0
    mean_other = 0.0
    for j in range(first, end):
        mean_one += one[j + shift]
        mean_other += other[j]
    mean_one /= n
    mean_other /= n
    both = 0.0
    own = 1e-12
    others = 1e-12
    for j in range(first, end):
        a = one[j + shift] - mean_one
        b = other[j] - mean_other
        both += a * b
        own += a * a
        others += b * b
    left = max(own + others - 2.0 * both, 0.0)
    return both / np.sqrt(own * others), np.sqrt(own / others), np.sqrt(left / others)


@compiled
def _align(window: NDArray[np.float32], shape: NDArray[np.float32]) -> int:
    best = -2.0
    at = 0
    for step in range(2 * _SHIFT + 1):
        # From the middle outwards, so that of equals the smallest shift wins.
        shift = (step + 1) // 2 if step % 2 else -(step // 2)
        correlation, _, _ = _compare(window, shape, _QRS[0], _QRS[1], shift)
        if correlation > best:
            best = correlation
            at = shift
    return at


@compiled
def _slopes(window: NDArray[np.float32]) -> tuple[float, float]:
    """Return how long the complex is steep, and how far its steepness spreads, both in seconds."""
    largest = 0.0
    total = 1e-12
    centre = 0.0
    for j in range(_SLOPES[0], _SLOPES[1]):
        d = (window[j + 1] - window[j - 1]) ** 2
        largest = max(largest, d)
        total += d
        centre += d * j
    centre /= total
    spread = 0.0
    begin = _SLOPES[1]
    last = _SLOPES[0]
    for j in range(_SLOPES[0], _SLOPES[1]):
        d = (window[j + 1] - window[j - 1]) ** 2
        spread += d * (j - centre) ** 2
        if d > _STEEP * largest:
            begin = min(begin, j)
            last = max(last, j)
    return max(last - begin, 1) / _GRID_HZ, max(np.sqrt(spread / total), 0.1) / _GRID_HZ


@compiled
def _height(window: NDArray[np.float32], first: int, end: int) -> float:
    low = window[first]
    high = window[first]
    for j in range(first, end):
        low = min(low, window[j])
        high = max(high, window[j])
    return float(high - low)


@compiled
def _time(
    rr: float,
    after: float,
    known_s: float,
    base: float,
    last_rr: NDArray[np.float32],
    long_rr: NDArray[np.float32],
    long_step: NDArray[np.float32],
    out: NDArray[np.float32],
) -> float:
    """Fill in what is known of time; return the mean change of the last RR intervals, NaN where too few are known."""
    out[0] = rr / base
    out[1] = after / base
    out[2] = (known_s if np.isnan(after) else max(known_s, after)) / base
    n = len(long_rr)
    if n >= _LEAST_RR:
        ordered = np.sort(long_rr)
        low = ordered[n // 5]
        middle = ordered[n // 2]
        high = ordered[(n * 4) // 5]
        out[3] = rr / low
        out[4] = rr / middle
        out[5] = rr / high
        out[6] = high / low
        below = 0
        near = 0
        for k in range(n):
            below += ordered[k] < rr
            near += abs(ordered[k] - base) < 0.08 * base
        if not np.isnan(rr):
            out[7] = below / n
        out[11] = np.median(long_step) / middle
        out[12] = near / n
    out[8] = last_rr[0] / base
    out[9] = last_rr[1] / base
    moved = 0.0
    steps = 0
    for k in range(_LAST - 1):
        d = abs(last_rr[k + 1] - last_rr[k])
        if not np.isnan(d):
            moved += d
            steps += 1
    if steps <= 2:
        return np.nan
    out[10] = moved / steps / base
    return moved / steps


@compiled
def _shape(
    window: NDArray[np.float32],
    shapes: NDArray[np.float32],
    weight: NDArray[np.float64],
    timely: NDArray[np.float64],
    early: NDArray[np.float64],
    main: int,
    out: NDArray[np.float32],
) -> tuple[int, int]:
    """Fill in how a beat looks; return which of the athlete's shapes it has (-1 for none) and its shift."""
    steep, spread = _slopes(window)
    out[13] = steep
    out[14] = spread
    best = -2.0
    best_shift = 0
    own = -1
    total = 0.0
    for k in range(SHAPES):
        total += weight[k]
        if weight[k] == 0.0:
            continue
        shift = _align(window, shapes[k])
        like, size, left = _compare(window, shapes[k], _QRS[0], _QRS[1], shift)
        if k == main:
            main_steep, main_spread = _slopes(shapes[k])
            tall = _height(shapes[k], _QRS[0], _QRS[1]) + 1e-6
            out[15] = steep / main_steep
            out[16] = spread / main_spread
            out[17] = like
            out[18] = size
            out[19] = _height(window, _QRS[0], _QRS[1]) / tall
            out[20] = left
            out[21], out[22], _ = _compare(window, shapes[k], _P[0], _P[1], shift)
            out[23] = _height(window, _P[0], _P[1]) / tall
            out[24], _, _ = _compare(window, shapes[k], _T[0], _T[1], shift)
        if like > best and _LEAST_SIZE < size < _LARGEST_SIZE:
            best = like
            best_shift = shift
            own = k
    if best < _SAME_SHAPE:
        out[25] = 0.0
        return -1, 0
    out[25] = weight[own] / total
    out[26] = timely[own] / weight[own]
    out[27] = early[own] / weight[own]
    return own, best_shift


@compiled
def _learn_shape(
    window: NDArray[np.float32],
    own: int,
    shift: int,
    relative_rr: float,
    shapes: NDArray[np.float32],
    weight: NDArray[np.float64],
    timely: NDArray[np.float64],
    early: NDArray[np.float64],
) -> None:
    for k in range(SHAPES):
        weight[k] *= _DECAY
        timely[k] *= _DECAY
        early[k] *= _DECAY
    if own < 0:
        own = int(np.argmin(weight))
        shapes[own] = window
        weight[own] = 0.0
        timely[own] = 0.0
        early[own] = 0.0
    else:
        share = max(1.0 / (weight[own] + 1.0), _SLOWEST)
        for j in range(WINDOW_POINTS):
            source = min(max(j + shift, 0), WINDOW_POINTS - 1)
            shapes[own, j] += share * (window[source] - shapes[own, j])
    # Nothing known of its time: it counts as in time.
    if np.isnan(relative_rr):
        relative_rr = 1.0
    weight[own] += 1.0
    timely[own] += relative_rr >= _EARLY
    early[own] += relative_rr


@compiled
def _observe(  # noqa: C901 - one pass over the beats; numba inlines no closures over many arrays
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    known_sample: NDArray[np.int64],
    quality: NDArray[np.float32],
    complete: NDArray[np.bool_],
    window: NDArray[np.float32],
    context: NDArray[np.float32],
    rate_hz: float,
    shapes: NDArray[np.float32],
    weight: NDArray[np.float64],
    timely: NDArray[np.float64],
    early: NDArray[np.float64],
    long_rr: NDArray[np.float32],
    long_step: NDArray[np.float32],
    long_count: NDArray[np.int64],
    usual_rr: NDArray[np.float32],
    usual_count: NDArray[np.int64],
    last_rr: NDArray[np.float32],
    last_like: NDArray[np.float32],
    last_r: NDArray[np.int64],
    out: NDArray[np.float32],
    template: NDArray[np.float32],
) -> None:
    for i in range(len(rows)):
        row = rows[i]
        rr = context[i, 0]
        recent = context[i, 2]
        if last_r[row] >= 0 and (r_sample[i] - last_r[row]) / rate_hz > LONG_GAP_S:
            weight[row] *= _GAP_KEEPS
            timely[row] *= _GAP_KEEPS
            early[row] *= _GAP_KEEPS
            long_count[row] = 0
            usual_count[row] = 0
        last_r[row] = r_sample[i]
        if np.isnan(rr):
            last_rr[row] = np.nan
            last_like[row] = np.nan
        base = recent
        if usual_count[row] >= _LEAST_RR:
            base = np.median(usual_rr[row, : min(usual_count[row], USUAL_RR)])
        moved = _time(
            rr,
            context[i, 1],
            (known_sample[i] - r_sample[i]) / rate_hz,
            base,
            last_rr[row],
            long_rr[row, : min(long_count[row], LONG_RR)],
            long_step[row, : min(long_count[row], STEPS)],
            out[i],
        )
        own = -1
        shift = 0
        if complete[i]:
            main = int(np.argmax(timely[row]))
            if timely[row, main] > 0.0:
                template[i] = shapes[row, main]
            own, shift = _shape(window[i], shapes[row], weight[row], timely[row], early[row], main, out[i])
        out[i, 28] = last_like[row, 0]
        out[i, 29] = last_like[row, 1]

        # Only now is the beat learnt from.
        if complete[i] and quality[i] >= TRUSTED_QUALITY:
            _learn_shape(window[i], own, shift, rr / base, shapes[row], weight[row], timely[row], early[row])
        like = out[i, 17]
        if not np.isnan(rr):
            step = rr - last_rr[row, 0]
            long_rr[row, long_count[row] % LONG_RR] = rr
            long_step[row, long_count[row] % STEPS] = 0.0 if np.isnan(step) else abs(step)
            long_count[row] += 1
            usual_both = like >= _SAME_SHAPE and last_like[row, 0] >= _SAME_SHAPE
            # An even rhythm is the usual one however fast it has become: effort is no run of early beats.
            even = moved < 0.05 * recent and abs(rr - recent) < 0.1 * recent
            if usual_both and (even or np.isnan(base) or _EARLY * base <= rr <= _LATE * base):
                usual_rr[row, usual_count[row] % USUAL_RR] = rr
                usual_count[row] += 1
        for k in range(_LAST - 1, 0, -1):
            last_rr[row, k] = last_rr[row, k - 1]
        last_rr[row, 0] = rr
        last_like[row, 1] = last_like[row, 0]
        last_like[row, 0] = like


class TemplateBank(RowStage):
    """Compares each beat with its athlete's own, then learns from it.

    Adds no delay: it works on beats whose window has closed, in the order in which they did.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("shapes", np.float32, (SHAPES, WINDOW_POINTS))
        self._state.add("weight", np.float64, (SHAPES,))
        self._state.add("timely", np.float64, (SHAPES,))
        self._state.add("early", np.float64, (SHAPES,))
        self._state.add("long_rr", np.float32, (LONG_RR,))
        self._state.add("long_step", np.float32, (STEPS,))
        self._state.add("long_count", np.int64)
        self._state.add("usual_rr", np.float32, (USUAL_RR,))
        self._state.add("usual_count", np.int64)
        self._state.add("last_rr", np.float32, (_LAST,), fill=np.nan)
        self._state.add("last_like", np.float32, (2,), fill=np.nan)
        self._state.add("last_r", np.int64, fill=-1)

    def process(self, beats: Beats) -> Beats:
        """Return `beats` with the athlete's template, and how each compares with it.

        Parameters
        ----------
        beats : Beats
            As `monitor.beats.BeatBank` gives them; incomplete ones too, for their RR intervals.
        """
        if len(beats) == 0:
            return beats
        added = np.full((len(beats), _WIDTH), np.nan, np.float32)
        template = np.zeros((len(beats), WINDOW_POINTS), np.float32)
        state = self._state
        _observe(
            beats.rows,
            beats.r_sample,
            beats.known_sample,
            beats.quality,
            beats.complete,
            beats.window,
            beats.context,
            self._rate_hz,
            state["shapes"],
            state["weight"],
            state["timely"],
            state["early"],
            state["long_rr"],
            state["long_step"],
            state["long_count"],
            state["usual_rr"],
            state["usual_count"],
            state["last_rr"],
            state["last_like"],
            state["last_r"],
            added,
            template,
        )
        context = np.concatenate([beats.context[:, :RR_FIELDS], added], axis=1)
        return replace(beats, template=template, context=context)

    def resembles(self, rows: IntArray, windows: FloatArray) -> BoolArray:
        """Return which windows, shape ``[beats, 600]``, not denoised yet, look like their athlete's usual beat."""
        timely = self._state["timely"][rows]
        usual = timely.argmax(axis=1)
        known = timely[np.arange(len(rows)), usual] >= _WELL_KNOWN
        zone = slice(*_QRS)
        one = windows[:, zone] - windows[:, zone].mean(axis=1, keepdims=True)
        other = self._state["shapes"][rows, usual, zone]
        other = other - other.mean(axis=1, keepdims=True)
        size, others = np.sqrt((one * one).sum(axis=1)), np.sqrt((other * other).sum(axis=1))
        alike = (one * other).sum(axis=1) >= _RESEMBLES * size * others
        like: BoolArray = known & alike & (size > _LIKE_SIZE * others) & (others > _LIKE_SIZE * size)
        return like

    def usual_beat(self, row: int) -> NDArray[np.float32]:
        """Return the usual beat of one row, millivolt of shape ``[600]``; empty as long as there is none."""
        timely = self._state["timely"][row]
        usual = int(np.argmax(timely))
        if timely[usual] <= 0.0:
            return np.empty(0, np.float32)
        shape: NDArray[np.float32] = self._state["shapes"][row, usual].copy()
        return shape

    def forget(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
