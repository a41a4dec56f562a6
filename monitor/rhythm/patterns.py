"""Bigeminy and trigeminy, and supraventricular beats in a row: patterns of beats by their classes alone."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    TRUSTED_QUALITY,
    UNSURE_LABEL,
    IntArray,
    RhythmKind,
)
from monitor.rhythm.items import BEAT, END, ONSET, UPDATE, VERDICT, Found, Items, emit, room_for
from monitor.rows import Rows, RowStage

RUN_BEATS: Final = 3
ALTERNATIONS: Final = 3
"""V beats that bigeminy and trigeminy have at least."""

KINDS: Final[tuple[RhythmKind, ...]] = ("supraventricular_run", "bigeminy", "trigeminy")
_S_RUN, _BIGEMINY, _TRIGEMINY = range(3)
_S, _V = AAMI_CLASSES.index("S"), AAMI_CLASSES.index("V")

_S_AT, _S_LAST, _S_BEATS = range(3)
_AT, _LAST, _VS, _OTHERS, _TOLD = range(5)


@compiled
def _rate(at: int, last: int, beats: int, rate_hz: float) -> float:
    return 60.0 * (beats - 1) * rate_hz / (last - at) if last > at else np.nan


@compiled
def _end_s_run(
    row: int,
    known: int,
    rate_hz: float,
    s_run: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if s_run[_S_BEATS] >= RUN_BEATS:
        rate = _rate(s_run[_S_AT], s_run[_S_LAST], s_run[_S_BEATS], rate_hz)
        evidence = s_run[_S_BEATS] + 1
        n = emit(events, rates, n, row, _S_RUN, END, s_run[_S_AT], known, s_run[_S_LAST], evidence, rate)
    s_run[:] = 0
    return n


@compiled
def _supraventricular(
    row: int,
    r: int,
    known: int,
    label: int,
    rate_hz: float,
    s_run: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if label != _S:
        return _end_s_run(row, known, rate_hz, s_run, events, rates, n)
    if s_run[_S_BEATS] == 0:
        s_run[_S_AT] = r
    s_run[_S_BEATS] += 1
    s_run[_S_LAST] = r
    if s_run[_S_BEATS] < RUN_BEATS:
        return n
    rate = _rate(s_run[_S_AT], r, s_run[_S_BEATS], rate_hz)
    transition = ONSET if s_run[_S_BEATS] == RUN_BEATS else UPDATE
    evidence = s_run[_S_BEATS] + 1
    return emit(events, rates, n, row, _S_RUN, transition, s_run[_S_AT], known, known, evidence, rate)


@compiled
def _end_every(
    row: int,
    known: int,
    kind: int,
    every: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if every[_TOLD] == 1:
        n = emit(events, rates, n, row, kind, END, every[_AT], known, every[_LAST], 0, np.nan)
    every[:] = 0
    return n


@compiled
def _every(
    row: int,
    r: int,
    known: int,
    label: int,
    period: int,
    kind: int,
    rate_hz: float,
    every: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Bi- and trigeminy: a V at every second or third beat, three V at least."""
    if label == _V:
        if every[_VS] > 0 and every[_OTHERS] != period - 1:
            n = _end_every(row, known, kind, every, events, rates, n)
        if every[_VS] == 0:
            every[_AT] = r
        every[_VS] += 1
        every[_OTHERS] = 0
        every[_LAST] = r
        if every[_VS] >= ALTERNATIONS and every[_TOLD] == 0:
            every[_TOLD] = 1
            beats = period * (every[_VS] - 1) + 1
            rate = _rate(every[_AT], r, beats, rate_hz)
            n = emit(events, rates, n, row, kind, ONSET, every[_AT], known, known, beats + 1, rate)
        return n
    every[_OTHERS] += 1
    if every[_OTHERS] >= period or label == UNSURE_LABEL:
        n = _end_every(row, known, kind, every, events, rates, n)
    return n


@compiled
def _break_off_row(
    row: int,
    known: int,
    rate_hz: float,
    s_run: NDArray[np.int64],
    bigeminy: NDArray[np.int64],
    trigeminy: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    n = _end_s_run(row, known, rate_hz, s_run, events, rates, n)
    n = _end_every(row, known, _BIGEMINY, bigeminy, events, rates, n)
    return _end_every(row, known, _TRIGEMINY, trigeminy, events, rates, n)


@compiled
def _advance(
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    sort: NDArray[np.int64],
    known: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    quality: NDArray[np.float64],
    rate_hz: float,
    s_runs: NDArray[np.int64],
    bigeminy: NDArray[np.int64],
    trigeminy: NDArray[np.int64],
    fibrillating: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        for item in range(first[place], first[place + 1]):
            at = known[item]
            if sort[item] == VERDICT:
                fibrillating[row] = label[item]
                n = _break_off_row(
                    row, at, rate_hz, s_runs[row], bigeminy[row], trigeminy[row], events, rates, n
                )
            if sort[item] != BEAT or fibrillating[row] == 1:
                continue
            called = label[item] if quality[item] >= TRUSTED_QUALITY else UNSURE_LABEL
            r = r_sample[item]
            n = _supraventricular(row, r, at, called, rate_hz, s_runs[row], events, rates, n)
            n = _every(row, r, at, called, 2, _BIGEMINY, rate_hz, bigeminy[row], events, rates, n)
            n = _every(row, r, at, called, 3, _TRIGEMINY, rate_hz, trigeminy[row], events, rates, n)
    return n


@compiled
def _break_off(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    rate_hz: float,
    s_runs: NDArray[np.int64],
    bigeminy: NDArray[np.int64],
    trigeminy: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        known = max(ends[place] - 1, 0)
        n = _break_off_row(row, known, rate_hz, s_runs[row], bigeminy[row], trigeminy[row], events, rates, n)
    return n


class PatternMachine(RowStage):
    """Finds patterns of beats in the rows of a bank.

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
        self._state.add("s_run", np.int64, (3,))
        self._state.add("bigeminy", np.int64, (5,))
        self._state.add("trigeminy", np.int64, (5,))
        self._state.add("fibrillating", np.int64)

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def restart(self, rows: IntArray, end: IntArray) -> Found:
        """Let `rows` go on after a gap from `end` on: patterns end where the signal did."""
        state = self._state
        events, rates = room_for(len(rows), 0)
        n = _break_off(
            rows,
            end,
            self._rate_hz,
            state["s_run"],
            state["bigeminy"],
            state["trigeminy"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])

    def process(self, items: Items) -> Found:
        """Take what became known."""
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
            self._rate_hz,
            state["s_run"],
            state["bigeminy"],
            state["trigeminy"],
            state["fibrillating"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])
