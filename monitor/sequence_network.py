"""The network that reads a beat among those before it: what it holds, and what it says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.contract import UNSURE_LABEL, BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceNetwork:
    """Weights of the network that reads a beat among those before it: some members side by side, whose mean counts.

    Attributes
    ----------
    encode : callable
        Turns class probabilities and `monitor.beat_sequence.SEQUENCE_FIELDS` of beats into what the network reads,
        ``[beats, inputs]``, and into the logits that it starts from, ``[beats, 5]``.
    enter, enter_bias : ndarray of float32, shapes ``[members, inputs, width]`` and ``[members, width]``
        First layer.
    joint, joint_bias : ndarray of float32, shapes ``[members, width, width]`` and ``[members, width]``
        Second and last hidden layer.
    last, last_bias : ndarray of float32, shapes ``[members, width, 5]`` and ``[members, 5]``
        What is added to the logits.
    skip : ndarray of float32, shape ``[members]``
        What of the logits that it starts from is kept.
    class_bias : ndarray of float32, shape ``[5]``
        Added to the logits.
    temperature : float
        They are divided by it.
    unsure_below : float
        A beat whose likeliest class is less likely is "unsure".
    poor_below : float
        So is one of lower quality than this; of quality 0, right after a start or a gap, nothing bad is known.
    """

    encode: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
    enter: FloatArray
    enter_bias: FloatArray
    joint: FloatArray
    joint_bias: FloatArray
    last: FloatArray
    last_bias: FloatArray
    skip: FloatArray
    class_bias: FloatArray
    temperature: float
    unsure_below: float
    poor_below: float = 0.0

    @property
    def hidden(self) -> int:
        """Width of the last hidden layer of all members together, and of what they read."""
        return int(self.joint.shape[0] * self.joint.shape[2] + self.enter.shape[1])

    def layers(self, probabilities: FloatArray, described: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what a correction can build on, ``[beats, hidden]``, and logits, ``[beats, 5]``.

        The former is the members' last hidden layer and what they read; bias and temperature are applied to the latter.

        Parameters
        ----------
        probabilities : ndarray of float32, shape ``[beats, 5]``
            Of each beat alone.
        described : ndarray of float32, shape ``[beats, len(SEQUENCE_FIELDS)]``
            See `monitor.beat_sequence`.
        """
        evidence, alone = self.encode(probabilities, described)
        first = np.maximum(evidence @ self.enter + self.enter_bias[:, np.newaxis], 0)
        second = np.maximum(first @ self.joint + self.joint_bias[:, np.newaxis], 0)
        added = second @ self.last + self.last_bias[:, np.newaxis]
        logits = added.mean(axis=0) + self.skip.mean() * alone
        hidden = np.concatenate([second.transpose(1, 0, 2).reshape(len(described), -1), evidence], axis=1)
        return hidden, ((logits + self.class_bias) / np.float32(self.temperature)).astype(np.float32)

    def labels(self, probabilities: FloatArray, quality: FloatArray, empty: BoolArray) -> NDArray[np.int8]:
        """Return the index in `monitor.contract.LABELS` of each beat, int8 of shape ``[beats]``.

        Parameters
        ----------
        probabilities : ndarray of float32, shape ``[beats, 5]``
            In sequence; zeros for a beat that has none.
        quality : ndarray of float32, shape ``[beats]``
            0 to 1.
        empty : ndarray of bool, shape ``[beats]``
            See `monitor.qrs_presence`; such a beat is unsure.
        """
        sure = probabilities.max(axis=1, initial=0.0) >= self.unsure_below
        poor = (quality > 0) & (quality < self.poor_below)
        return np.where(sure & ~poor & ~empty, probabilities.argmax(axis=1), UNSURE_LABEL).astype(np.int8)
