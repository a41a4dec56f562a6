"""The stage that names a beat: one interface, whatever network and runtime stand behind it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, Beats, FloatArray
from monitor.sequence_network import SequenceNetwork


class BeatClassifier(Protocol):
    """Turns windows, beside the athlete's own usual beat, into class probabilities, and those into labels.

    Attributes
    ----------
    name : str
        Name and version of the model, for alarms and reports.
    input_path : str
        Version hash of the preprocessing it was trained with, see `monitor.beats.input_path_version`.
    training_records : frozenset of str
        Recordings it was trained on, such as ``"mitdb/208"``.
    sequence : SequenceNetwork or None
        Judges each beat once more, among the athlete's last beats; None where the classes of beats alone are the last
        word.
    """

    name: str
    input_path: str
    training_records: frozenset[str]
    sequence: SequenceNetwork | None

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Return class probabilities, float32 of shape ``[beats, 5]``.

        Parameters
        ----------
        window : ndarray of float32, shape ``[beats, 600]``
            Millivolt.
        template : ndarray of float32, shape ``[beats, 600]``
            Millivolt: the athlete's own usual beat; zeros where it is not known yet.
        context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
            See `monitor.contract.CONTEXT_FIELDS`.
        """
        ...

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the index in `monitor.contract.LABELS` of each beat, int8 of shape ``[beats]``.

        Parameters
        ----------
        probabilities : ndarray of float32, shape ``[beats, 5]``
            As `probabilities` returns them.
        """
        ...


def classify(classifier: BeatClassifier | None, beats: Beats) -> Beats:
    """Return `beats` with class probabilities and labels.

    Beats whose window a gap cut short stay "unsure", as all do where there is no classifier.
    """
    if classifier is None or not beats.complete.any():
        return beats
    complete = np.flatnonzero(beats.complete)
    answer = classifier.probabilities(
        beats.window[complete], beats.template[complete], beats.context[complete]
    )
    probabilities = np.zeros((len(beats), len(AAMI_CLASSES)), np.float32)
    probabilities[complete] = answer
    label = np.full(len(beats), UNSURE_LABEL, np.int8)
    label[complete] = classifier.labels(answer)
    return beats.classified(probabilities, label)
