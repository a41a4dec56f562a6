"""Ventricular beats alone, in pairs and in runs.

Two tiers. The alarm tier is to be right: a run is made of beats that were called V or F, or of which V or F is among
the likelier classes, and the mean of their log odds (`monitor.rhythm.ventricular_odds`) must be high enough. One beat
in doubt between two such beats is bridged where what is bridged is a run. The review tier is to miss nothing: three
beats in a row that may be ventricular, and became no alarm, are a possible run. A fusion beat continues a run, as in
ANSI/AAMI EC57.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    TRUSTED_QUALITY,
    UNSURE_LABEL,
    WINDOW_POINTS,
    FloatArray,
    IntArray,
    RhythmKind,
)
from monitor.rhythm.items import BEAT, END, ONSET, UPDATE, VERDICT, Found, Items, emit, room_for
from monitor.rows import Rows, RowStage

RUN_BEATS: Final = 3
TACHYCARDIC_BPM: Final = 100.0
"""From this rate on a run is a tachycardia; a slower one is an idioventricular rhythm."""
SUSTAINED_RUN_S: Final = 30.0
MEMBER_FROM: Final = 0.2
"""Probability of V or F from which on a beat without a name may be one of a run."""
BRIDGED_FROM: Final = 0.07
"""The same for one beat between two that are; so may one be bridged of which the signal says too little."""
SURE_MEAN: Final = 0.9
"""Mean log odds over a run of three from which on it is told: no beat need be sure where all together are."""
COUPLET_MEAN: Final = 0.1
"""The same over a couplet of which one beat has no name."""
LONG_LESS: Final = 0.1
LONG_LEAST: Final = 0.0
"""Each beat beyond the third asks for so much less of a run's mean, down to this."""
LIKELY_FROM: Final = 0.3
"""Probability of V or F from which on any beat may be one of a run, whatever it was called."""
PARTED_S: Final = 3.0
SUSTAINED_SHARE: Final = 0.8
"""Runs no farther apart than that, which make up this share of the time, are one tachycardia that is sustained."""
POSSIBLE_FROM: Final = 0.1
"""The same for the review tier, whatever the beat was called and however good the signal is."""
ISOLATED_APART_S: Final = 60.0
"""Single ventricular beats no farther apart than this are one episode."""
QTC_S: Final = 0.40
R_ON_T: Final = 0.85
"""A ventricular beat earlier than this share of the QT interval falls on the T wave."""
ALIKE: Final = 0.75
"""Correlation below which two beats differ in shape."""
SHAPE_CHANGES: Final = 2
LIKE_THE_RUN: Final = 0.9
"""Correlation with the beat before from which on one is of the run though its quality is poor: in a fast tachycardia
the signal never comes to rest, which looks like noise, but noise does not look the same twice."""

KINDS: Final[tuple[RhythmKind, ...]] = (
    "ventricular_run",
    "idioventricular_rhythm",
    "polymorphic_run",
    "sustained_ventricular_tachycardia",
    "ventricular_couplet",
    "isolated_ventricular",
    "r_on_t",
    "possible_ventricular_run",
)
_RUN, _SLOW_RUN, _POLYMORPHIC, _SUSTAINED, _COUPLET, _ISOLATED, _ON_T, _POSSIBLE = range(8)
_N, _V, _F = (AAMI_CLASSES.index(name) for name in "NVF")

# Columns of the run under way, and of the others.
(_AT, _LAST, _BEATS, _NAMED, _TOLD, _TOLD_POLYMORPHIC, _TOLD_SUSTAINED, _CHANGES, _NAMED_AT) = range(9)
(_P_AT, _P_LAST, _P_BEATS, _P_TOLD) = range(4)
_SUM, _BRIDGE_SUM = range(2)
(_C_AT, _C_LAST, _C_BEATS) = range(3)
(_I_AT, _I_LAST) = range(2)
(_PREVIOUS_R, _PREVIOUS_LABEL, _FIBRILLATING, _BRIDGE) = range(4)

_SHAPE_REACH = 54
_SHAPE_LAG = 12
_SHAPE_STEP = 3
_SHAPE_POINTS = 2 * _SHAPE_REACH // _SHAPE_STEP + 1
_MIDDLE = WINDOW_POINTS // 2


@compiled
def _is_sure(sum_of_odds: float, beats: int) -> bool:
    """Whether the log odds of so many beats in a row are enough for them to be told."""
    asked = max(SURE_MEAN - LONG_LESS * max(beats - RUN_BEATS, 0), LONG_LEAST)
    return sum_of_odds >= asked * beats


@compiled
def _is_couplet(run: NDArray[np.int64], sum_of_odds: float) -> bool:
    sure = run[_NAMED] == run[_BEATS] or sum_of_odds >= COUPLET_MEAN * run[_BEATS]
    return bool(run[_BEATS] == RUN_BEATS - 1 and sure)


@compiled
def _rate(at: int, last: int, beats: int, rate_hz: float) -> float:
    return 60.0 * (beats - 1) * rate_hz / (last - at) if last > at else np.nan


@compiled
def _alike(window: NDArray[np.float32], shape: NDArray[np.float32]) -> float:
    """Return the highest correlation of the QRS in `window` with `shape`, shifted a little to either side."""
    best = -1.0
    seen = False
    shape_mean = shape.mean()
    for lag in range(-_SHAPE_LAG, _SHAPE_LAG + 1, 2):
        mean = 0.0
        for k in range(_SHAPE_POINTS):
            mean += window[_MIDDLE - _SHAPE_REACH + _SHAPE_STEP * k + lag]
        mean /= _SHAPE_POINTS
        both, own, other = 0.0, 0.0, 0.0
        for k in range(_SHAPE_POINTS):
            a = window[_MIDDLE - _SHAPE_REACH + _SHAPE_STEP * k + lag] - mean
            b = shape[k] - shape_mean
            both += a * b
            own += a * a
            other += b * b
        if own * other > 0.0:
            seen = True
            best = max(best, both / np.sqrt(own * other))
    return best if seen else 1.0


@compiled
def _keep_shape(window: NDArray[np.float32], shape: NDArray[np.float32]) -> None:
    for k in range(_SHAPE_POINTS):
        shape[k] = window[_MIDDLE - _SHAPE_REACH + _SHAPE_STEP * k]


@compiled
def _end_run(
    row: int,
    known: int,
    rate_hz: float,
    run: NDArray[np.int64],
    chain: NDArray[np.int64],
    sum_of_odds: float,
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """End a run of two or more; a single beat is the caller's."""
    rate = _rate(run[_AT], run[_LAST], run[_BEATS], rate_hz)
    evidence = run[_BEATS] + 1
    last = run[_LAST]
    if _is_couplet(run, sum_of_odds):
        n = emit(events, rates, n, row, _COUPLET, ONSET, run[_AT], known, last, evidence, rate)
        n = emit(events, rates, n, row, _COUPLET, END, run[_AT], known, last, evidence, rate)
    if run[_TOLD] >= 0:
        n = emit(events, rates, n, row, run[_TOLD], END, run[_AT], known, last, evidence, rate)
    if run[_TOLD_POLYMORPHIC] == 1:
        n = emit(events, rates, n, row, _POLYMORPHIC, END, run[_AT], known, last, evidence, rate)
    if run[_TOLD_SUSTAINED] == 1:
        n = emit(events, rates, n, row, _SUSTAINED, END, chain[_C_AT], known, last, evidence, rate)
    run[:] = -1
    return n


@compiled
def _extend_run(
    row: int,
    r: int,
    known: int,
    rate_hz: float,
    run: NDArray[np.int64],
    chain: NDArray[np.int64],
    sum_of_odds: float,
    named: bool,  # noqa: FBT001 - numba passes by position
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Take one more ventricular beat."""
    if run[_AT] < 0:
        run[:] = 0
        run[_AT] = r
        run[_TOLD] = -1
    run[_BEATS] += 1
    if named:
        run[_NAMED] += 1
        run[_NAMED_AT] = r
    run[_LAST] = r
    if run[_BEATS] < RUN_BEATS or (run[_TOLD] < 0 and not _is_sure(sum_of_odds, run[_BEATS])):
        return n
    rate = _rate(run[_AT], r, run[_BEATS], rate_hz)
    evidence = run[_BEATS] + 1
    kind = _RUN if rate >= TACHYCARDIC_BPM else _SLOW_RUN
    if run[_TOLD] < 0:
        run[_TOLD] = kind
        n = emit(events, rates, n, row, kind, ONSET, run[_AT], known, r, evidence, rate)
    elif run[_TOLD] == _SLOW_RUN and kind == _RUN:
        n = emit(events, rates, n, row, _SLOW_RUN, END, run[_AT], known, r, evidence, rate)
        n = emit(events, rates, n, row, _RUN, ONSET, run[_AT], known, r, evidence, rate)
        run[_TOLD] = _RUN
    else:
        n = emit(events, rates, n, row, run[_TOLD], UPDATE, run[_AT], known, r, evidence, rate)
    if run[_CHANGES] >= SHAPE_CHANGES and run[_TOLD_POLYMORPHIC] == 0 and kind == _RUN:
        run[_TOLD_POLYMORPHIC] = 1
        n = emit(events, rates, n, row, _POLYMORPHIC, ONSET, run[_AT], known, r, evidence, rate)
    if kind == _RUN:
        if chain[_C_AT] < 0 or run[_AT] - chain[_C_LAST] > PARTED_S * rate_hz:
            chain[_C_AT] = run[_AT]
            chain[_C_BEATS] = 0
        chain[_C_BEATS] += run[_BEATS] if run[_AT] > chain[_C_LAST] else 1
        chain[_C_LAST] = r
        lasted_s = (r - chain[_C_AT]) / rate_hz
        many = chain[_C_BEATS] >= SUSTAINED_SHARE * lasted_s * rate / 60.0
        if lasted_s >= SUSTAINED_RUN_S and many and run[_TOLD_SUSTAINED] == 0:
            run[_TOLD_SUSTAINED] = 1
            n = emit(events, rates, n, row, _SUSTAINED, ONSET, chain[_C_AT], known, r, evidence, rate)
    return n


@compiled
def _end_possible(
    row: int,
    known: int,
    rate_hz: float,
    possible: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if possible[_P_BEATS] >= RUN_BEATS and possible[_P_TOLD] == 0:
        at = possible[_P_AT]
        rate = _rate(at, possible[_P_LAST], possible[_P_BEATS], rate_hz)
        evidence = possible[_P_BEATS] + 1
        n = emit(events, rates, n, row, _POSSIBLE, ONSET, at, known, possible[_P_LAST], evidence, rate)
        n = emit(events, rates, n, row, _POSSIBLE, END, at, known, possible[_P_LAST], evidence, rate)
    possible[:] = 0
    return n


@compiled
def _end_isolated(
    row: int,
    known: int,
    isolated: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if isolated[_I_AT] >= 0:
        n = emit(events, rates, n, row, _ISOLATED, END, isolated[_I_AT], known, known, 0, np.nan)
    isolated[:] = -1
    return n


@compiled
def _break_off_row(
    row: int,
    known: int,
    rate_hz: float,
    for_good: bool,  # noqa: FBT001 - numba passes by position
    run: NDArray[np.int64],
    chain: NDArray[np.int64],
    possible: NDArray[np.int64],
    isolated: NDArray[np.int64],
    latest: NDArray[np.int64],
    sums: NDArray[np.float64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """End what needs unbroken beats."""
    if run[_AT] >= 0:
        n = _end_run(row, known, rate_hz, run, chain, sums[_SUM], events, rates, n)
    n = _end_possible(row, known, rate_hz, possible, events, rates, n)
    if for_good:
        n = _end_isolated(row, known, isolated, events, rates, n)
    latest[_PREVIOUS_R] = -1
    latest[_PREVIOUS_LABEL] = UNSURE_LABEL
    latest[_BRIDGE] = -1
    return n


@compiled
def _close_run(
    row: int,
    known: int,
    rate_hz: float,
    run: NDArray[np.int64],
    chain: NDArray[np.int64],
    isolated: NDArray[np.int64],
    sum_of_odds: float,
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """End a run, a couplet or a single ventricular beat: the beat behind it is none."""
    # What stood beside it may have been ventricular, too, but not enough for a couplet or a run.
    if run[_NAMED] == 1 and run[_TOLD] < 0 and not _is_couplet(run, sum_of_odds):
        at = run[_NAMED_AT]
        transition = UPDATE
        if isolated[_I_AT] < 0:
            isolated[_I_AT] = at
            transition = ONSET
        isolated[_I_LAST] = at
        n = emit(events, rates, n, row, _ISOLATED, transition, isolated[_I_AT], known, at, 4, np.nan)
    return _end_run(row, known, rate_hz, run, chain, sum_of_odds, events, rates, n)


@compiled
def _bridge(
    row: int,
    known: int,
    rate_hz: float,
    odds: float,
    run: NDArray[np.int64],
    chain: NDArray[np.int64],
    isolated: NDArray[np.int64],
    latest: NDArray[np.int64],
    sums: NDArray[np.float64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Let a ventricular beat say what the beat in doubt before it was: one of the run, or its end."""
    beats = run[_BEATS] + 2
    together = sums[_SUM] + sums[_BRIDGE_SUM] + odds
    if run[_TOLD] >= 0 or (beats >= RUN_BEATS and _is_sure(together, beats)):
        run[_BEATS] += 1
        run[_LAST] = latest[_BRIDGE]
        sums[_SUM] += sums[_BRIDGE_SUM]
    else:
        n = _close_run(row, known, rate_hz, run, chain, isolated, sums[_SUM], events, rates, n)
    latest[_BRIDGE] = -1
    return n


@compiled
def _beat(  # noqa: C901, PLR0912 - every rule about one beat; numba inlines no closures
    row: int,
    r: int,
    known: int,
    called: int,
    probabilities: NDArray[np.float32],
    odds: float,
    quality: float,
    window: NDArray[np.float32],
    rate_hz: float,
    run: NDArray[np.int64],
    chain: NDArray[np.int64],
    possible: NDArray[np.int64],
    isolated: NDArray[np.int64],
    latest: NDArray[np.int64],
    sums: NDArray[np.float64],
    normal_rr: NDArray[np.float64],
    shape: NDArray[np.float32],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    trusted = quality >= TRUSTED_QUALITY
    if not trusted and run[_AT] >= 0 and called in (_V, _F, UNSURE_LABEL):
        trusted = _alike(window, shape) >= LIKE_THE_RUN
    label = called if trusted else UNSURE_LABEL
    p_v = probabilities[_V]
    previous_r = latest[_PREVIOUS_R]
    rr_s = (r - previous_r) / rate_hz if previous_r >= 0 else np.nan

    if isolated[_I_AT] >= 0 and (r - isolated[_I_LAST]) / rate_hz > ISOLATED_APART_S:
        n = _end_isolated(row, known, isolated, events, rates, n)

    named = label in (_V, _F)
    p_here = probabilities[_V] + probabilities[_F]
    least = MEMBER_FROM if label == UNSURE_LABEL else LIKELY_FROM
    if named or (trusted and p_here >= least):
        if latest[_BRIDGE] >= 0:
            n = _bridge(row, known, rate_hz, odds, run, chain, isolated, latest, sums, events, rates, n)
        if run[_AT] < 0:
            sums[_SUM] = 0.0
        elif _alike(window, shape) < ALIKE:
            run[_CHANGES] += 1
        _keep_shape(window, shape)
        sums[_SUM] += odds
        n = _extend_run(row, r, known, rate_hz, run, chain, sums[_SUM], named, events, rates, n)
        if run[_TOLD] >= 0:
            possible[_P_TOLD] = 1
        if label == _V and normal_rr[0] > 0.0 and rr_s < R_ON_T * QTC_S * normal_rr[0] ** (1.0 / 3.0):
            n = emit(events, rates, n, row, _ON_T, ONSET, r, known, known, 2, np.nan)
            n = emit(events, rates, n, row, _ON_T, END, r, known, known, 2, np.nan)
    elif run[_AT] >= 0 and latest[_BRIDGE] < 0 and p_here >= BRIDGED_FROM:
        latest[_BRIDGE] = r
        sums[_BRIDGE_SUM] = odds
    elif run[_AT] >= 0:
        n = _close_run(row, known, rate_hz, run, chain, isolated, sums[_SUM], events, rates, n)
        latest[_BRIDGE] = -1

    if called in (_V, _F) or p_v >= POSSIBLE_FROM:
        if possible[_P_BEATS] == 0:
            possible[_P_AT] = r
        possible[_P_LAST] = r
        possible[_P_BEATS] += 1
    else:
        n = _end_possible(row, known, rate_hz, possible, events, rates, n)

    if label == _N and latest[_PREVIOUS_LABEL] == _N and not np.isnan(rr_s):
        normal_rr[0] += (rr_s - normal_rr[0]) * (0.125 if normal_rr[0] > 0.0 else 1.0)
    latest[_PREVIOUS_R] = r
    latest[_PREVIOUS_LABEL] = label
    return n


@compiled
def _advance(
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    sort: NDArray[np.int64],
    known: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    beat: NDArray[np.int64],
    quality: NDArray[np.float64],
    probabilities: NDArray[np.float32],
    odds: NDArray[np.float64],
    window: NDArray[np.float32],
    rate_hz: float,
    runs: NDArray[np.int64],
    chains: NDArray[np.int64],
    possible: NDArray[np.int64],
    isolated: NDArray[np.int64],
    latest: NDArray[np.int64],
    sums: NDArray[np.float64],
    normal_rr: NDArray[np.float64],
    shapes: NDArray[np.float32],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        for item in range(first[place], first[place + 1]):
            if sort[item] == VERDICT:
                latest[row, _FIBRILLATING] = label[item]
                n = _break_off_row(
                    row,
                    known[item],
                    rate_hz,
                    False,
                    runs[row],
                    chains[row],
                    possible[row],
                    isolated[row],
                    latest[row],
                    sums[row],
                    events,
                    rates,
                    n,
                )
            elif sort[item] == BEAT and latest[row, _FIBRILLATING] == 0:
                n = _beat(
                    row,
                    r_sample[item],
                    known[item],
                    label[item],
                    probabilities[item],
                    odds[item],
                    quality[item],
                    window[beat[item]],
                    rate_hz,
                    runs[row],
                    chains[row],
                    possible[row],
                    isolated[row],
                    latest[row],
                    sums[row],
                    normal_rr[row],
                    shapes[row],
                    events,
                    rates,
                    n,
                )
    return n


@compiled
def _break_off(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    rate_hz: float,
    for_good: bool,  # noqa: FBT001 - numba passes by position
    runs: NDArray[np.int64],
    chains: NDArray[np.int64],
    possible: NDArray[np.int64],
    isolated: NDArray[np.int64],
    latest: NDArray[np.int64],
    sums: NDArray[np.float64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        n = _break_off_row(
            row,
            max(ends[place] - 1, 0),
            rate_hz,
            for_good,
            runs[row],
            chains[row],
            possible[row],
            isolated[row],
            latest[row],
            sums[row],
            events,
            rates,
            n,
        )
    return n


class RunMachine(RowStage):
    """Finds ventricular beats, alone and in a row, in the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._state = Rows(version=6, capacity=capacity)
        self._state.add("run", np.int64, (9,), -1)
        self._state.add("chain", np.int64, (3,), -1)
        self._state.add("possible", np.int64, (4,))
        self._state.add("isolated", np.int64, (2,), -1)
        # R peak and label of the last beat, whether the ventricles fibrillate, a beat that waits to be bridged.
        self._state.add("latest", np.int64, (4,), np.array([-1, UNSURE_LABEL, 0, -1]))
        self._state.add("sums", np.float64, (2,))
        self._state.add("normal_rr", np.float64, (1,))
        self._state.add("shape", np.float32, (_SHAPE_POINTS,))

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def restart(self, rows: IntArray, end: IntArray, *, for_good: bool) -> Found:
        """Let `rows` go on after a gap from `end` on: what needs unbroken beats ends where the signal did."""
        state = self._state
        events, rates = room_for(len(rows), 0)
        n = _break_off(
            rows,
            end,
            self._rate_hz,
            for_good,
            state["run"],
            state["chain"],
            state["possible"],
            state["isolated"],
            state["latest"],
            state["sums"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])

    def process(self, items: Items, window: FloatArray) -> Found:
        """Take what became known.

        Parameters
        ----------
        items : Items
            News, in order.
        window : ndarray of float32, shape ``[beats, 600]``
            The window of each beat, as `items.beat` counts them.
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
            items.beat,
            items.quality,
            items.probabilities,
            items.odds,
            window,
            self._rate_hz,
            state["run"],
            state["chain"],
            state["possible"],
            state["isolated"],
            state["latest"],
            state["sums"],
            state["normal_rr"],
            state["shape"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])
