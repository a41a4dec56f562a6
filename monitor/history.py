"""The last seconds of every row, addressed by sample index."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import FloatArray, IntArray
from monitor.rows import Rows, RowStage

HISTORY_S: Final = 10.0


@compiled
def _append(
    ring: NDArray[np.float32],
    end: NDArray[np.int64],
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    samples: NDArray[np.float64],
) -> None:
    length = ring.shape[1]
    n = samples.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        first = first_sample[i]
        place = first % length
        for j in range(n):
            ring[row, place] = samples[i, j]
            place += 1
            if place == length:
                place = 0
        end[row] = first + n


class History(RowStage):
    """Ring buffers of filtered samples.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    kept_s : float
        Seconds that the ring holds.
    """

    def __init__(self, rate_hz: float, *, capacity: int, kept_s: float = HISTORY_S) -> None:
        length = int(np.ceil(kept_s * rate_hz))
        self._state = Rows(version=2, capacity=capacity)
        self._state.add("ring", np.float32, (length,))
        self._state.add("begin", np.int64)
        self._state.add("end", np.int64)

    @property
    def ring(self) -> FloatArray:
        """The rings, shape ``[capacity, length]``; sample ``s`` lies at ``s % length``."""
        return self._state["ring"]

    @property
    def begin(self) -> IntArray:
        """First sample since each row's last (re)start."""
        return self._state["begin"]

    @property
    def end(self) -> IntArray:
        """First sample that is not known yet, for each row."""
        return self._state["end"]

    def append(self, rows: IntArray, first_sample: IntArray, samples: NDArray[np.float64]) -> None:
        """Add the next samples, shape ``[rows, n]``."""
        _append(self._state["ring"], self._state["end"], rows, first_sample, samples)

    def claim(self, rows: IntArray, first_sample: IntArray) -> None:
        """Let `rows` begin at `first_sample` with another strap, whose state must hold nothing of the one before."""
        self._state.reset(rows)
        self.restart(rows, first_sample)

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
        ring = self._state["ring"]
        length = ring.shape[1]
        end = min(end_sample, int(self.end[row]))
        first = min(max(first_sample, int(self.begin[row]), int(self.end[row]) - length), end)
        return first, ring[row, np.arange(first, end) % length]
