"""Heart rate from the R peaks, the phase of effort it tells of, and rates beyond the athlete's limits.

The phase follows a slow mean of the rate, so that a rate which jumps within seconds, as no exercise makes it, is still
measured by the limits of the phase before. Episodes last over short gaps: after one the rate is read anew.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    EFFORT_PHASES,
    TRUSTED_QUALITY,
    EffortPhase,
    IntArray,
    RhythmKind,
)
from monitor.rhythm.items import BEAT, END, NEVER, ONSET, PEAK, VERDICT, Found, Items, emit, room_for
from monitor.rhythm.limits import AthleteLimits
from monitor.rows import Rows, RowStage

RATE_BEATS: Final = 8
SUSTAINED_S: Final = 5.0
"""How long a rate must lie beyond its limit before it is an episode."""
HYSTERESIS_BPM: Final = 5.0
BRIDGED_GAP_S: Final = 10.0
"""Episodes last over gaps up to this long, if the rate that is read after it is still beyond the limit."""
RESUME_WITHIN_S: Final = 15.0
"""So soon after a gap the rate must have been read again."""
SLOW_S: Final = 20.0
"""Time constant of the mean rate that tells the phase of effort."""
EFFORT_FROM: Final = 0.40
"""Share of the heart-rate reserve from which on it is effort."""
RECOVERED_AT: Final = 0.20
RECOVERY_FALL: Final = 0.15
"""Share of the reserve by which the mean rate has fallen from its height when recovery begins."""
RECOVERY_LONGEST_S: Final = 300.0
ZONES_FROM: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Heart-rate zones by their lower end, as shares of the athlete's maximum; zone 0 is below 50 %."""

KINDS: Final[tuple[RhythmKind, ...]] = ("bradycardia", "tachycardia", "rate_above_maximum")
_SLOW_RATE, _FAST_RATE, _ABOVE = range(3)
_KINDS = 3
_REST, _EFFORT, _RECOVERY = range(3)
_LAST_R, _COUNT, _FIBRILLATING, _PHASE, _SINCE, _RESUME_BY = range(6)
_SLOW, _HEIGHT, _LOW = range(3)
_FIRST, _ONSET = range(2)
_L_SLOW, _L_SLOW_EFFORT, _L_FAST, _L_FAST_REST, _L_RESTING, _L_MAXIMUM = range(6)


@compiled
def _mean_rate(rr: NDArray[np.float64], count: int) -> float:
    kept = min(count, RATE_BEATS)
    if kept == 0:
        return np.nan
    total = 0.0
    for k in range(kept):
        total += rr[k]
    return 60.0 * kept / total


@compiled
def _follow_phase(
    r: int,
    rr_s: float,
    rate: float,
    rate_hz: float,
    limits: NDArray[np.float64],
    i: NDArray[np.int64],
    f: NDArray[np.float64],
) -> None:
    if np.isnan(f[_SLOW]):
        f[_SLOW] = rate
    else:
        f[_SLOW] += (rate - f[_SLOW]) * (1.0 - np.exp(-rr_s / SLOW_S))
    reserve = limits[_L_MAXIMUM] - limits[_L_RESTING]
    share = (f[_SLOW] - limits[_L_RESTING]) / reserve
    if i[_PHASE] == _EFFORT:
        f[_HEIGHT] = max(f[_HEIGHT], f[_SLOW])
        if f[_SLOW] < f[_HEIGHT] - RECOVERY_FALL * reserve or share < RECOVERED_AT:
            i[_PHASE] = _RECOVERY
            i[_SINCE] = r
            f[_LOW] = f[_SLOW]
        return
    if i[_PHASE] == _RECOVERY:
        f[_LOW] = min(f[_LOW], f[_SLOW])
        over = (r - i[_SINCE]) / rate_hz > RECOVERY_LONGEST_S and share < EFFORT_FROM
        if share < RECOVERED_AT or over:
            i[_PHASE] = _REST
            i[_SINCE] = r
        elif share >= EFFORT_FROM and f[_SLOW] > f[_LOW] + RECOVERY_FALL * reserve:
            i[_PHASE] = _EFFORT
            i[_SINCE] = r
            f[_HEIGHT] = f[_SLOW]
        return
    if share >= EFFORT_FROM:
        i[_PHASE] = _EFFORT
        i[_SINCE] = r
        f[_HEIGHT] = f[_SLOW]


@compiled
def _judge(  # noqa: C901 - three limits by one rule; numba inlines no closures
    row: int,
    r: int,
    known: int,
    rate: float,
    rate_hz: float,
    limits: NDArray[np.float64],
    i: NDArray[np.int64],
    episodes: NDArray[np.int64],
    own_limits: NDArray[np.float64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    i[_RESUME_BY] = NEVER
    slow = limits[_L_SLOW]
    if i[_PHASE] == _EFFORT:
        slow = max(slow, limits[_L_SLOW_EFFORT])
    fast = limits[_L_FAST]
    if i[_PHASE] == _REST:
        fast = min(fast, limits[_L_FAST_REST])
    for kind in range(_KINDS):
        under_way = episodes[kind, _ONSET] >= 0
        limit = slow
        if kind == _FAST_RATE:
            limit = fast
        elif kind == _ABOVE:
            limit = limits[_L_MAXIMUM]
        if under_way:
            # An episode is measured by the limit that began it, whatever phase the rate then seems to tell of.
            limit = own_limits[kind]
        beyond = rate < limit if kind == _SLOW_RATE else rate > limit
        back = rate > limit + HYSTERESIS_BPM if kind == _SLOW_RATE else rate < limit - HYSTERESIS_BPM
        if under_way:
            if back:
                n = emit(events, rates, n, row, kind, END, episodes[kind, _ONSET], known, known, 0, rate)
                episodes[kind, :] = -1
        elif not beyond:
            episodes[kind, _FIRST] = -1
        elif episodes[kind, _FIRST] < 0:
            episodes[kind, _FIRST] = r
            own_limits[kind] = limit
        elif (r - episodes[kind, _FIRST]) / rate_hz >= SUSTAINED_S:
            episodes[kind, _ONSET] = episodes[kind, _FIRST]
            own_limits[kind] = limit
            n = emit(events, rates, n, row, kind, ONSET, episodes[kind, _FIRST], known, known, 0, rate)
    return n


@compiled
def _end_all(
    row: int,
    known: int,
    rate: float,
    episodes: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
    n: int,
) -> int:
    for kind in range(_KINDS):
        if episodes[kind, _ONSET] >= 0:
            n = emit(events, rates, n, row, kind, END, episodes[kind, _ONSET], known, known, 0, rate)
        episodes[kind, :] = -1
    return n


@compiled
def _advance(  # noqa: C901 - one pass over the items, in the order in which they became known
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: NDArray[np.int64],
    sort: NDArray[np.int64],
    known: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    quality: NDArray[np.float64],
    rate_hz: float,
    all_limits: NDArray[np.float64],
    integers: NDArray[np.int64],
    floats: NDArray[np.float64],
    rings: NDArray[np.float64],
    all_episodes: NDArray[np.int64],
    all_own_limits: NDArray[np.float64],
    phases: NDArray[np.int64],
    zones: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        f = floats[row]
        rr = rings[row]
        limits = all_limits[row]
        episodes = all_episodes[row]
        for item in range(first[place], first[place + 1]):
            if i[_RESUME_BY] < known[item]:
                n = _end_all(row, i[_RESUME_BY], np.nan, episodes, events, rates, n)
                i[_RESUME_BY] = NEVER
            if sort[item] == VERDICT:
                i[_FIBRILLATING] = label[item]
                if label[item] == 1:
                    n = _end_all(row, known[item], _mean_rate(rr, i[_COUNT]), episodes, events, rates, n)
                i[_COUNT] = 0
                i[_LAST_R] = -1
            elif sort[item] == PEAK and i[_FIBRILLATING] == 0:
                r = r_sample[item]
                if i[_LAST_R] >= 0 and r > i[_LAST_R]:
                    rr_s = (r - i[_LAST_R]) / rate_hz
                    rr[i[_COUNT] % RATE_BEATS] = rr_s
                    i[_COUNT] += 1
                    if i[_COUNT] >= RATE_BEATS and quality[item] >= TRUSTED_QUALITY:
                        rate = _mean_rate(rr, i[_COUNT])
                        n = _judge(
                            row,
                            r,
                            known[item],
                            rate,
                            rate_hz,
                            limits,
                            i,
                            episodes,
                            all_own_limits[row],
                            events,
                            rates,
                            n,
                        )
                        _follow_phase(r, rr_s, rate, rate_hz, limits, i, f)
                i[_LAST_R] = r
            if sort[item] == BEAT:
                phases[item] = i[_PHASE]
                zone = 0
                for k in range(1, len(ZONES_FROM)):
                    if f[_SLOW] >= ZONES_FROM[k] * limits[_L_MAXIMUM]:
                        zone = k
                zones[item] = zone
        if i[_RESUME_BY] < ends[place]:
            n = _end_all(row, i[_RESUME_BY], np.nan, episodes, events, rates, n)
            i[_RESUME_BY] = NEVER
    return n


@compiled
def _break_off(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    rate_hz: float,
    for_good: bool,  # noqa: FBT001 - numba passes by position
    integers: NDArray[np.int64],
    rings: NDArray[np.float64],
    all_episodes: NDArray[np.int64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        episodes = all_episodes[row]
        gap = first_sample[place] - ends[place]
        if for_good or gap > BRIDGED_GAP_S * rate_hz:
            rate = _mean_rate(rings[row], i[_COUNT])
            n = _end_all(row, max(ends[place] - 1, 0), rate, episodes, events, rates, n)
            i[_RESUME_BY] = NEVER
        else:
            under_way = False
            for kind in range(_KINDS):
                if episodes[kind, _ONSET] >= 0:
                    under_way = True
                else:
                    episodes[kind, _FIRST] = -1
            if under_way and i[_RESUME_BY] == NEVER:
                i[_RESUME_BY] = first_sample[place] + round(RESUME_WITHIN_S * rate_hz)
        i[_LAST_R] = -1
        i[_COUNT] = 0
    return n


class RateMachine(RowStage):
    """Reads the heart rate in the rows of a bank.

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
        # Last R peak, intervals so far, fibrillation, phase, since when, until when a rate must be read again.
        self._state.add("integers", np.int64, (6,), np.array([-1, 0, 0, _REST, 0, NEVER]))
        self._state.add("floats", np.float64, (3,), np.nan)
        self._state.add("rr", np.float64, (RATE_BEATS,))
        self._state.add("episodes", np.int64, (_KINDS, 2), -1)
        self._state.add("own_limits", np.float64, (_KINDS,))
        self._state.add("limits", np.float64, (6,))

    def begin(self, rows: IntArray, limits: AthleteLimits) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        self.set_limits(rows, limits)

    def set_limits(self, rows: IntArray, limits: AthleteLimits) -> None:
        """Change the limits of `rows`; they hold from the next beat on."""
        self._state["limits"][rows] = (
            limits.bradycardia_bpm,
            limits.bradycardia_effort_bpm,
            limits.tachycardia_bpm,
            limits.tachycardia_rest_bpm,
            limits.resting_bpm,
            limits.maximum_bpm,
        )

    def restart(self, rows: IntArray, end: IntArray, first_sample: IntArray, *, for_good: bool) -> Found:
        """Let `rows` go on at `first_sample` after a gap from `end` on; the intervals over it are void."""
        state = self._state
        events, rates = room_for(len(rows), 0)
        n = _break_off(
            rows,
            end,
            first_sample,
            self._rate_hz,
            for_good,
            state["integers"],
            state["rr"],
            state["episodes"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])

    def process(self, items: Items) -> tuple[Found, IntArray, IntArray]:
        """Take what became known.

        Returns
        -------
        found : Found
            Events.
        phases, zones : ndarray of int64, shape ``[items]``
            Index in `monitor.contract.EFFORT_PHASES` and heart-rate zone at each beat; undefined for other items.
        """
        state = self._state
        events, rates = room_for(len(items.rows), len(items))
        phases, zones = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
        n = _advance(
            items.rows,
            items.ends,
            items.first,
            items.sort,
            items.known,
            items.r_sample,
            items.label,
            items.quality,
            self._rate_hz,
            state["limits"],
            state["integers"],
            state["floats"],
            state["rr"],
            state["episodes"],
            state["own_limits"],
            phases,
            zones,
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n]), phases, zones

    def rate_bpm(self, row: int) -> float:
        """Return the mean heart rate over the last beats of one row; NaN until there are two, and after a gap."""
        return float(_mean_rate(self._state["rr"][row], int(self._state["integers"][row, _COUNT])))

    def phase(self, row: int) -> EffortPhase:
        """Return the phase of effort of one row."""
        return EFFORT_PHASES[int(self._state["integers"][row, _PHASE])]

    def zone(self, row: int) -> int:
        """Return the heart-rate zone of one row, 0 to 5."""
        share = self._state["floats"][row, _SLOW] / self._state["limits"][row, _L_MAXIMUM]
        return sum(bool(share >= lower) for lower in ZONES_FROM[1:])
