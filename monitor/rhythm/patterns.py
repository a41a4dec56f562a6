"""Bigeminy and trigeminy, and supraventricular beats in a row: patterns of beats by their classes alone."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, IntArray, RhythmKind
from monitor.rhythm.items import BEAT, END, ONSET, UPDATE, VERDICT, Found, Items, emit, room_for
from monitor.rows import Rows, RowStage

RUN_BEATS: Final = 3
BIGEMINY_BEATS: Final = 6
TRIGEMINY_VS: Final = 3
TRUSTED_QUALITY: Final = 0.5

KINDS: Final[tuple[RhythmKind, ...]] = ("supraventricular_run", "bigeminy", "trigeminy")
_S_RUN, _BIGEMINY, _TRIGEMINY = range(3)
_S, _V = AAMI_CLASSES.index("S"), AAMI_CLASSES.index("V")

_S_AT, _S_LAST, _S_BEATS = range(3)
_B_AT, _B_BEATS, _B_TOLD = range(3)
_T_AT, _T_VS, _T_SINCE, _T_TOLD = range(4)
_PREVIOUS_LABEL, _FIBRILLATING = range(2)


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
        n = emit(events, rates, n, row, _S_RUN, END, s_run[_S_AT], known, known, evidence, rate)
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
def _end_bigeminy(
    row: int,
    known: int,
    bigeminy: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if bigeminy[_B_TOLD] == 1:
        n = emit(events, rates, n, row, _BIGEMINY, END, bigeminy[_B_AT], known, known, 0, np.nan)
    bigeminy[:] = 0
    return n


@compiled
def _end_trigeminy(
    row: int,
    known: int,
    trigeminy: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    if trigeminy[_T_TOLD] == 1:
        n = emit(events, rates, n, row, _TRIGEMINY, END, trigeminy[_T_AT], known, known, 0, np.nan)
    trigeminy[:] = 0
    return n


@compiled
def _alternate(
    row: int,
    r: int,
    known: int,
    label: int,
    previous: int,
    rate_hz: float,
    bigeminy: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Bigeminy: a V after every beat that is none, three times over."""
    turns = UNSURE_LABEL not in (label, previous) and (label == _V) != (previous == _V)
    if not turns:
        return _end_bigeminy(row, known, bigeminy, events, rates, n)
    if bigeminy[_B_BEATS] == 0:
        bigeminy[_B_AT] = r
        bigeminy[_B_BEATS] = 1
    bigeminy[_B_BEATS] += 1
    if bigeminy[_B_BEATS] >= BIGEMINY_BEATS and bigeminy[_B_TOLD] == 0 and label == _V:
        bigeminy[_B_TOLD] = 1
        rate = _rate(bigeminy[_B_AT], r, bigeminy[_B_BEATS] - 1, rate_hz)
        n = emit(events, rates, n, row, _BIGEMINY, ONSET, bigeminy[_B_AT], known, known, 6, rate)
    return n


@compiled
def _every_third(
    row: int,
    r: int,
    known: int,
    label: int,
    rate_hz: float,
    trigeminy: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Trigeminy: a V after every two beats that are none, three V at least."""
    if label == _V:
        if trigeminy[_T_VS] > 0 and trigeminy[_T_SINCE] != 2:
            n = _end_trigeminy(row, known, trigeminy, events, rates, n)
        if trigeminy[_T_VS] == 0:
            trigeminy[_T_AT] = r
        trigeminy[_T_VS] += 1
        trigeminy[_T_SINCE] = 0
        if trigeminy[_T_VS] >= TRIGEMINY_VS and trigeminy[_T_TOLD] == 0:
            trigeminy[_T_TOLD] = 1
            rate = _rate(trigeminy[_T_AT], r, 3 * trigeminy[_T_VS] - 2, rate_hz)
            n = emit(events, rates, n, row, _TRIGEMINY, ONSET, trigeminy[_T_AT], known, known, 7, rate)
        return n
    trigeminy[_T_SINCE] += 1
    if trigeminy[_T_SINCE] > 2 or label == UNSURE_LABEL:
        n = _end_trigeminy(row, known, trigeminy, events, rates, n)
    return n


@compiled
def _break_off_row(
    row: int,
    known: int,
    rate_hz: float,
    s_run: NDArray[np.int64],
    bigeminy: NDArray[np.int64],
    trigeminy: NDArray[np.int64],
    latest: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    n = _end_s_run(row, known, rate_hz, s_run, events, rates, n)
    n = _end_bigeminy(row, known, bigeminy, events, rates, n)
    n = _end_trigeminy(row, known, trigeminy, events, rates, n)
    latest[_PREVIOUS_LABEL] = UNSURE_LABEL
    return n


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
    all_latest: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        latest = all_latest[row]
        for item in range(first[place], first[place + 1]):
            at = known[item]
            if sort[item] == VERDICT:
                latest[_FIBRILLATING] = label[item]
                n = _break_off_row(
                    row, at, rate_hz, s_runs[row], bigeminy[row], trigeminy[row], latest, events, rates, n
                )
            if sort[item] != BEAT or latest[_FIBRILLATING] == 1:
                continue
            called = label[item] if quality[item] >= TRUSTED_QUALITY else UNSURE_LABEL
            r = r_sample[item]
            n = _supraventricular(row, r, at, called, rate_hz, s_runs[row], events, rates, n)
            previous = latest[_PREVIOUS_LABEL]
            n = _alternate(row, r, at, called, previous, rate_hz, bigeminy[row], events, rates, n)
            n = _every_third(row, r, at, called, rate_hz, trigeminy[row], events, rates, n)
            latest[_PREVIOUS_LABEL] = called
    return n


@compiled
def _break_off(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    rate_hz: float,
    s_runs: NDArray[np.int64],
    bigeminy: NDArray[np.int64],
    trigeminy: NDArray[np.int64],
    latest: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        known = max(ends[place] - 1, 0)
        n = _break_off_row(
            row, known, rate_hz, s_runs[row], bigeminy[row], trigeminy[row], latest[row], events, rates, n
        )
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
        self._state.add("bigeminy", np.int64, (3,))
        self._state.add("trigeminy", np.int64, (4,))
        self._state.add("latest", np.int64, (2,), np.array([UNSURE_LABEL, 0]))

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
            state["latest"],
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
            state["latest"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])
