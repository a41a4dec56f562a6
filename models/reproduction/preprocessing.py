"""The paper's three preprocessing steps in every combination, as an offline study and as the product would do them.

The paper gives neither orders, cut-offs, wavelet nor threshold. The product's are taken: Butterworth high-pass 0.5 Hz
of order 2, low-pass 40 Hz of order 4, and the wavelet shrinkage of `monitor.denoise`. ``zero-phase`` filters a whole
record forwards and backwards and shrinks it as one piece; ``causal`` filters forwards only, and shrinks a segment
that ends where the beat's window does.
"""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from monitor import denoise, filters
from monitor.contract import FloatArray

Step = Literal["high-pass", "low-pass", "wavelet"]
Direction = Literal["zero-phase", "causal"]
STEPS: Final[tuple[Step, ...]] = ("high-pass", "low-pass", "wavelet")
"""In the paper's order."""
DIRECTIONS: Final[tuple[Direction, ...]] = ("zero-phase", "causal")
HALF: Final = 300
"""Samples of a window on each side of the R peak, at every sampling rate, as in the paper."""

_Float64 = NDArray[np.float64]


def combination(name: str) -> tuple[Step, ...]:
    """Return the steps of a name such as ``"high-pass + wavelet"``, in the paper's order.

    Raises
    ------
    ValueError
        If a step is not one of `STEPS`.
    """
    wanted = [part.strip() for part in name.split("+")]
    unknown = [part for part in wanted if part not in STEPS]
    if unknown:
        raise ValueError(f"step {unknown[0]!r}: use {', '.join(STEPS)}, joined by ' + '")
    return tuple(step for step in STEPS if step in wanted)


def sections(step: Step, rate_hz: float) -> _Float64:
    """Return the second-order sections of a Butterworth step, float64 of shape ``[sections, 6]``.

    Raises
    ------
    ValueError
        If the step is the wavelet, which is no filter of sections.
    """
    low_hz, high_hz = filters.CLASSIFIER_BAND_HZ
    if step == "high-pass":
        designed = signal.butter(filters.CLASSIFIER_ORDERS[0], low_hz, "highpass", fs=rate_hz, output="sos")
    elif step == "low-pass":
        designed = signal.butter(filters.CLASSIFIER_ORDERS[1], high_hz, "lowpass", fs=rate_hz, output="sos")
    else:
        raise ValueError(f"{step!r} has no sections; use high-pass or low-pass")
    return np.asarray(designed, np.float64)


def filtered(
    millivolts: FloatArray, rate_hz: float, steps: tuple[Step, ...], direction: Direction
) -> FloatArray:
    """Run the steps that work on a whole record: both filters, and the wavelet where it need not be causal.

    Parameters
    ----------
    millivolts : ndarray of float32, shape ``[n]``
        The record; where it has no valid sample the last valid one is taken.
    rate_hz : float
        Sampling rate.
    steps : tuple of str
        See `STEPS`.
    direction : {'zero-phase', 'causal'}
        See the module.

    Returns
    -------
    ndarray of float32, shape ``[n]``
        Millivolt.
    """
    result = _held(millivolts).astype(np.float64)
    for step in steps:
        if step == "wavelet":
            continue
        cascade = sections(step, rate_hz)
        if direction == "zero-phase":
            result = signal.sosfiltfilt(cascade, result)
        else:
            result, _ = signal.sosfilt(cascade, result, zi=signal.sosfilt_zi(cascade) * result[0])
    whole = result.astype(np.float32)
    if "wavelet" in steps and direction == "zero-phase":
        whole = denoise.denoise(whole[np.newaxis])[0]
    return whole


def cut(
    signal_mv: FloatArray, r_samples: NDArray[np.int64], steps: tuple[Step, ...], direction: Direction
) -> FloatArray:
    """Return the windows around R peaks, float32 of shape ``[beats, 600]``.

    Parameters
    ----------
    signal_mv : ndarray of float32, shape ``[n]``
        What `filtered` returned.
    r_samples : ndarray of int64, shape ``[beats]``
        R peaks, each at least `HALF` samples from both ends.
    steps, direction
        As in `filtered`: a causal wavelet runs here, on a segment that ends with the window.
    """
    if "wavelet" in steps and direction == "causal":
        offsets = np.arange(HALF - denoise.SEGMENT_POINTS, HALF)
        # Before the record began there was nothing: its first sample stands for it.
        segments = signal_mv[np.maximum(r_samples[:, np.newaxis] + offsets, 0)]
        return np.ascontiguousarray(denoise.denoise(segments)[:, -2 * HALF :])
    windows: FloatArray = signal_mv[r_samples[:, np.newaxis] + np.arange(-HALF, HALF)]
    return windows


def _held(millivolts: FloatArray) -> FloatArray:
    """Hold the last valid sample over stretches without one."""
    valid = np.isfinite(millivolts)
    if valid.all():
        return millivolts
    last = np.maximum.accumulate(np.where(valid, np.arange(len(millivolts)), -1))
    first_valid = int(np.argmax(valid))
    held: FloatArray = millivolts[np.maximum(last, first_valid)]
    return held
