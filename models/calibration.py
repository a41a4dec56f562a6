"""Two constants fitted to validation patients: how far to trust the network, and when to say "unsure"."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray

_TEMPERATURES: Final = np.geomspace(0.25, 8.0, 201)
_THRESHOLDS: Final = np.round(np.arange(0.2, 0.9001, 0.01), 2)


def fit_temperature(logits: FloatArray, label: NDArray[np.int8]) -> float:
    """Return the temperature under which the reference classes are likeliest.

    C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Parameters
    ----------
    logits : ndarray of float32, shape ``[beats, 5]``
        Of validation patients.
    label : ndarray of int8, shape ``[beats]``
        Their reference classes.
    """
    rows = np.arange(len(label))
    losses = []
    for temperature in _TEMPERATURES:
        scaled = logits.astype(np.float64) / temperature
        largest = scaled.max(axis=1)
        log_sum = largest + np.log(np.exp(scaled - largest[:, np.newaxis]).sum(axis=1))
        losses.append(float((log_sum - scaled[rows, label]).mean()))
    return float(round(_TEMPERATURES[int(np.argmin(losses))], 4))


def fit_unsure(probabilities: FloatArray, label: NDArray[np.int8]) -> float:
    """Return the threshold below which a beat is called "unsure".

    It is the one under which most more beats lose a wrong class than lose a right one; of equals the lowest.

    Parameters
    ----------
    probabilities : ndarray of float32, shape ``[beats, 5]``
        Of validation patients, after the temperature.
    label : ndarray of int8, shape ``[beats]``
        Their reference classes.
    """
    likeliest = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != label
    gains = [int(wrong[likeliest < t].sum()) - int((~wrong)[likeliest < t].sum()) for t in _THRESHOLDS]
    return float(_THRESHOLDS[int(np.argmax(gains))])
