"""A physician's corrections, taken up by one athlete's classifier: small, auditable, reversible.

Nothing of the network changes. On top of its logits stands a linear correction of its last hidden layer, one row for
each class that the physician has named, held near nothing by a penalty. Its strength is chosen on a held-out part of
the same athlete's corrected beats; where no strength is better there than no correction, there is none. What is kept is
a small readable file with the numbers, where they come from, and what they did on the held-out part; without the file
everything is as before.
"""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.softmax import softmax
from monitor.contract import AAMI_CLASSES, BoolArray, FloatArray, IntArray
from monitor.errors import ModelError
from monitor.wire import is_name

FIRST_S: Final = 300.0
"""The customary labelled stretch at the beginning of a record."""
_LEAST_BEATS: Final = 30
_STRENGTHS: Final = (0.3, 0.03, 0.003)
_STEPS: Final = 150
_RATE: Final = 0.05
_HELD_OUT_EVERY: Final = 3
_RUN: Final = 10


class Adaptation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one athlete's corrections added to a model.

    Attributes
    ----------
    model, sha256 : str
        What it stands on; it is used with no other weights.
    source : str
        Whose beats, and which.
    beats : dict of str to int
        How many corrected beats of each class it was fitted to.
    strength : float
        Penalty that was chosen.
    before, after : float
        Mean logarithmic loss of the held-out beats without and with it.
    weight : list of list of float
        ``[5, hidden]``; zeros for classes that were not named.
    bias : list of float
        ``[5]``.
    answers : list of str
        Where it comes from answers to alarms: each answer, who gave it and when.
    """

    model: str
    sha256: str
    source: str
    beats: dict[str, int]
    strength: float
    before: float
    after: float
    weight: list[list[float]]
    bias: list[float]
    answers: list[str] = []

    def matrix(self) -> FloatArray:
        """Return weight and bias side by side, float32 of shape ``[5, hidden + 1]``."""
        return np.column_stack([self.weight, self.bias]).astype(np.float32)

    def apply(self, logits: FloatArray, hidden: FloatArray) -> FloatArray:
        """Return corrected logits, float32 of shape ``[beats, 5]``.

        Parameters
        ----------
        logits : ndarray of float32, shape ``[beats, 5]``
            The network's.
        hidden : ndarray of float32, shape ``[beats, hidden]``
            Its last hidden layer.
        """
        correction = hidden @ np.array(self.weight, np.float32).T + np.array(self.bias, np.float32)
        return (logits + correction).astype(np.float32)


def fit_adaptation(
    logits: FloatArray,
    hidden: FloatArray,
    label: NDArray[np.int8],
    *,
    model: str,
    sha256: str,
    source: str,
    stretch: IntArray | None = None,
) -> Adaptation | None:
    """Fit a correction to one athlete's beats; None where it would not help.

    Parameters
    ----------
    logits : ndarray of float32, shape ``[beats, 5]``
        The network's, in order of time, bias and temperature applied.
    hidden : ndarray of float32, shape ``[beats, hidden]``
        Its last hidden layer.
    label : ndarray of int8, shape ``[beats]``
        The physician's classes.
    model, sha256, source : str
        See `Adaptation`.
    stretch : ndarray of int64, shape ``[beats]``, optional
        Which stretch of signal each beat is of, counted from 0: every third is held out. Ten beats each by default.
    """
    # Stretches, not single beats: neighbours are too alike to judge by.
    stretch = np.arange(len(label)) // _RUN if stretch is None else stretch
    held_out = stretch % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    if len(label) < _LEAST_BEATS or not held_out.any():
        return None
    before = _loss(logits[held_out], label[held_out])
    best: tuple[float, float] | None = None
    for strength in _STRENGTHS:
        weight, bias = _fit(logits, hidden, label, ~held_out, strength)
        after = _loss(logits[held_out] + hidden[held_out] @ weight.T + bias, label[held_out])
        fewer_right = _right(logits[held_out] + hidden[held_out] @ weight.T + bias, label[held_out]) < _right(
            logits[held_out], label[held_out]
        )
        if after < (best[0] if best else before) and not fewer_right:
            best = after, strength
    if best is None:
        return None
    after, strength = best
    weight, bias = _fit(logits, hidden, label, np.ones(len(label), np.bool_), strength)
    return Adaptation(
        model=model,
        sha256=sha256,
        source=source,
        beats={name: int((label == k).sum()) for k, name in enumerate(AAMI_CLASSES)},
        strength=strength,
        before=before,
        after=after,
        weight=[[round(float(value), 6) for value in row] for row in weight],
        bias=[round(float(value), 6) for value in bias],
    )


def write_adaptation(adaptation: Adaptation, path: Path) -> None:
    """Write an adaptation as a file that people can read, and delete."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(adaptation), indent=1) + b"\n")


def read_adaptation(path: Path, *, sha256: str) -> Adaptation:
    """Return the adaptation in a file.

    Raises
    ------
    ModelError
        If the file is missing or damaged, or stands on other weights than those with `sha256`.
    """
    try:
        adaptation = msgspec.json.decode(path.read_bytes(), type=Adaptation)
    except OSError as error:
        raise ModelError(f"{path}: adaptation cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path}: not an adaptation ({error}); make it anew with strapwatch adapt"
        ) from error
    if adaptation.sha256 != sha256:
        raise ModelError(
            f"{path}: made for weights {adaptation.sha256[:12]}…, these are {sha256[:12]}…; make it anew"
        )
    return adaptation


def read_corrections(folder: Path, *, sha256: str, hidden: int) -> dict[tuple[str, str], Adaptation]:
    """Return the adaptations of all athletes in a folder, by team and athlete.

    Parameters
    ----------
    folder : Path
        Holds ``TEAM/ATHLETE.json`` files.
    sha256 : str
        Of the weights that they must stand on.
    hidden : int
        Width of what they build on.

    Raises
    ------
    ModelError
        If the folder is none, a file stands elsewhere in it, or one is damaged or was made for other weights.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no folder of corrections; make it, or leave classifier.corrections out")
    found = {}
    for path in sorted(folder.rglob("*.json")):
        team, *more = path.relative_to(folder).with_suffix("").parts
        if len(more) != 1 or not (is_name(team) and is_name(more[0])):
            raise ModelError(f"{path}: whose is it? Corrections lie in {folder}/TEAM/ATHLETE.json")
        adaptation = read_adaptation(path, sha256=sha256)
        shape = [len(adaptation.bias), *{len(row) for row in adaptation.weight}]
        if shape != [len(AAMI_CLASSES), hidden] or len(adaptation.weight) != len(AAMI_CLASSES):
            raise ModelError(
                f"{path}: its numbers do not fit the weights; make it anew with strapwatch adapt"
            )
        if not np.isfinite(adaptation.matrix()).all():
            raise ModelError(f"{path}: holds what is no number; make it anew with strapwatch adapt")
        found[team, more[0]] = adaptation
    return found


def _fit(
    logits: FloatArray, hidden: FloatArray, label: NDArray[np.int8], chosen: BoolArray, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight and bias by gradient descent with momentum; classes count alike up to a factor of ten."""
    x, base, y = hidden[chosen].astype(np.float64), logits[chosen].astype(np.float64), label[chosen]
    counts = np.bincount(y, minlength=len(AAMI_CLASSES))
    share = np.minimum(counts.max() / np.maximum(counts, 1), 10.0)[y]
    share /= share.sum()
    named = (counts > 0).astype(np.float64)[:, np.newaxis]
    scale = np.sqrt((x**2).mean()) + 1e-6
    target = np.eye(len(AAMI_CLASSES))[y]
    weight = np.zeros((len(AAMI_CLASSES), x.shape[1]))
    bias = np.zeros(len(AAMI_CLASSES))
    speed_w, speed_b = np.zeros_like(weight), np.zeros_like(bias)
    for _ in range(_STEPS):
        answer = base + (x / scale) @ weight.T + bias
        off = (softmax(answer.astype(np.float32)) - target) * share[:, np.newaxis]
        speed_w = 0.9 * speed_w - _RATE * named * (off.T @ (x / scale) + strength * weight)
        speed_b = 0.9 * speed_b - _RATE * named[:, 0] * (off.sum(axis=0) + strength * bias)
        weight += speed_w
        bias += speed_b
    return weight / scale, bias


def _loss(logits: FloatArray, label: NDArray[np.int8]) -> float:
    likely = softmax(logits)[np.arange(len(label)), label]
    return float(-np.log(np.maximum(likely, 1e-6)).mean())


def _right(logits: FloatArray, label: NDArray[np.int8]) -> int:
    return int((logits.argmax(axis=1) == label).sum())
