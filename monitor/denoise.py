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

from monitor.contract import FloatArray

SEGMENT_POINTS: Final = 1024
GRID_HZ: Final = 360.0
WAVELET: Final = "sym4"
LEVELS: Final = 3
EXTENSION: Final = "symmetric"
# A Gaussian's standard deviation over its median absolute deviation.
_MAD_TO_SIGMA: Final = 1.4826


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
    universal = np.sqrt(2.0 * np.log(segments.shape[1]))
    shrunk: list[NDArray[np.float32]] = [coefficients[0]]
    for details in coefficients[1:]:
        sigma = np.median(np.abs(details), axis=-1, keepdims=True) * _MAD_TO_SIGMA
        threshold = (sigma * universal).astype(np.float32)
        magnitude = np.abs(details)
        kept = magnitude > threshold
        # The garrote d - t²/d, written so that nothing is divided where nothing is kept.
        safe = np.where(kept, details, np.float32(1.0))
        shrunk.append(np.where(kept, details - threshold * threshold / safe, np.float32(0.0)))
    cleaned: FloatArray = pywt.waverec(shrunk, WAVELET, mode=EXTENSION, axis=-1)[:, : segments.shape[1]]
    return np.ascontiguousarray(cleaned, dtype=np.float32)
