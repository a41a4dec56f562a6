"""Naming beats though the classifier's backend fails: what it does not name stays "unsure", and is counted.

A backend is foreign code (a runtime, a device, weights): whatever it raises, and numbers that are none, cost the beats
that were asked for and nothing else. A batch that fails is asked for again in halves, so that a beat which no backend
can bear takes no other athlete's with it. A backend that names nothing at all is left alone for a while.
"""

from typing import Final

import numpy as np

from monitor.classifier import BeatClassifier, classify
from monitor.contract import Beats

IN_VAIN: Final = 3
"""Batches in a row of which a backend names nothing before it is left alone: one may be a beat that none bears."""
REST_S: Final = 5.0
"""For how long it is left alone."""
_MOST_FAILURES: Final = 24
"""Failing calls in one go: enough to find two beats among hundreds."""


class BeatNaming:
    """Asks a classifier, and goes on without it.

    Parameters
    ----------
    classifier : BeatClassifier or None
        Whom to ask; None names nothing.

    Attributes
    ----------
    unnamed : int
        Beats that were to be named and were not, because the backend failed.
    failures : int
        Times the backend failed.
    reason : str
        Why it failed the last time.
    """

    def __init__(self, classifier: BeatClassifier | None) -> None:
        self._classifier = classifier
        self._rests_until = float("-inf")
        self._in_vain = 0
        self.unnamed = 0
        self.failures = 0
        self.reason = ""

    def name(self, beats: Beats, now: float) -> Beats:
        """Return `beats` with class probabilities and labels, as far as the backend gives them.

        Parameters
        ----------
        beats : Beats
            As they come from the line.
        now : float
            Seconds, on a clock that only moves forward.
        """
        wanted = int(beats.complete.sum())
        if self._classifier is None or not wanted:
            return beats
        if now < self._rests_until:
            self.unnamed += wanted
            return beats
        try:
            answered = self._ask(beats)
        except Exception as error:  # noqa: BLE001 - whatever a backend raises, the heart goes on
            self._failed(error)
        else:
            self._in_vain = 0
            return answered
        named, missing = self._in_halves(beats)
        self.unnamed += missing
        self._in_vain = self._in_vain + 1 if missing == wanted else 0
        if self._in_vain >= IN_VAIN:
            self._in_vain = 0
            self._rests_until = now + REST_S
        return named

    def _ask(self, beats: Beats) -> Beats:
        answered = classify(self._classifier, beats)
        if not np.isfinite(answered.probabilities).all():
            raise FloatingPointError("probabilities that are no numbers")
        return answered

    def _in_halves(self, beats: Beats) -> tuple[Beats, int]:
        """Ask for the halves of a batch that failed, and for theirs; return the beats and how many are not named."""
        probabilities, label = beats.probabilities.copy(), beats.label.copy()
        missing = failed = 0
        waiting = [np.flatnonzero(beats.complete)]
        while waiting:
            index = waiting.pop()
            if failed >= _MOST_FAILURES:
                missing += len(index)
                continue
            # A beat that was alone is asked for once more: what failed may have been the call.
            for half in np.array_split(index, min(len(index), 2)):
                try:
                    answered = self._ask(beats.take(half))
                except Exception as error:  # noqa: BLE001 - as above
                    self._failed(error)
                    failed += 1
                    if len(half) > 1:
                        waiting.append(half)
                    else:
                        missing += 1
                else:
                    probabilities[half], label[half] = answered.probabilities, answered.label
        return beats.classified(probabilities, label), missing

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
