"""What the network sees of a beat: window and template in the athlete's own measure, context as squashed logarithms.

Training and live use call the same two functions. Neither looks beyond what it is given.
"""

from typing import Final

import numpy as np

from monitor.contract import CONTEXT_FIELDS, WINDOW_POINTS, FloatArray

ENCODING_VERSION: Final = 2
CHANNELS: Final = 2
"""Window and template."""
CONTEXT_WIDTH: Final = 2 * len(CONTEXT_FIELDS)

_SMALLEST_SCALE_MV: Final = 1e-6
_LARGEST: Final = 20.0
_AROUND_R: Final = slice(WINDOW_POINTS // 2 - 90, WINDOW_POINTS // 2 + 90)
_TYPICAL: Final = {
    "rr_before_s": 0.8,
    "rr_after_s": 0.8,
    "rr_median_s": 0.8,
    "rr_spread_ratio": 1.15,
    "rr_step_ratio": 0.06,
    "rr_long_step_ratio": 0.05,
    "qrs_steep_s": 0.12,
    "qrs_spread_s": 0.025,
    "qrs_rest_ratio": 0.2,
    "p_height_ratio": 0.2,
}
"""What is neither small nor large, for fields that are not 1 then."""
_STEEP: Final = {"rr_before_s": 1.0, "rr_after_s": 1.0, "rr_median_s": 1.0, "rr_spread_ratio": 2.0}
_GENTLE: Final = ("rr_step_ratio", "rr_long_step_ratio", "qrs_rest_ratio", "p_size_ratio", "p_height_ratio")
_IS_LOGARITHMIC: Final = np.array([name.endswith(("_s", "_ratio")) for name in CONTEXT_FIELDS])
_UNIT: Final = np.array([_TYPICAL.get(name, 1.0) for name in CONTEXT_FIELDS], np.float32)
_STEEPNESS: Final = np.array(
    [_STEEP.get(name, 0.7 if name in _GENTLE else 3.0) for name in CONTEXT_FIELDS], np.float32
)


def encode_windows(window: FloatArray, template: FloatArray) -> FloatArray:
    """Take the offset out of window and template, and measure both by the athlete's own usual beat.

    The median goes. Both are then divided by the template's mean absolute value around its R peak, so that a beat
    larger or smaller than the athlete's usual ones looks so; as long as there is no template, by the window's own.

    Parameters
    ----------
    window, template : ndarray of float32, shape ``[beats, 600]``
        Millivolt; a template that is flat is none.

    Returns
    -------
    ndarray of float32, shape ``[beats, 2, 600]``
        Without unit, clipped to ±20; zero where there is nothing.
    """
    both = np.stack([window, template], axis=1)
    both = both - np.median(both, axis=2, keepdims=True)
    scale: FloatArray = np.abs(both[:, :, _AROUND_R]).mean(axis=2, dtype=np.float32)
    own, usual = scale[:, :1], scale[:, 1:]
    measure = np.maximum(np.where(usual > _SMALLEST_SCALE_MV, usual, own), np.float32(_SMALLEST_SCALE_MV))
    encoded = both / measure[:, :, np.newaxis]
    clipped: FloatArray = np.clip(encoded, -_LARGEST, _LARGEST).astype(np.float32, copy=False)
    return clipped


def encode_context(context: FloatArray) -> FloatArray:
    """Turn the context into values of -1 to 1, each with a flag that it is known.

    Parameters
    ----------
    context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
        See `monitor.contract.CONTEXT_FIELDS`; what is not finite, and a time or ratio not above zero, is unknown.

    Returns
    -------
    ndarray of float32, shape ``[beats, 2 * len(CONTEXT_FIELDS)]``
        First the values (0 where unknown), then the flags (1 where known).
    """
    known = np.isfinite(context) & (~_IS_LOGARITHMIC | (context > 0))
    logarithm = np.log(np.where(known & _IS_LOGARITHMIC, context, _UNIT) / _UNIT)
    plain = np.clip(np.where(known, context, 0), -1, 1)
    value = np.where(_IS_LOGARITHMIC, np.tanh(_STEEPNESS * logarithm), plain)
    return np.concatenate([value, known], axis=1, dtype=np.float32)
