"""Ventricular flutter and fibrillation, seen in the signal itself: no QRS complexes, one fast wave after the other.

Every half second the last four seconds of the signal, band-passed, are measured: how much of a wave is left when it is
added to itself half a period later (the leakage of the VF filter: little is left of a sine), how steep its steepest
slopes are beside the others (QRS complexes are few and steep), and for what share of the time it is away from zero.
Running shakes the signal too, but not as one sine; asystole has no amplitude.

References
----------
S. Kuo, R. Dillman, "Computer detection of ventricular fibrillation", Computers in Cardiology (1978): the leakage.
M. A. Arafat, A. W. Chowdhury, M. K. Hasan, "A simple time domain algorithm for the detection of ventricular
fibrillation in electrocardiogram", Signal Image Video Process. 5 (2011): the share of time away from zero.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter

from monitor.compiled import compiled
from monitor.contract import FloatArray, IntArray
from monitor.rhythm.items import Verdicts
from monitor.rows import Rows, RowStage

WINDOW_S: Final = 4.0
HOP_S: Final = 0.5
BAND_HZ: Final = (1.0, 30.0)
MEASURED_HZ: Final = 125.0
"""About this rate is enough to measure at; whole samples are averaged to come near it."""
AMPLITUDE_MV: Final = 0.15
WAVES_HZ: Final = (2.0, 10.0)
LEAKAGE_BELOW: Final = 0.50
STEEPNESS_BELOW: Final = 7.0
AWAY_ABOVE: Final = 0.45
AWAY_FROM: Final = 0.2
"""Share of a second's own extremum beyond which a sample is away from zero."""
STILL_MV: Final = 1e-6
"""A window that moves by less in all stands still; what is left of it in the filters would divide by nothing."""
HOPS_ON: Final = 2
LEAKAGE_OVER: Final = 0.66
STEEPNESS_OVER: Final = 10.0
HOPS_OFF: Final = 4
BRIDGED_GAP_S: Final = 10.0
_PENDING: Final = 8

_FILLED, _PART, _ON, _COUNT, _FIRST, _N_PENDING, _WAITING = range(7)
_DECIMATION, _WINDOW, _HOP, _HOP_SAMPLES = range(4)


@compiled
def _unrolled(ring: NDArray[np.float64], end: int, x: NDArray[np.float64]) -> None:
    """Write the ring's values up to `end` into `x`, the oldest first, their mean taken off."""
    at = end % len(ring)
    x[: len(ring) - at] = ring[at:]
    x[len(ring) - at :] = ring[:at]
    x -= x.mean()


@compiled
def _waves(x: NDArray[np.float64]) -> tuple[float, float]:
    """Return how many values a wave takes, endless where nothing moves, and how steep the steepest slopes are."""
    size, change, second, fourth = abs(x[0]), 0.0, 0.0, 0.0
    for k in range(1, len(x)):
        size += abs(x[k])
        step = abs(x[k] - x[k - 1])
        d = step * step
        change += step
        second += d
        fourth += d * d
    if change < STILL_MV:
        return np.inf, 0.0
    return 2.0 * np.pi * size / change, fourth * (len(x) - 1) / (second * second)


@compiled
def _leakage(x: NDArray[np.float64], period: float) -> float:
    """Return what is left of the signal when it is added to itself half a period later."""
    half = int(period / 2.0 + 0.5)
    if half < 1 or half >= len(x) // 2:
        return 1.0
    left, whole = 0.0, 0.0
    for k in range(half, len(x)):
        left += abs(x[k] + x[k - half])
        whole += abs(x[k]) + abs(x[k - half])
    return left / whole


@compiled
def _away(x: NDArray[np.float64]) -> float:
    """Return the share of time away from zero."""
    quarter = len(x) // 4
    away = 0
    for part in range(4):
        highest = 0.0
        for k in range(part * quarter, (part + 1) * quarter):
            highest = max(highest, abs(x[k]))
        for k in range(part * quarter, (part + 1) * quarter):
            if abs(x[k]) > AWAY_FROM * highest:
                away += 1
    return away / (4 * quarter)


@compiled
def _amplitude(x: NDArray[np.float64]) -> float:
    """Return how far the signal goes, but for the fiftieth part at either end, millivolt."""
    ordered = np.sort(x)
    return float(ordered[len(x) - 1 - len(x) // 50] - ordered[len(x) // 50])


@compiled
def _watch(
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    samples: NDArray[np.float64],
    settings: NDArray[np.int64],
    sections: NDArray[np.float64],
    rate_hz: float,
    integers: NDArray[np.int64],
    memories: NDArray[np.float64],
    sums: NDArray[np.float64],
    rings: NDArray[np.float64],
    pending: NDArray[np.int64],
    pending_rate: NDArray[np.float64],
) -> None:
    decimation = settings[_DECIMATION]
    x = np.empty(settings[_WINDOW])
    per_s = rate_hz / decimation
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        memory = memories[row]
        ring = rings[row]
        for j in range(samples.shape[1]):
            s = first_sample[place] + j
            sums[row] += samples[place, j]
            i[_PART] += 1
            if i[_PART] < decimation:
                continue
            value = sums[row] / decimation
            sums[row] = 0.0
            i[_PART] = 0
            for k in range(len(sections)):
                section = sections[k]
                y = section[0] * value + memory[k, 0]
                memory[k, 0] = section[1] * value - section[4] * y + memory[k, 1]
                memory[k, 1] = section[2] * value - section[5] * y
                value = y
            ring[i[_FILLED] % len(ring)] = value
            i[_FILLED] += 1
            if i[_FILLED] < settings[_WINDOW] or i[_FILLED] % settings[_HOP] != 0:
                continue
            # What costs most is asked last: in a heart that beats, QRS complexes are steeper than any wave of this.
            _unrolled(ring, i[_FILLED], x)
            period, steepness = _waves(x)
            waves_hz = per_s / period
            moves = WAVES_HZ[0] <= waves_hz <= WAVES_HZ[1]
            if i[_ON] == 0:
                like = (
                    moves
                    and steepness < STEEPNESS_BELOW
                    and _away(x) > AWAY_ABOVE
                    and _leakage(x, period) < LEAKAGE_BELOW
                    and _amplitude(x) >= AMPLITUDE_MV
                )
                i[_COUNT] = i[_COUNT] + 1 if like else 0
                if i[_COUNT] == 1:
                    i[_FIRST] = max(s - settings[_HOP_SAMPLES] * 7, 0)
                turns = i[_COUNT] >= HOPS_ON
            else:
                unlike = (
                    not moves
                    or steepness > STEEPNESS_OVER
                    or _leakage(x, period) > LEAKAGE_OVER
                    or _amplitude(x) < AMPLITUDE_MV
                )
                i[_COUNT] = i[_COUNT] + 1 if unlike else 0
                if i[_COUNT] == 1:
                    i[_FIRST] = max(s - settings[_HOP_SAMPLES] * 4, i[_FIRST])
                turns = i[_COUNT] >= HOPS_OFF
            if turns and i[_N_PENDING] < len(pending[row]):
                i[_ON] = 1 - i[_ON]
                i[_COUNT] = 0
                k = i[_N_PENDING]
                pending[row, k, 0] = s
                pending[row, k, 1] = i[_FIRST]
                pending[row, k, 2] = i[_ON]
                pending_rate[row, k] = 60.0 * waves_hz
                i[_N_PENDING] = k + 1


class FibrillationBank(RowStage):
    """Watches the signal in the rows of a bank for ventricular flutter and fibrillation.

    Delay: 4 to 5 s after the onset. What it found waits to be taken by `take`.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        decimation = max(1, round(rate_hz / MEASURED_HZ))
        measured_hz = rate_hz / decimation
        hop = round(HOP_S * measured_hz)
        self._settings = np.array([decimation, round(WINDOW_S * measured_hz), hop, hop * decimation])
        self._sections = butter(2, BAND_HZ, "bandpass", fs=measured_hz, output="sos")
        self._state = Rows(version=1, capacity=capacity)
        # Values in the ring, samples in the present average, fibrillation, hops in a row, where they began, pending.
        self._state.add("integers", np.int64, (7,))
        self._state.add("memory", np.float64, (len(self._sections), 2))
        self._state.add("sum", np.float64)
        self._state.add("ring", np.float64, (int(self._settings[_WINDOW]),))
        self._state.add("pending", np.int64, (_PENDING, 3))
        self._state.add("pending_rate", np.float64, (_PENDING,))

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def process(
        self, rows: IntArray, first_sample: IntArray, samples: FloatArray | NDArray[np.float64]
    ) -> None:
        """Take the next samples.

        Parameters
        ----------
        rows, first_sample : ndarray of int64, shape ``[rows]``
            Rows, and the index of each one's first sample.
        samples : ndarray, shape ``[rows, n]``
            Millivolt, filtered by `monitor.filters.classifier_sections`.
        """
        state = self._state
        _watch(
            rows,
            first_sample,
            np.ascontiguousarray(samples, np.float64),
            self._settings,
            self._sections,
            self._rate_hz,
            state["integers"],
            state["memory"],
            state["sum"],
            state["ring"],
            state["pending"],
            state["pending_rate"],
        )

    def take(self, rows: IntArray) -> Verdicts:
        """Return what was found in `rows` since it was last taken."""
        state = self._state
        count = state["integers"][rows, _N_PENDING]
        with_news = rows[count > 0]
        if not len(with_news):
            return Verdicts.empty()
        found = [
            (row, *state["pending"][row, k].tolist(), float(state["pending_rate"][row, k]))
            for row in with_news.tolist()
            for k in range(int(state["integers"][row, _N_PENDING]))
        ]
        state["integers"][with_news, _N_PENDING] = 0
        return _verdicts(found)

    def restart(
        self, rows: IntArray, end: IntArray, first_sample: IntArray, *, for_good: bool = False
    ) -> Verdicts:
        """Let `rows` go on at `first_sample` after a gap from `end` on; what is under way lasts over a short one."""
        state = self._state
        found = []
        for row, last, first in zip(rows.tolist(), end.tolist(), first_sample.tolist(), strict=True):
            under_way = state["integers"][row, _ON] == 1
            long = for_good or first - last > BRIDGED_GAP_S * self._rate_hz
            if under_way and long:
                found.append((row, max(last - 1, 0), max(last - 1, 0), 0, float("nan")))
            began = state["integers"][row, _FIRST]
            self._state.reset(np.array([row]), ("integers", "memory", "sum", "ring"))
            if under_way and not long:
                state["integers"][row, _ON] = 1
                state["integers"][row, _FIRST] = began
        return _verdicts(found)


def _verdicts(found: list[tuple[int, int, int, int, float]]) -> Verdicts:
    if not found:
        return Verdicts.empty()
    row, known, onset, begins, rate = zip(*found, strict=True)
    return Verdicts(
        rows=np.array(row, np.int64),
        known_sample=np.array(known, np.int64),
        onset_sample=np.array(onset, np.int64),
        begins=np.array(begins, np.int64) == 1,
        rate_bpm=np.array(rate, np.float64),
    )
