"""The patient-adapted protocol: the first five minutes of a record with its labels, the rest tested."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.adaptation import FIRST_S, Adaptation, fit_adaptation
from models.answered_beats import AnsweredBeats
from models.beat_set import NO_BEAT, BeatSet
from models.card import ModelCard
from models.encoding import encode_context, encode_windows
from models.evaluation import describe
from models.numpy_network import NumpyGrunet
from models.runtime import Classifier, load_classifier, load_network
from models.sequencing import layers
from models.softmax import softmax
from monitor.contract import AAMI_CLASSES, FloatArray
from monitor.qrs_presence import lacks_qrs
from monitor.scoring import ClassCounts

_BATCH = 512


class Adapter:
    """Fits and tests adaptations of one network.

    Parameters
    ----------
    path : Path, optional
        Weights; the shipped ones by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._classifier = load_classifier(path, device="cpu")
        self._card, self._network = load_network(path)
        self._kept: tuple[BeatSet, tuple[FloatArray, FloatArray]] | None = None

    @property
    def card(self) -> ModelCard:
        """The network's card."""
        return self._card

    def layers(self, beats: BeatSet) -> tuple[FloatArray, FloatArray]:
        """Return logits, bias and temperature applied, ``[beats, 5]``, and the last hidden layer, of whole records."""
        if self._kept is None or self._kept[0] is not beats:
            self._kept = beats, self._layers(beats)
        return self._kept[1]

    def _layers(self, beats: BeatSet) -> tuple[FloatArray, FloatArray]:
        sequence = self._classifier.sequence
        if sequence is None:
            return _layers(self._card, self._network, beats)
        probabilities = np.zeros((len(beats), len(AAMI_CLASSES)), np.float32)
        whole = np.flatnonzero(beats.complete)
        probabilities[whole] = self._classifier.probabilities(
            beats.window[whole], beats.template[whole], beats.context[whole]
        )
        hidden, logits = layers(sequence, beats, probabilities)
        return logits, hidden

    def adapt(self, beats: BeatSet, source: str, *, until_sample: int) -> Adaptation | None:
        """Fit an adaptation to the labelled beats before `until_sample`; None where none would help."""
        # Nothing known of a beat comes from later ones, so whole records do for their beginning, too.
        logits, hidden = self.layers(beats)
        chosen = (beats.r_sample < until_sample) & beats.complete & (beats.label != NO_BEAT)
        return fit_adaptation(
            logits[chosen],
            hidden[chosen],
            beats.label[chosen],
            model=f"{self._card.name} {self._card.version}",
            sha256=self._card.sha256,
            source=source,
        )

    def labels(self, beats: BeatSet, adaptation: Adaptation | None) -> NDArray[np.int8]:
        """Return what would be announced, with or without an adaptation, int8 of shape ``[beats]``.

        Parameters
        ----------
        beats : BeatSet
            Whole records: a beat is judged among those before it.
        adaptation : Adaptation or None
            What is added.
        """
        logits, hidden = self.layers(beats)
        if adaptation is not None:
            logits = adaptation.apply(logits, hidden)
        probabilities = softmax(logits)
        probabilities[~beats.complete] = 0.0
        sequence = self._classifier.sequence
        if sequence is None:
            return self._classifier.labels(probabilities)
        return sequence.labels(probabilities, beats.quality, lacks_qrs(beats.window, beats.template))


def adapt_to_answers(classifier: Classifier, taught: AnsweredBeats, source: str) -> Adaptation | None:
    """Fit an adaptation to what answers to alarms teach; None where none would help.

    Every third alarm is held out, so two never suffice.

    Parameters
    ----------
    classifier : Classifier
        Whose layers they are.
    taught : AnsweredBeats
        One athlete's.
    source : str
        See `Adaptation`.
    """
    adaptation = fit_adaptation(
        taught.logits,
        taught.hidden,
        taught.label,
        model=classifier.name,
        sha256=classifier.card.sha256,
        source=source,
        stretch=taught.alarm,
    )
    return None if adaptation is None else msgspec.structs.replace(adaptation, answers=list(taught.answers))


def evaluate_adapted(adapter: Adapter, beats: BeatSet) -> dict[str, Any]:
    """Score all records without and with adaptation, on what follows their first five minutes.

    Parameters
    ----------
    adapter : Adapter
        What adapts.
    beats : BeatSet
        Of whole records. Beats that were not announced count as wrong wherever they lie.
    """
    before, after = ClassCounts(), ClassCounts()
    adapted = 0
    for name in beats.names:
        of_one = beats.of(name)
        until = int(FIRST_S * of_one.rate_hz[0])
        adaptation = adapter.adapt(of_one, name, until_sample=until)
        adapted += adaptation is not None
        later = of_one.r_sample >= until
        rest = of_one.where(later)
        before = before + rest.count(adapter.labels(of_one, None)[later])
        after = after + rest.count(adapter.labels(of_one, adaptation)[later])
    return {
        "protocol": "first five minutes of each record with labels, the rest tested",
        "records": len(beats.names),
        "adapted_records": adapted,
        "without": describe(before),
        "with": describe(after),
    }


def _layers(card: ModelCard, network: NumpyGrunet, beats: BeatSet) -> tuple[FloatArray, FloatArray]:
    hidden = [
        network.hidden(
            encode_windows(beats.window[begin : begin + _BATCH], beats.template[begin : begin + _BATCH]),
            encode_context(beats.context[begin : begin + _BATCH]),
        )
        for begin in range(0, len(beats), _BATCH)
    ]
    layer = np.concatenate(hidden) if hidden else np.empty((0, int(card.config["head_width"])), np.float32)
    logits = (network.logits(layer) + np.array(card.class_bias, np.float32)) / np.float32(card.temperature)
    return logits, layer
