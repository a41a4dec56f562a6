"""What the network reads of a beat among those before it: its class alone, the rhythm, P waves, and the classes before.

Training and live use call the same function.
"""

from typing import Final

import numpy as np

from monitor.beat_sequence import SEQUENCE_FIELDS
from monitor.contract import AAMI_CLASSES, FloatArray

_LEAST_LOGARITHM: Final = -10.0
LOGARITHM_UNIT: Final = 4.0
"""Logits are divided by it where the network reads them."""
_TYPICAL: Final = {"rr_change_ratio": 0.05, "rr_long_spread_ratio": 1.1}
"""What is neither small nor large, for ratios that are not 1 then."""
_GENTLE: Final = ("rr_change_ratio",)
_FLAGS: Final = tuple(
    SEQUENCE_FIELDS.index(name) for name in ("rr_before_long_ratio", "rr_after_long_ratio", "run_rr_ratio")
)
_IS_LOGARITHMIC: Final = np.array([name.endswith("_ratio") for name in SEQUENCE_FIELDS], np.bool_)
_UNIT: Final = np.array([_TYPICAL.get(name, 1.0) for name in SEQUENCE_FIELDS], np.float32)
_STEEPNESS: Final = np.array([0.7 if name in _GENTLE else 3.0 for name in SEQUENCE_FIELDS], np.float32)
_ENTROPY: Final = SEQUENCE_FIELDS.index("rr_entropy")
_FIBRILLATES: Final = 1.6
"""Entropy above which the rhythm looks like fibrillation, and how sharply."""
_SHARPNESS: Final = 0.15
SEQUENCE_WIDTH: Final = len(AAMI_CLASSES) + len(SEQUENCE_FIELDS) + len(_FLAGS) + 1


def encode_sequence(probabilities: FloatArray, described: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the network reads, and the logits that it starts from.

    Parameters
    ----------
    probabilities : ndarray of float32, shape ``[beats, 5]``
        Of the classes of each beat alone.
    described : ndarray of float32, shape ``[beats, len(SEQUENCE_FIELDS)]``
        See `monitor.beat_sequence.SEQUENCE_FIELDS`; NaN where unknown.

    Returns
    -------
    evidence : ndarray of float32, shape ``[beats, SEQUENCE_WIDTH]``
        Values of about -2.5 to 1, 0 where unknown; then flags of what is known, and whether the rhythm
        looks like fibrillation.
    logits : ndarray of float32, shape ``[beats, 5]``
        Logarithms of `probabilities`, at least -10.
    """
    logits = np.log(np.maximum(probabilities, np.float32(np.exp(_LEAST_LOGARITHM))))
    known = np.isfinite(described)
    plain = np.where(known, described, 0)
    wild = 1 / (1 + np.exp((_FIBRILLATES - plain[:, _ENTROPY]) / _SHARPNESS))
    plain[:, _ENTROPY] = np.tanh(plain[:, _ENTROPY] / 2)
    logarithm = np.log(np.maximum(np.where(known & _IS_LOGARITHMIC, described, _UNIT), 1e-6) / _UNIT)
    value = np.where(_IS_LOGARITHMIC, np.tanh(_STEEPNESS * logarithm), np.clip(plain, -1, 1))
    evidence = np.concatenate(
        [logits / LOGARITHM_UNIT, value, known[:, _FLAGS], wild[:, np.newaxis]], axis=1, dtype=np.float32
    )
    return evidence, logits.astype(np.float32)
