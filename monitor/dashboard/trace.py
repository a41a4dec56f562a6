"""One athlete's waveform on its way to the screen: arrives in stretches, leaves as a smooth scroll."""

import math
from typing import Final, NamedTuple

import numpy as np

from monitor.contract import FloatArray
from monitor.dashboard.braille import envelope
from monitor.live_state import WaveMessage

KEPT_S: Final = 24.0
"""Seconds of signal that a trace remembers."""
DELAY_S: Final = 0.4
"""The scroll runs this far behind the newest sample, so that uneven arrival does not make it stutter."""
_JUMP_S: Final = 1.5
_RANGED_S: Final = 10.0
_MIN_SPAN_MV: Final = 0.6
_MAX_SPAN_MV: Final = 12.0


class Mark(NamedTuple):
    """A beat on the screen: its dot column from the left, and its class (empty while not yet classified)."""

    dot: int
    label: str


class TraceWindow(NamedTuple):
    """What is to be drawn: envelope ``[dots]`` in mV, vertical range in mV, and the beats in it."""

    low: FloatArray
    high: FloatArray
    bottom: float
    top: float
    marks: tuple[Mark, ...]


class Trace:
    """The last seconds of an athlete's waveform.

    Times given to the methods are seconds of any one steady clock.
    """

    def __init__(self) -> None:
        self.heard_at: float | None = None
        self._boot = -1
        self._rate_hz = 0.0
        self._ring: FloatArray = np.full(0, np.nan, np.float32)
        self._end = 0
        self._position = 0.0
        self._played_at = 0.0
        self._beats: dict[int, str] = {}
        self._range: tuple[float, float] | None = None
        self._ranged_at = -math.inf

    @property
    def rate_hz(self) -> float:
        """Sampling rate; 0 before the first stretch."""
        return self._rate_hz

    def add(self, message: WaveMessage, now: float) -> None:
        """Take in one stretch; a new boot or rate begins the trace anew, a hole stays a hole."""
        samples = np.frombuffer(message.microvolts, dtype="<i2").astype(np.float32) / np.float32(1000.0)
        begun_anew = (
            message.boot != self._boot
            or message.rate_hz != self._rate_hz
            or message.first_sample < self._end - len(self._ring)
        )
        if begun_anew:
            self._begin(message, now)
        if len(samples):
            self._place(
                samples[-len(self._ring) :], message.first_sample + max(0, len(samples) - len(self._ring))
            )
        for peak in message.peaks:
            self._beats.setdefault(peak, "")
        for r_sample, label in message.beats:
            self._beats[r_sample] = label
        oldest = self._end - len(self._ring)
        if len(self._beats) > 16 and min(self._beats) < oldest:
            self._beats = {r: label for r, label in self._beats.items() if r >= oldest}
        self.heard_at = now

    def _begin(self, message: WaveMessage, now: float) -> None:
        self._boot, self._rate_hz = message.boot, message.rate_hz
        self._ring = np.full(math.ceil(KEPT_S * message.rate_hz), np.nan, np.float32)
        self._end = message.first_sample
        self._position = message.first_sample - DELAY_S * message.rate_hz
        self._played_at = now
        self._beats.clear()
        self._range = None

    def _place(self, samples: FloatArray, first: int) -> None:
        size, end = len(self._ring), first + len(samples)
        if first > self._end:
            hole = np.arange(max(self._end, first - size), first) % size
            self._ring[hole] = np.nan
        self._ring[np.arange(first, end) % size] = samples
        self._end = max(self._end, end)

    def play(self, now: float) -> None:
        """Move the scroll on to `now`; it never runs past the newest sample."""
        if self._rate_hz == 0.0:
            return
        elapsed, self._played_at = max(0.0, now - self._played_at), now
        target = self._end - DELAY_S * self._rate_hz
        behind_s = (target - self._position) / self._rate_hz
        if abs(behind_s) > _JUMP_S:
            self._position = target
            return
        # A little faster or slower than real time, in proportion to how far the newest sample has run ahead or lags.
        speed = min(2.0, max(0.0, 1.0 + 0.5 * behind_s))
        self._position = min(self._position + elapsed * speed * self._rate_hz, float(self._end))

    def window(self, dots: int, dots_per_s: float, now: float) -> TraceWindow | None:
        """Return the newest `dots` dot columns at `dots_per_s`; None before the first sample.

        Columns are anchored to the sample counter, so that a column looks the same wherever the scroll is.
        """
        if self._rate_hz == 0.0 or dots <= 0:
            return None
        after = math.floor(self._position * dots_per_s / self._rate_hz)
        edges = np.ceil(np.arange(after - dots, after + 1) * (self._rate_hz / dots_per_s)).astype(np.int64)
        size = len(self._ring)
        first, end = int(edges[0]), int(edges[-1])
        samples = self._ring[np.arange(first, end) % size]
        known_from, known_until = self._end - size, self._end
        if first < known_from:
            samples[: known_from - first] = np.nan
        if end > known_until:
            samples[max(0, known_until - first) :] = np.nan
        low, high = envelope(samples, edges - first)
        bottom, top = self._vertical_range(now)
        marks = tuple(
            Mark(math.floor(r_sample * dots_per_s / self._rate_hz) - (after - dots), label)
            for r_sample, label in sorted(self._beats.items())
            if first <= r_sample < end
        )
        return TraceWindow(low, high, bottom, top, marks)

    def _vertical_range(self, now: float) -> tuple[float, float]:
        """Return the range to draw: grows at once, shrinks slowly, so that one tall beat does not make it jump."""
        if self._range is not None and now - self._ranged_at < 0.5:
            return self._range
        self._ranged_at = now
        recent = self._ring[
            np.arange(self._end - int(_RANGED_S * self._rate_hz), self._end) % len(self._ring)
        ]
        known = recent[np.isfinite(recent)]
        if not len(known):
            return self._range or (-_MIN_SPAN_MV / 2, _MIN_SPAN_MV / 2)
        low, high = float(known.min()), float(known.max())
        middle = float(np.median(known))
        low, high = max(low, middle - _MAX_SPAN_MV / 2), min(high, middle + _MAX_SPAN_MV / 2)
        lacking = _MIN_SPAN_MV - (high - low)
        if lacking > 0:
            low, high = low - lacking / 2, high + lacking / 2
        if self._range is not None:
            was_low, was_high = self._range
            low = was_low + 0.1 * (low - was_low) if low > was_low else low
            high = was_high + 0.1 * (high - was_high) if high < was_high else high
        self._range = (low, high)
        return self._range
