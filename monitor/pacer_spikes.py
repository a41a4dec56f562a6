"""Spikes of a pacemaker that nothing follows: the R-peak detector takes them for beats, the samples tell them apart.

In the detector's band a spike is as wide as a narrow complex. In the samples it lasts less than 5 ms: a median over
twice that leaves nothing of it, and nearly all of a complex. So the samples around each R peak are looked at as they
are and through the median: where a spike is gone and far less is left than the strap's beats have, nothing that was
captured followed it, and the beat is not trusted. It stays a beat: whether the heart beat there the spike does not say.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import TRUSTED_QUALITY, Block, IntArray, Peaks
from monitor.rows import Rows, RowStage

SPIKE_S: Final = 0.005
"""A spike lasts no longer."""

_BEFORE_S, _AFTER_S = 0.06, 0.1
# As long as search back takes at 60 bpm or more.
_KEPT_S = 1.6
_FAST = 0.4
_STANDS_OUT = 3.0
_LEFT_OF_BEATS = 0.3
_LEARN = 0.125


@compiled
def _median(values: NDArray[np.float32]) -> float:
    kept = np.empty(len(values))
    for k in range(len(values)):
        hole = k
        while hole > 0 and kept[hole - 1] > values[k]:
            kept[hole] = kept[hole - 1]
            hole -= 1
        kept[hole] = values[k]
    return float(kept[len(kept) // 2])


@compiled
def _span(ring: NDArray[np.float32], first: int, last: int, half: int) -> tuple[float, float]:
    """Return what a stretch of samples spans, and its largest change within a spike's length."""
    low, high, change = np.inf, -np.inf, 0.0
    for s in range(first + half, last - half + 1):
        value = float(ring[s % len(ring)])
        low, high = min(low, value), max(high, value)
        change = max(change, abs(value - float(ring[(s - half) % len(ring)])))
    return high - low, change


@compiled
def _span_without_spikes(ring: NDArray[np.float32], first: int, last: int, half: int) -> float:
    """Return what a stretch of samples spans through the median."""
    window = np.empty(2 * half + 1, np.float32)
    low, high = np.inf, -np.inf
    for s in range(first + half, last - half + 1):
        for k in range(-half, half + 1):
            window[k + half] = ring[(s + k) % len(ring)]
        value = _median(window)
        low, high = min(low, value), max(high, value)
    return high - low


@compiled
def _doubt_spikes(
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    samples: NDArray[np.float32],
    peak_rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    known_sample: NDArray[np.int64],
    quality: NDArray[np.float32],
    before: int,
    after: int,
    half: int,
    rings: NDArray[np.float32],
    begun: NDArray[np.int64],
    usual: NDArray[np.float64],
) -> None:
    p = 0
    for position in range(len(rows)):
        row, ring = rows[position], rings[rows[position]]
        at, kept_at = 0, first_sample[position] % rings.shape[1]
        while True:
            # Up to the sample at which a peak became known and no farther, so that blocks do not matter.
            due = p < len(peak_rows) and peak_rows[p] == row
            end = known_sample[p] - first_sample[position] + 1 if due else samples.shape[1]
            while at < end:
                ring[kept_at] = samples[position, at]
                at += 1
                kept_at = kept_at + 1 if kept_at + 1 < len(ring) else 0
            if not due:
                break
            first, last = r_sample[p] - before, min(r_sample[p] + after, known_sample[p])
            if first >= begun[row] and first > known_sample[p] - len(ring):
                span, change = _span(ring, first, last, half)
                # The median of every beat would cost a third of what the detector does; few change so fast.
                left = span
                if change > _FAST * span:
                    left = _span_without_spikes(ring, first, last, half)
                if usual[row] > 0.0 and span > _STANDS_OUT * left and left < _LEFT_OF_BEATS * usual[row]:
                    quality[p] = 0.0
                elif quality[p] >= TRUSTED_QUALITY:
                    usual[row] += (left - usual[row]) * (_LEARN if usual[row] > 0.0 else 1.0)
            p += 1


class SpikeBank(RowStage):
    """Tells R peaks that are nothing but a spike, over the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._before, self._after = round(_BEFORE_S * rate_hz), round(_AFTER_S * rate_hz)
        self._half = max(1, int(np.ceil(SPIKE_S * rate_hz)))
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("ring", np.float32, (round(_KEPT_S * rate_hz),))
        self._state.add("begun", np.int64)
        self._state.add("usual", np.float64)

    def process(self, block: Block, peaks: Peaks) -> Peaks:
        """Take the next raw samples and the R peaks found in them; return these, lone spikes with a quality of 0."""
        quality = peaks.quality.copy()
        _doubt_spikes(
            block.rows,
            block.first_sample,
            block.samples,
            peaks.rows,
            peaks.r_sample,
            peaks.known_sample,
            quality,
            self._before,
            self._after,
            self._half,
            self._state["ring"],
            self._state["begun"],
            self._state["usual"],
        )
        return replace(peaks, quality=quality)

    def restart(self, rows: IntArray, first_sample: IntArray) -> None:
        """Let `rows` go on at `first_sample` after a gap; what beats were is kept."""
        self._state["begun"][rows] = first_sample

    def begin(self, rows: IntArray, first_sample: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        self.restart(rows, first_sample)
