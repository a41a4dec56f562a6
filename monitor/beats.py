"""Beats: the window around each R peak, cut as it closes, with the RR intervals known by then.

A beat waits for the samples up to 0.833 s after its R peak. The window is laid on a 360 Hz grid of 600 points whatever
the sampling rate (Lanczos interpolation; at 360 Hz the samples themselves), denoised in a segment that reaches
further back (`monitor.denoise`), and never sees a sample beyond its own right edge. Everything that shapes the
window's numbers is named in `input_path_version`, so weights cannot meet a window they were not trained for.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor import denoise, filters, template
from monitor.compiled import compiled
from monitor.contract import (
    CONTEXT_FIELDS,
    UNSURE_LABEL,
    WINDOW_POINTS,
    Beats,
    BoolArray,
    FloatArray,
    IntArray,
    Peaks,
)
from monitor.history import History
from monitor.rows import Rows, RowStage

WAITING: Final = 32
"""Beats that can wait for their window at once. The detector keeps 0.2 s between peaks and knows each within 3 s, so
no more than twenty can."""
LATEST_S: Final = 6.0
"""An R peak recovered later than this gets no window: the history may no longer hold what it needs."""
RR_KEPT: Final = 16
MAX_RR_S: Final = 10.0
_LANCZOS: Final = 4
_HALF: Final = WINDOW_POINTS // 2

Resembles = Callable[[IntArray, FloatArray], BoolArray]


def input_path_version() -> str:
    """Return a hash of everything that shapes a beat's window, template and context."""
    described = {
        "layout": 2,
        "band_hz": filters.CLASSIFIER_BAND_HZ,
        "orders": filters.CLASSIFIER_ORDERS,
        "grid_hz": denoise.GRID_HZ,
        "points": WINDOW_POINTS,
        "segment": denoise.SEGMENT_POINTS,
        "wavelet": [denoise.WAVELET, denoise.LEVELS, denoise.EXTENSION, "garrote", "universal"],
        "lanczos": _LANCZOS,
        "context": CONTEXT_FIELDS,
        "rr": [RR_KEPT, MAX_RR_S],
        "template": template.described(),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


def _interpolation(rate_hz: float) -> tuple[IntArray, FloatArray]:
    """Return offsets from the R peak, ``[points, taps]``, and their weights, which lay a segment on the 360 Hz grid."""
    grid = np.arange(_HALF - denoise.SEGMENT_POINTS, _HALF) * (rate_hz / denoise.GRID_HZ)
    if rate_hz == denoise.GRID_HZ:
        return grid.astype(np.int64)[:, np.newaxis], np.ones((len(grid), 1), np.float32)
    taps = np.arange(-_LANCZOS + 1, _LANCZOS + 1)
    offsets = np.floor(grid).astype(np.int64)[:, np.newaxis] + taps
    distance = grid[:, np.newaxis] - offsets
    weights = np.where(np.abs(distance) < _LANCZOS, np.sinc(distance) * np.sinc(distance / _LANCZOS), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    return offsets, weights.astype(np.float32)


@compiled
def _cut(
    ring: NDArray[np.float32],
    begin: NDArray[np.int64],
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    last_offset: int,
    offsets: NDArray[np.int64],
    weights: NDArray[np.float32],
    segments: NDArray[np.float32],
) -> None:
    length = ring.shape[1]
    points, taps = offsets.shape
    for i in range(len(rows)):
        row = rows[i]
        r = r_sample[i]
        first = max(begin[row], r + last_offset + 1 - length)
        begun_at = first % length
        for j in range(points):
            value = np.float32(0.0)
            for k in range(taps):
                # Nothing beyond the window's own last sample, nothing before the signal began.
                s = min(max(r + offsets[j, k], first), r + last_offset)
                place = begun_at + s - first
                value += weights[j, k] * ring[row, place if place < length else place - length]
            segments[i, j] = value


@compiled
def _enqueue(
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    known_sample: NDArray[np.int64],
    quality: NDArray[np.float32],
    rate_hz: float,
    last_r: NDArray[np.int64],
    rr: NDArray[np.float64],
    rr_count: NDArray[np.int64],
    waiting: NDArray[np.int64],
    waiting_count: NDArray[np.int64],
    waiting_quality: NDArray[np.float32],
    waiting_rr: NDArray[np.float32],
) -> None:
    kept = rr.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        before = np.nan
        if last_r[row] >= 0:
            before = (r_sample[i] - last_r[row]) / rate_hz
            if before > MAX_RR_S:
                before = np.nan
        count = rr_count[row]
        median = np.nan
        previous = np.nan
        if count > 0:
            median = np.median(rr[row, : min(count, kept)])
            previous = rr[row, (count - 1) % kept]
        slot = waiting_count[row]
        if slot < waiting.shape[1]:
            waiting[row, slot, 0] = r_sample[i]
            waiting[row, slot, 1] = known_sample[i]
            waiting_quality[row, slot] = quality[i]
            waiting_rr[row, slot, 0] = before
            waiting_rr[row, slot, 1] = median
            waiting_rr[row, slot, 2] = previous
            waiting_count[row] = slot + 1
        if not np.isnan(before):
            rr[row, count % kept] = before
            rr_count[row] = count + 1
        last_r[row] = r_sample[i]


@compiled
def _close(
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    last_offset: int,
    latest: int,
    cut_short: bool,  # noqa: FBT001 - numba passes by position
    rate_hz: float,
    waiting: NDArray[np.int64],
    waiting_count: NDArray[np.int64],
    waiting_quality: NDArray[np.float32],
    waiting_rr: NDArray[np.float32],
    out: NDArray[np.int64],
    out_quality: NDArray[np.float32],
    out_context: NDArray[np.float32],
) -> int:
    n = 0
    for i in range(len(rows)):
        row = rows[i]
        count = waiting_count[row]
        taken = 0
        while taken < count and n < len(out):
            r = waiting[row, taken, 0]
            known = max(r + last_offset, waiting[row, taken, 1])
            closed = known < ends[i]
            if not closed and not cut_short:
                break
            if not closed:
                known = max(ends[i] - 1, waiting[row, taken, 1])
            complete = closed and known - r <= latest
            after = np.nan
            if taken + 1 < count and waiting[row, taken + 1, 1] <= known:
                after = (waiting[row, taken + 1, 0] - r) / rate_hz
            before = waiting_rr[row, taken, 0]
            median = waiting_rr[row, taken, 1]
            out[n, 0] = row
            out[n, 1] = r
            out[n, 2] = known
            out[n, 3] = 1 if complete else 0
            out_quality[n] = waiting_quality[row, taken]
            out_context[n, 0] = before
            out_context[n, 1] = after
            out_context[n, 2] = median
            out_context[n, 3] = before / median
            out_context[n, 4] = after / median
            out_context[n, 5] = before / waiting_rr[row, taken, 2]
            n += 1
            taken += 1
        for k in range(taken, count):
            waiting[row, k - taken] = waiting[row, k]
            waiting_quality[row, k - taken] = waiting_quality[row, k]
            waiting_rr[row, k - taken] = waiting_rr[row, k]
        waiting_count[row] = count - taken
    return n


class BeatBank(RowStage):
    """Holds R peaks until their window is complete, then cuts, interpolates and denoises it.

    Delay: 0.833 s after the R peak, of which nothing can be saved while the window is what it is.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._offsets, self._weights = _interpolation(rate_hz)
        self.last_offset = int(np.ceil((_HALF - 1) * rate_hz / denoise.GRID_HZ))
        self._latest = round(LATEST_S * rate_hz)
        self.not_denoised = 0
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("last_r", np.int64, fill=-1)
        self._state.add("rr", np.float64, (RR_KEPT,))
        self._state.add("rr_count", np.int64)
        self._state.add("waiting", np.int64, (WAITING, 2))
        self._state.add("waiting_count", np.int64)
        self._state.add("waiting_quality", np.float32, (WAITING,))
        self._state.add("waiting_rr", np.float32, (WAITING, 3))

    def process(
        self, rows: IntArray, peaks: Peaks, history: History, *, resembles: Resembles | None = None
    ) -> Beats:
        """Take new peaks and return the beats whose window is complete by now.

        Parameters
        ----------
        rows : ndarray of int64, shape ``[rows]``
            Rows that have new samples.
        peaks : Peaks
            What the detector found in them.
        history : History
            The classifier path's samples, the newest included.
        resembles : callable, optional
            Tells of windows, given their rows, which of them are not worth denoising; by default all are denoised.
        """
        state = self._state
        if len(peaks):
            _enqueue(
                peaks.rows,
                peaks.r_sample,
                peaks.known_sample,
                peaks.quality,
                self._rate_hz,
                state["last_r"],
                state["rr"],
                state["rr_count"],
                state["waiting"],
                state["waiting_count"],
                state["waiting_quality"],
                state["waiting_rr"],
            )
        return self._take(rows, history, cut_short=False, resembles=resembles)

    def cut_short(self, rows: IntArray, history: History) -> Beats:
        """Return the beats that still wait, incomplete: the signal ends here or a gap follows.

        The next RR interval of each row is void.
        """
        beats = self._take(rows, history, cut_short=True)
        self._state.reset(rows, ("last_r",))
        return beats

    def forget(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def _take(
        self, rows: IntArray, history: History, *, cut_short: bool, resembles: Resembles | None = None
    ) -> Beats:
        state = self._state
        room = int(state["waiting_count"][rows].sum())
        if room == 0:
            return Beats.empty()
        out = np.empty((room, 4), np.int64)
        quality = np.empty(room, np.float32)
        context = np.full((room, len(CONTEXT_FIELDS)), np.nan, np.float32)
        n = _close(
            rows,
            history.end[rows],
            self.last_offset,
            self._latest,
            cut_short,
            self._rate_hz,
            state["waiting"],
            state["waiting_count"],
            state["waiting_quality"],
            state["waiting_rr"],
            out,
            quality,
            context,
        )
        if n == 0:
            return Beats.empty()
        found = out[:n]
        complete = found[:, 3].astype(np.bool_)
        window = np.zeros((n, WINDOW_POINTS), np.float32)
        window[complete] = self._windows(found[complete, 0], found[complete, 1], history, resembles)
        return Beats(
            rows=found[:, 0].copy(),
            r_sample=found[:, 1].copy(),
            known_sample=found[:, 2].copy(),
            rr_s=context[:n, 0].copy(),
            quality=quality[:n],
            complete=complete,
            window=window,
            template=np.zeros((n, WINDOW_POINTS), np.float32),
            context=context[:n],
            probabilities=np.zeros((n, 5), np.float32),
            label=np.full(n, UNSURE_LABEL, np.int8),
        )

    def _windows(
        self, rows: IntArray, r_sample: IntArray, history: History, resembles: Resembles | None
    ) -> FloatArray:
        segments = np.empty((len(rows), denoise.SEGMENT_POINTS), np.float32)
        _cut(
            history.ring,
            history.begin,
            rows,
            r_sample,
            self.last_offset,
            self._offsets,
            self._weights,
            segments,
        )
        if resembles is None:
            return denoise.denoise(segments)[:, -WINDOW_POINTS:]
        window = segments[:, -WINDOW_POINTS:].copy()
        left = resembles(rows, window)
        window[~left] = denoise.denoise(segments[~left])[:, -WINDOW_POINTS:]
        self.not_denoised += int(left.sum())
        return window
