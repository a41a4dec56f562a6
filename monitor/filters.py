"""Causal Butterworth filters over a bank: one path for the classifier's eye, one for the detector's.

Both are cascades of second-order sections with kept state, so the answer is the same to the last bit however the
samples are cut into blocks. `scipy.signal.sosfilt` is the reference; over many rows a compiled loop does the same
sums in the same order, rows side by side, and gives the same bits. After a (re)start the state begins as if the first
sample had lasted for ever, which leaves a transient of the high-pass only; `SETTLING_S` states how long it is not
trusted.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from monitor.compiled import compiled
from monitor.contract import Block, BoolArray, IntArray
from monitor.rows import Rows, RowStage

Float64Array = NDArray[np.float64]

CLASSIFIER_BAND_HZ: Final = (0.5, 40.0)
CLASSIFIER_ORDERS: Final = (2, 4)
DETECTOR_BAND_HZ: Final = (5.0, 35.0)
DETECTOR_ORDER: Final = 2
POSITION_BAND_HZ: Final = (6.0, 20.0)
NOTCH_QUALITY: Final = 20.0
SETTLING_S: Final = 1.5

_FEW_ROWS: Final = 4
_MANY_SAMPLES: Final = 100
"""Of up to so few rows scipy is quicker at long blocks: the compiled loop always works on `_SIDE_BY_SIDE` rows."""
_SIDE_BY_SIDE: Final = 32
_STRETCH: Final = 64
_DESIGNS_KEPT: Final = 64


def classifier_sections(rate_hz: float, mains_hz: float | None = None) -> Float64Array:
    """Design the classifier's path: high-pass 0.5 Hz (order 2), low-pass 40 Hz (order 4), optional mains notch.

    Parameters
    ----------
    rate_hz : float
        Sampling rate, 100 Hz or more.
    mains_hz : float, optional
        Mains frequency to notch out. It is left out where it lies at or above half the sampling rate: a notch
        does not exist there, and neither does the mains.

    Returns
    -------
    ndarray of float64, shape ``[sections, 6]``
        Second-order sections for `scipy.signal.sosfilt`.
    """
    return _classifier_sections(rate_hz, mains_hz).copy()


# Designing costs as much as all the rest of a new bank.
@lru_cache(_DESIGNS_KEPT)
def _classifier_sections(rate_hz: float, mains_hz: float | None) -> Float64Array:
    low_hz, high_hz = CLASSIFIER_BAND_HZ
    parts = [
        signal.butter(CLASSIFIER_ORDERS[0], low_hz, "highpass", fs=rate_hz, output="sos"),
        signal.butter(CLASSIFIER_ORDERS[1], high_hz, "lowpass", fs=rate_hz, output="sos"),
    ]
    if mains_hz is not None and mains_hz < 0.49 * rate_hz:
        parts.append(signal.tf2sos(*signal.iirnotch(mains_hz, NOTCH_QUALITY, fs=rate_hz)))
    return np.concatenate(parts)


def detector_sections(rate_hz: float) -> Float64Array:
    """Design the detector's band-pass, 5 to 35 Hz (order 2): a QRS complex, and what tells it from other waves.

    Returns
    -------
    ndarray of float64, shape ``[sections, 6]``
        Second-order sections.
    """
    return _band_pass(rate_hz, DETECTOR_BAND_HZ, DETECTOR_ORDER).copy()


def position_sections(rate_hz: float) -> Float64Array:
    """Design the band, 6 to 20 Hz (order 1), through which the detector's band gives an R peak's position.

    Returns
    -------
    ndarray of float64, shape ``[1, 6]``
        One second-order section.
    """
    return _band_pass(rate_hz, POSITION_BAND_HZ, 1).copy()


@lru_cache(_DESIGNS_KEPT)
def _band_pass(rate_hz: float, band_hz: tuple[float, float], order: int) -> Float64Array:
    sections: Float64Array = signal.butter(order, band_hz, "bandpass", fs=rate_hz, output="sos")
    return sections


def group_delay_s(sections: Float64Array, rate_hz: float, at_hz: float) -> float:
    """Return the delay of a cascade at one frequency, in seconds.

    Parameters
    ----------
    sections : ndarray, shape ``[sections, 6]``
        The cascade.
    rate_hz, at_hz : float
        Sampling rate, and the frequency of interest.
    """
    step_hz = 0.05
    _, response = signal.sosfreqz(sections, worN=[at_hz - step_hz, at_hz + step_hz], fs=rate_hz)
    phase = np.unwrap(np.angle(response))
    return float(-(phase[1] - phase[0]) / (2 * np.pi * 2 * step_hz))


@compiled
def _cascade(  # noqa: C901, PLR0912 - one pass: turned, filtered and turned back while it is in the cache
    rows: NDArray[np.int64],
    samples: NDArray[np.float32],
    sections: Float64Array,
    states: Float64Array,
    filtered: Float64Array,
) -> None:
    """Run the cascade over blocks of rows, turned so that a sample of all rows lies in one stretch of memory."""
    count = len(sections)
    tile = np.zeros((_STRETCH, _SIDE_BY_SIDE))
    first, second = np.zeros((count, _SIDE_BY_SIDE)), np.zeros((count, _SIDE_BY_SIDE))
    for top in range(0, len(rows), _SIDE_BY_SIDE):
        beside = min(_SIDE_BY_SIDE, len(rows) - top)
        for k in range(beside):
            for q in range(count):
                first[q, k] = states[rows[top + k], q, 0]
                second[q, k] = states[rows[top + k], q, 1]
        for begin in range(0, samples.shape[1], _STRETCH):
            length = min(_STRETCH, samples.shape[1] - begin)
            for k in range(beside):
                for j in range(length):
                    tile[j, k] = samples[top + k, begin + j]
            for j in range(length):
                line = tile[j]
                for q in range(count):
                    b0, b1, b2 = sections[q, 0], sections[q, 1], sections[q, 2]
                    a1, a2 = sections[q, 4], sections[q, 5]
                    one, two = first[q], second[q]
                    for k in range(_SIDE_BY_SIDE):
                        x = line[k]
                        y = b0 * x + one[k]
                        one[k] = b1 * x - a1 * y + two[k]
                        two[k] = b2 * x - a2 * y
                        line[k] = y
            for k in range(beside):
                for j in range(length):
                    filtered[top + k, begin + j] = tile[j, k]
        for k in range(beside):
            for q in range(count):
                states[rows[top + k], q, 0] = first[q, k]
                states[rows[top + k], q, 1] = second[q, k]


class FilterBank(RowStage):
    """One cascade, run over the rows of a bank.

    Parameters
    ----------
    sections : ndarray, shape ``[sections, 6]``
        The cascade.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, sections: Float64Array, *, capacity: int) -> None:
        self._sections = np.ascontiguousarray(sections, np.float64)
        self._steady = signal.sosfilt_zi(self._sections)
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("zi", np.float64, self._steady.shape)
        self._state.add("begun", np.bool_)

    def process(self, block: Block) -> Float64Array:
        """Filter a block.

        Returns
        -------
        ndarray of float64, shape ``[rows, n]``
            The filtered samples.
        """
        if block.samples.shape[1] == 0:
            return np.empty(block.samples.shape, np.float64)
        states = self._state["zi"]
        fresh: BoolArray = ~self._state["begun"][block.rows]
        if fresh.any():
            begun = block.samples[fresh, 0].astype(np.float64)
            states[block.rows[fresh]] = self._steady * begun[:, np.newaxis, np.newaxis]
            self._state["begun"][block.rows] = True
        filtered: Float64Array
        if len(block.rows) > _FEW_ROWS or block.samples.shape[1] < _MANY_SAMPLES:
            filtered = np.empty(block.samples.shape, np.float64)
            _cascade(block.rows, np.ascontiguousarray(block.samples), self._sections, states, filtered)
            return filtered
        state = np.ascontiguousarray(states[block.rows].transpose(1, 0, 2))
        filtered, after = signal.sosfilt(self._sections, block.samples, axis=-1, zi=state)
        states[block.rows] = after.transpose(1, 0, 2)
        return filtered

    def restart(self, rows: IntArray) -> None:
        """Forget the past of `rows`: their next sample is a first one."""
        self._state.reset(rows)
