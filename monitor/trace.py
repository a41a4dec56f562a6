"""The last seconds of every row as they are shown with an alarm: whole microvolts, as a strip holds them anyway."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray, IntArray
from monitor.rows import Rows

TRACE_S: Final = 36.0
"""Seconds that are kept: a strip's 35, and the block that is under way."""
_MICROVOLTS: Final = 1000.0
_LIMIT: Final = np.iinfo(np.int16).max


class Trace:
    """Ring buffers of filtered samples in microvolt; no stage reads them, and they do not leave with a row.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._length = int(np.ceil(TRACE_S * rate_hz))
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("ring", np.int16, (self._length,))
        self._state.add("begin", np.int64)
        self._state.add("end", np.int64)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows."""
        self._state.grow(capacity)

    def append(self, rows: IntArray, first_sample: IntArray, samples: NDArray[np.float32]) -> None:
        """Add the next samples, millivolt of shape ``[rows, n]``; what does not fit stays at the edge."""
        n = samples.shape[1]
        counts = np.clip(np.rint(samples * _MICROVOLTS), -_LIMIT, _LIMIT).astype(np.int16)
        self._state["ring"][
            rows[:, np.newaxis], (first_sample[:, np.newaxis] + np.arange(n)) % self._length
        ] = counts
        self._state["end"][rows] = first_sample + n

    def restart(self, rows: IntArray, first_sample: IntArray) -> None:
        """Let `rows` go on at `first_sample`, what lies before being of no use."""
        self._state["begin"][rows] = first_sample
        self._state["end"][rows] = first_sample

    def stretch(self, row: int, first_sample: int, end_sample: int) -> tuple[int, FloatArray]:
        """Return what is known of one row between two samples.

        Returns
        -------
        first_sample : int
            Index of the first sample that is there.
        samples : ndarray of float32
            Millivolt; shorter than asked for where the ring or the last restart ends it.
        """
        known_end = int(self._state["end"][row])
        end = min(end_sample, known_end)
        first = min(max(first_sample, int(self._state["begin"][row]), known_end - self._length), end)
        counts = self._state["ring"][row, np.arange(first, end) % self._length]
        return first, counts.astype(np.float32) / np.float32(_MICROVOLTS)
