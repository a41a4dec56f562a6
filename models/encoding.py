"""What the network sees of a beat: its window without offset and gain, its RR context as squashed logarithms.

Training and live use call the same two functions. Neither looks beyond the window it is given.
"""

from typing import Final

import numpy as np

from monitor.contract import CONTEXT_FIELDS, FloatArray

ENCODING_VERSION: Final = 1
CONTEXT_WIDTH: Final = 2 * len(CONTEXT_FIELDS)

_SMALLEST_SCALE_MV: Final = 1e-6
_LARGEST: Final = 20.0
_TYPICAL_RR_S: Final = 0.8
_SECONDS_STEEPNESS: Final = 1.0
_RATIO_STEEPNESS: Final = 3.0
_IN_SECONDS: Final = np.array([name.endswith("_s") for name in CONTEXT_FIELDS])
_UNIT: Final = np.where(_IN_SECONDS, _TYPICAL_RR_S, 1.0).astype(np.float32)
_STEEPNESS: Final = np.where(_IN_SECONDS, _SECONDS_STEEPNESS, _RATIO_STEEPNESS).astype(np.float32)


def encode_windows(window: FloatArray) -> FloatArray:
    """Take offset and gain out of each window.

    The median goes, then each window is divided by its mean absolute value, which a single spike moves less than a
    standard deviation. Beats beside the middle one keep their relative size: it tells a large beat among small ones.

    Parameters
    ----------
    window : ndarray of float32, shape ``[beats, 600]``
        Millivolt.

    Returns
    -------
    ndarray of float32, shape ``[beats, 600]``
        Without unit, clipped to ±20; zero where the window is flat.
    """
    centred = window - np.median(window, axis=1, keepdims=True)
    scale = np.mean(np.abs(centred), axis=1, keepdims=True, dtype=np.float32)
    encoded = centred / np.maximum(scale, np.float32(_SMALLEST_SCALE_MV))
    clipped: FloatArray = np.clip(encoded, -_LARGEST, _LARGEST).astype(np.float32)
    return clipped


def encode_context(context: FloatArray) -> FloatArray:
    """Turn RR intervals and their ratios into values of -1 to 1, each with a flag that it is known.

    Parameters
    ----------
    context : ndarray of float32, shape ``[beats, 6]``
        See `monitor.contract.CONTEXT_FIELDS`; NaN, or anything not above zero, is unknown.

    Returns
    -------
    ndarray of float32, shape ``[beats, 12]``
        First the six values (0 where unknown), then six flags (1 where known).
    """
    known = np.isfinite(context) & (context > 0)
    logarithm = np.log(np.where(known, context, _UNIT) / _UNIT)
    value = np.tanh(_STEEPNESS * logarithm)
    return np.concatenate([value, known], axis=1, dtype=np.float32)
