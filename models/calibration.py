"""Constants fitted to patients the network has not seen in training, and how far its probabilities can be believed.

Fitted by cross-validation: where the line between two classes lies, how far to trust the network, and when to say
"unsure".
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, BoolArray, FloatArray

_TEMPERATURES: Final = np.geomspace(0.25, 8.0, 201)
_THRESHOLDS: Final = np.round(np.arange(0.2, 0.9001, 0.01), 2)
_BIASES: Final = np.round(np.arange(-2.5, 1.51, 0.25), 2)
_MOST_OF_ONE: Final = 300
_S, _V, _F, _Q = (AAMI_CLASSES.index(name) for name in "SVFQ")


def fit_class_bias(logits: FloatArray, label: NDArray[np.int8], record: NDArray[np.int64]) -> list[float]:
    """Return what to add to each class's logits so that S and V are told best from the rest.

    The sum of the F1 scores of S and V and of the accuracy is made as large as it gets on a grid. A patient's beats of
    one class count as 300 at most for the F1 scores, so that no single patient decides; F and Q, of which next to
    nothing is known, are never preferred.

    Parameters
    ----------
    logits : ndarray of float32, shape ``[beats, 5]``
        Of patients not trained on.
    label : ndarray of int8, shape ``[beats]``
        Their reference classes.
    record : ndarray of int64, shape ``[beats]``
        Whose beat it is.
    """
    kinds = record * len(AAMI_CLASSES) + label
    counts = np.bincount(kinds)[kinds]
    weight = np.where(label == 0, 1.0, np.minimum(1.0, _MOST_OF_ONE / counts))
    best, answer = -1.0, [0.0] * len(AAMI_CLASSES)
    for s in _BIASES:
        for v in _BIASES:
            for f in (-1.5, -0.75, 0.0):
                bias = np.zeros(len(AAMI_CLASSES), np.float32)
                bias[[_S, _V, _F, _Q]] = s, v, v + f, -2.0
                called = (logits + bias).argmax(axis=1)
                score = sum(_weighted_f1(called, label, weight, one) for one in (_S, _V))
                score += float((called == label).mean())
                if score > best:
                    best, answer = score, [float(value) for value in bias]
    return answer


def _weighted_f1(
    called: NDArray[np.int64], label: NDArray[np.int8], weight: NDArray[np.float64], one: int
) -> float:
    right = weight[(called == one) & (label == one)].sum()
    both = weight[called == one].sum() + weight[label == one].sum()
    return float(2 * right / both) if both else 0.0


def fit_temperature(logits: FloatArray, label: NDArray[np.int8]) -> float:
    """Return the temperature under which the reference classes are likeliest.

    C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Parameters
    ----------
    logits : ndarray of float32, shape ``[beats, 5]``
        Of patients not trained on.
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
        Of patients not trained on, after bias and temperature.
    label : ndarray of int8, shape ``[beats]``
        Their reference classes.
    """
    likeliest = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != label
    gains = [int(wrong[likeliest < t].sum()) - int((~wrong)[likeliest < t].sum()) for t in _THRESHOLDS]
    return float(_THRESHOLDS[int(np.argmax(gains))])


def fit_poor(quality: FloatArray, right: BoolArray) -> float:
    """Return the quality below which a beat is called "unsure", whatever its class.

    As `fit_unsure` does: most more wrong classes are taken back than right ones; of equals the lowest. Beats of
    quality 0, right after a start or a gap, do not count.

    Parameters
    ----------
    quality : ndarray of float32, shape ``[beats]``
        Of patients not trained on.
    right : ndarray of bool, shape ``[beats]``
        Whether the class called is the reference's; it is not where there is no beat.
    """
    known = quality > 0
    thresholds = np.round(np.arange(0.0, 0.9001, 0.05), 2)
    gains = [
        int((~right)[known & (quality < t)].sum()) - int(right[known & (quality < t)].sum())
        for t in thresholds
    ]
    return float(thresholds[int(np.argmax(gains))])


def reliability(probabilities: FloatArray, right: BoolArray, *, bins: int = 15) -> list[dict[str, float]]:
    """Return, for each bin of the likeliest class's probability, how many beats there are and how many are right.

    Parameters
    ----------
    probabilities : ndarray of float32, shape ``[beats, 5]``
        As announced.
    right : ndarray of bool, shape ``[beats]``
        Whether the likeliest class is the reference's.
    bins : int
        Equally wide, from 0 to 1; empty ones are left out.
    """
    likeliest = probabilities.max(axis=1)
    place = np.minimum((likeliest * bins).astype(np.int64), bins - 1)
    return [
        {
            "beats": int((place == k).sum()),
            "confidence": float(likeliest[place == k].mean()),
            "accuracy": float(right[place == k].mean()),
        }
        for k in np.unique(place).tolist()
    ]


def expected_calibration_error(curve: list[dict[str, float]]) -> float:
    """Return how far confidence is from accuracy, on average over beats.

    M. P. Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
    """
    beats = sum(part["beats"] for part in curve)
    return sum(part["beats"] * abs(part["confidence"] - part["accuracy"]) for part in curve) / max(beats, 1)


def answered(probabilities: FloatArray, right: BoolArray) -> list[dict[str, float]]:
    """Return accuracy against the share of beats that get an answer, for thresholds from low to high.

    Parameters
    ----------
    probabilities : ndarray of float32, shape ``[beats, 5]``
        As announced.
    right : ndarray of bool, shape ``[beats]``
        Whether the likeliest class is the reference's.
    """
    likeliest = probabilities.max(axis=1)
    rows = []
    for threshold in np.round(np.arange(0.3, 0.991, 0.03), 2).tolist():
        sure = likeliest >= threshold
        if sure.any():
            rows.append(
                {"threshold": threshold, "share": float(sure.mean()), "accuracy": float(right[sure].mean())}
            )
    return rows
