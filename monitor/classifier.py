"""The stage that names a beat: one interface, whatever network and runtime stand behind it."""

from typing import Protocol

from monitor.contract import FloatArray


class BeatClassifier(Protocol):
    """Turns windows and their RR context into class probabilities.

    Attributes
    ----------
    name : str
        Name and version of the model, for alarms and reports.
    input_path : str
        Version hash of the preprocessing it was trained with, see `monitor.beats.input_path_version`.
    training_records : frozenset of str
        Recordings it was trained on, such as ``"mitdb/208"``.
    """

    name: str
    input_path: str
    training_records: frozenset[str]

    def probabilities(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return class probabilities, float32 of shape ``[beats, 5]``.

        Parameters
        ----------
        window : ndarray of float32, shape ``[beats, 600]``
            Millivolt.
        context : ndarray of float32, shape ``[beats, 6]``
            See `monitor.contract.CONTEXT_FIELDS`.
        """
        ...
