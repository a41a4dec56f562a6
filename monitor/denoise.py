"""Wavelet denoising of a window that slides with the signal: each beat's window is cleaned as it closes.

The window that is transformed reaches further back than the beat's own (`SEGMENT_POINTS` against 600 points), so that
only the right edge, which no causal method can see beyond, needs an extension: the signal is mirrored there
(half-sample symmetric). Details of levels 1 to 3 (22 to 180 Hz on the 360 Hz grid) are shrunk by the non-negative
garrote (Gao 1998) at the universal threshold of Donoho and Johnstone (1994), with the noise of each level estimated
from the median absolute deviation of that level in this window: no sample outside it is used, and scaling the signal
scales the answer.
"""

from typing import Final

import numpy as np
import pywt
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import FloatArray

SEGMENT_POINTS: Final = 1024
GRID_HZ: Final = 360.0
WAVELET: Final = "sym4"
LEVELS: Final = 3
EXTENSION: Final = "symmetric"
# A Gaussian's standard deviation over its median absolute deviation.
_MAD_TO_SIGMA: Final = np.float32(1.4826)
_HALF: Final = np.float32(0.5)


@compiled
def _select(values: NDArray[np.float32], k: int) -> float:
    """Return the ``k``-th smallest value; those before it are moved there (Hoare, "Find", Commun. ACM 4, 1961)."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]  # type: ignore[no-any-return] # a float32


@compiled
def _shrink(details: NDArray[np.float32], universal: float) -> None:
    """Shrink each row's coefficients in place by the garrote, at `universal` times the row's own noise."""
    points = details.shape[1]
    magnitude = np.empty(points, np.float32)
    for row in range(len(details)):
        for k in range(points):
            magnitude[k] = abs(details[row, k])
        middle = _select(magnitude, points // 2)
        if points % 2 == 0:
            middle = (magnitude[: points // 2].max() + middle) * _HALF
        threshold = np.float32(np.float64(middle * _MAD_TO_SIGMA) * universal)
        square = threshold * threshold
        for k in range(points):
            d = details[row, k]
            details[row, k] = d - square / d if abs(d) > threshold else np.float32(0.0)


def denoise(segments: FloatArray) -> FloatArray:
    """Denoise segments of signal, each by itself.

    Parameters
    ----------
    segments : ndarray of float32, shape ``[segments, 1024]``
        Millivolt on the 360 Hz grid.

    Returns
    -------
    ndarray of float32, shape ``[segments, 1024]``
        The same, denoised.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81 (1994).
    H.-Y. Gao, "Wavelet shrinkage denoising using the non-negative garrote", J. Comput. Graph. Stat. 7 (1998).
    """
    if len(segments) == 0:
        return segments
    coefficients = pywt.wavedec(segments, WAVELET, mode=EXTENSION, level=LEVELS, axis=-1)
    universal = float(np.sqrt(2.0 * np.log(segments.shape[1])))
    for details in coefficients[1:]:
        _shrink(details, universal)
    cleaned: FloatArray = pywt.waverec(coefficients, WAVELET, mode=EXTENSION, axis=-1)[:, : segments.shape[1]]
    return np.ascontiguousarray(cleaned, dtype=np.float32)
