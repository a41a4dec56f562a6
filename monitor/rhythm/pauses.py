"""Pauses and asystole: read from the R peaks and from the clock itself.

A pause is known `monitor.rpeaks.MAX_DELAY_S` after it has become one, since an R peak may take that long to be known.
No quality vetoes an asystole. A gap is neither; but over short gaps the time without beats adds up, else a link that
loses a packet every few seconds would hide an asystole.

While an electrode's pop blocks the amplifier (`monitor.rhythm.blocked`) no interval is a pause, and an asystole counts
from the end of it, but it is told `BLOCKED_FACTOR` times its own time after the last beat at the latest: nothing
hides it for good.

In an asystole the atria may go on, and P waves may be taken for R peaks. A peak whose window shows no QRS, once it is
known, counts for nothing: four seconds after the last QRS that is an asystole too, and only a QRS ends it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import WINDOW_S, IntArray, RhythmKind
from monitor.rhythm.items import BEAT, BLOCKED, END, NEVER, ONSET, PEAK, VERDICT, Found, Items, emit, room_for
from monitor.rhythm.limits import AthleteLimits
from monitor.rows import Rows, RowStage
from monitor.rpeaks import MAX_DELAY_S

FIRST_BEAT_S: Final = 6.0
"""Grace at the start before missing beats count: the filters settle and the detector learns, which takes it up to nine
seconds where the heart beats only every 1.6 s."""
AFTER_GAP_S: Final = 4.0
"""The same after a gap."""
GAP_GRACE_S: Final = 2.0
"""The same after a short one, for the time that is added up: the detector has learnt already."""

BLOCKED_FACTOR: Final = 2.5

KINDS: Final[tuple[RhythmKind, ...]] = ("pause", "long_pause", "asystole")
_ASYSTOLE = 2
_KINDS = 3
_NO_QRS = 3
"""What falls due beside the kinds: asystole since the last QRS, though there were peaks."""
_LAST_R, _SINCE, _UNBEATEN, _FIBRILLATING, _BLOCKED, _VOID, _LAST_QRS, _WITHOUT_QRS, _QRS_VOID = range(9)
_MARGIN, _FIRST_GRACE, _AFTER_GAP, _GAP_GRACE, _BEAT_MARGIN = range(5)


@compiled
def _fall_due(
    row: int,
    until: int,
    settings: NDArray[np.int64],
    i: NDArray[np.int64],
    deadline: NDArray[np.int64],
    paused: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Let the clock reach `until`: whatever falls due before it happens now, the earliest first."""
    while True:
        which = 0
        for k in range(1, _KINDS + 1):
            if deadline[k] < deadline[which]:
                which = k
        known = deadline[which]
        if known >= until:
            return n
        deadline[which] = NEVER
        if which == _NO_QRS:
            if paused[_ASYSTOLE] < 0 and i[_FIBRILLATING] == 0 and i[_QRS_VOID] == 0:
                i[_WITHOUT_QRS] = 1
                paused[_ASYSTOLE] = i[_LAST_QRS]
                seen = known - settings[_BEAT_MARGIN]
                n = emit(events, rates, n, row, _ASYSTOLE, ONSET, i[_LAST_QRS], known, seen, 0, np.nan)
            continue
        # In fibrillation the missing beat is no news; that nothing at all moves any more is.
        if i[_FIBRILLATING] == 1 and which != _ASYSTOLE:
            continue
        # No second asystole from the last P wave on within the one from the last QRS on.
        if paused[which] >= 0:
            continue
        onset = i[_LAST_R] if i[_LAST_R] >= 0 else i[_SINCE]
        paused[which] = onset
        # A beat within the margin may not be known yet: until there, none was.
        n = emit(events, rates, n, row, which, ONSET, onset, known, known - settings[_MARGIN], 0, np.nan)


@compiled
def _end(
    row: int,
    at: int,
    known: int,
    paused: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    for k in range(_KINDS):
        if paused[k] >= 0:
            n = emit(events, rates, n, row, k, END, paused[k], known, at, 0, np.nan)
            paused[k] = -1
    return n


@compiled
def _peak(
    row: int,
    r: int,
    known: int,
    margin: int,
    longest: NDArray[np.int64],
    i: NDArray[np.int64],
    deadline: NDArray[np.int64],
    paused: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    last_r = i[_LAST_R]
    if last_r >= 0:
        # An interval that was too long, though its second peak became known before the deadline.
        for k in range(_KINDS):
            silenced = (i[_FIBRILLATING] == 1 or i[_VOID] == 1) and k != _ASYSTOLE
            silenced = silenced or (i[_VOID] == 1 and r - last_r < BLOCKED_FACTOR * longest[k])
            if paused[k] < 0 and r - last_r >= longest[k] and not silenced:
                paused[k] = last_r
                n = emit(events, rates, n, row, k, ONSET, last_r, known, r, 0, np.nan)
    without_qrs = paused[_ASYSTOLE]
    if i[_WITHOUT_QRS] == 1:
        paused[_ASYSTOLE] = -1
    n = _end(row, r, known, paused, events, rates, n)
    if i[_WITHOUT_QRS] == 1:
        paused[_ASYSTOLE] = without_qrs
    i[_LAST_R] = r
    i[_UNBEATEN] = 0
    i[_VOID] = i[_BLOCKED]
    for k in range(_KINDS):
        # A peak that was recovered late leaves nothing to fall due before the sample at which it became known.
        deadline[k] = max(r + margin + longest[k], known)
    if i[_BLOCKED] == 1:
        _hold_back(r, margin, longest, deadline)
    return n


@compiled
def _beat(
    row: int,
    r: int,
    known: int,
    is_qrs: bool,  # noqa: FBT001 - numba passes by position
    asystole: int,
    margin: int,
    i: NDArray[np.int64],
    deadline: NDArray[np.int64],
    paused: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    """Take what a peak's window has shown: a QRS, or none."""
    if is_qrs:
        if i[_WITHOUT_QRS] == 1:
            n = emit(events, rates, n, row, _ASYSTOLE, END, paused[_ASYSTOLE], known, r, 0, np.nan)
            paused[_ASYSTOLE] = -1
            i[_WITHOUT_QRS] = 0
        i[_LAST_QRS] = r
        i[_QRS_VOID] = i[_BLOCKED]
        deadline[_NO_QRS] = NEVER
    elif i[_LAST_QRS] >= 0 and i[_QRS_VOID] == 0 and i[_WITHOUT_QRS] == 0 and deadline[_NO_QRS] == NEVER:
        deadline[_NO_QRS] = max(i[_LAST_QRS] + asystole + margin, known)
    return n


@compiled
def _hold_back(r: int, margin: int, longest: NDArray[np.int64], deadline: NDArray[np.int64]) -> None:
    """Let pauses wait for the next beat, and an asystole longer than usual."""
    for k in range(_KINDS):
        if k != _ASYSTOLE:
            deadline[k] = NEVER
        elif deadline[k] != NEVER:
            deadline[k] = max(deadline[k], r + margin + int(BLOCKED_FACTOR * longest[k]))


@compiled
def _block(
    begins: int,
    known: int,
    margin: int,
    longest: NDArray[np.int64],
    i: NDArray[np.int64],
    deadline: NDArray[np.int64],
) -> None:
    i[_BLOCKED] = begins
    i[_QRS_VOID] = max(i[_QRS_VOID], begins)
    if i[_LAST_R] < 0:
        return
    if begins == 1:
        i[_VOID] = 1
        _hold_back(i[_LAST_R], margin, longest, deadline)
    elif deadline[_ASYSTOLE] != NEVER:
        deadline[_ASYSTOLE] = min(deadline[_ASYSTOLE], known + margin + longest[_ASYSTOLE])


@compiled
def _advance(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: NDArray[np.int64],
    sort: NDArray[np.int64],
    known: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    is_qrs: NDArray[np.bool_],
    settings: NDArray[np.int64],
    longest: NDArray[np.int64],
    integers: NDArray[np.int64],
    deadlines: NDArray[np.int64],
    pauses: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    margin = settings[_MARGIN]
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        deadline = deadlines[row]
        paused = pauses[row]
        for item in range(first[place], first[place + 1]):
            n = _fall_due(row, known[item], settings, i, deadline, paused, events, rates, n)
            if sort[item] == PEAK:
                n = _peak(
                    row,
                    r_sample[item],
                    known[item],
                    margin,
                    longest[row],
                    i,
                    deadline,
                    paused,
                    events,
                    rates,
                    n,
                )
            elif sort[item] == BEAT:
                n = _beat(
                    row,
                    r_sample[item],
                    known[item],
                    is_qrs[item],
                    longest[row, _ASYSTOLE],
                    settings[_BEAT_MARGIN],
                    i,
                    deadline,
                    paused,
                    events,
                    rates,
                    n,
                )
            elif sort[item] == VERDICT:
                i[_FIBRILLATING] = label[item]
            elif sort[item] == BLOCKED:
                _block(label[item], known[item], margin, longest[row], i, deadline)
        n = _fall_due(row, ends[place], settings, i, deadline, paused, events, rates, n)
    return n


@compiled
def _await(
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    grace: int,
    settings: NDArray[np.int64],
    longest: NDArray[np.int64],
    integers: NDArray[np.int64],
    deadlines: NDArray[np.int64],
) -> None:
    """Wait for the first beat from `first_sample` on."""
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        i[_LAST_R] = -1
        i[_SINCE] = first_sample[place]
        i[_BLOCKED] = 0
        i[_VOID] = 0
        i[_LAST_QRS] = -1
        i[_WITHOUT_QRS] = 0
        i[_QRS_VOID] = 0
        deadlines[row, :] = NEVER
        asystole = longest[row, _ASYSTOLE]
        due = first_sample[place] + grace + asystole + settings[_MARGIN]
        if i[_UNBEATEN] > 0:
            rest = max(asystole - i[_UNBEATEN], 0)
            due = min(due, first_sample[place] + settings[_GAP_GRACE] + settings[_MARGIN] + rest)
        deadlines[row, _ASYSTOLE] = due


@compiled
def _break_off(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    settings: NDArray[np.int64],
    longest: NDArray[np.int64],
    integers: NDArray[np.int64],
    pauses: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    """End what is under way, and add up how long no beat was seen before the gap."""
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        seen_from = i[_SINCE] + settings[_GAP_GRACE]
        if i[_LAST_R] >= 0:
            i[_UNBEATEN] = 0
            seen_from = i[_LAST_R]
        if first_sample[place] - ends[place] > longest[row, _ASYSTOLE]:
            # A gap as long as an asystole says nothing.
            i[_UNBEATEN] = 0
        else:
            i[_UNBEATEN] += max(ends[place] - settings[_MARGIN] - seen_from, 0)
        known = max(ends[place] - 1, 0)
        n = _end(row, known, known, pauses[row], events, rates, n)
    return n


class PauseMachine(RowStage):
    """Finds pauses and asystole in the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._settings = np.array(
            [round(seconds * rate_hz) for seconds in (MAX_DELAY_S, FIRST_BEAT_S, AFTER_GAP_S, GAP_GRACE_S)]
            + [int(np.ceil(WINDOW_S * rate_hz)) + 1]
        )
        self._state = Rows(version=5, capacity=capacity)
        # Last R peak, from where missing beats count, samples without a beat before short gaps,
        # fibrillation, blocked, whether the interval under way was blocked, last QRS, asystole with peaks in it,
        # whether it was blocked since the last QRS.
        self._state.add("integers", np.int64, (9,), np.array([-1, 0, 0, 0, 0, 0, -1, 0, 0]))
        self._state.add("longest", np.int64, (_KINDS,))
        self._state.add("deadline", np.int64, (_KINDS + 1,), NEVER)
        self._state.add("paused", np.int64, (_KINDS,), -1)

    def begin(self, rows: IntArray, first_sample: IntArray, limits: AthleteLimits) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        self.set_limits(rows, limits)
        self._await(rows, first_sample, _FIRST_GRACE)

    def set_limits(self, rows: IntArray, limits: AthleteLimits) -> None:
        """Change the limits of `rows`; they hold from the next beat on."""
        seconds = (limits.pause_s, limits.long_pause_s, limits.asystole_s)
        self._state["longest"][rows] = [round(s * self._rate_hz) for s in seconds]

    def restart(self, rows: IntArray, end: IntArray, first_sample: IntArray) -> Found:
        """Let `rows` go on at `first_sample` after a gap from `end` on."""
        state = self._state
        events, rates = room_for(len(rows), 0)
        n = _break_off(
            rows,
            end,
            first_sample,
            self._settings,
            state["longest"],
            state["integers"],
            state["paused"],
            events,
            rates,
        )
        self._await(rows, first_sample, _AFTER_GAP)
        return Found(KINDS, events[:n], rates[:n])

    def process(self, items: Items) -> Found:
        """Take what became known."""
        state = self._state
        events, rates = room_for(len(items.rows), len(items))
        n = _advance(
            items.rows,
            items.ends,
            items.first,
            items.sort,
            items.known,
            items.r_sample,
            items.label,
            items.is_qrs,
            self._settings,
            state["longest"],
            state["integers"],
            state["deadline"],
            state["paused"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])

    def is_paused(self, row: int) -> bool:
        """Whether a pause or an asystole is under way."""
        return bool((self._state["paused"][row] >= 0).any())

    def _await(self, rows: IntArray, first_sample: IntArray, grace: int) -> None:
        state = self._state
        samples = int(self._settings[grace])
        _await(
            rows,
            first_sample,
            samples,
            self._settings,
            state["longest"],
            state["integers"],
            state["deadline"],
        )
