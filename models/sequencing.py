"""Beats of whole records read in sequence, as the monitor's line reads them live."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.beat_set import BeatSet
from models.sequence_encoding import encode_sequence
from models.sizes import SEQUENCE_PREFIX
from monitor.beat_sequence import SEQUENCE_FIELDS, SequenceBank
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, Beats, FloatArray
from monitor.sequence_network import SequenceNetwork


def network_of(
    tensors: Mapping[str, FloatArray],
    *,
    class_bias: Sequence[float] = (0.0,) * len(AAMI_CLASSES),
    temperature: float = 1.0,
    unsure_below: float = 0.0,
    poor_below: float = 0.0,
) -> SequenceNetwork:
    """Return the network in sequence that a weights file holds.

    Parameters
    ----------
    tensors : mapping of str to ndarray of float32
        By the names that they have there; others are left out.
    class_bias, temperature, unsure_below, poor_below
        See `SequenceNetwork`.
    """
    own = {
        name.removeprefix(SEQUENCE_PREFIX): value
        for name, value in tensors.items()
        if name.startswith(SEQUENCE_PREFIX)
    }
    return SequenceNetwork(
        encode=encode_sequence,
        class_bias=np.array(class_bias, np.float32),
        temperature=temperature,
        unsure_below=unsure_below,
        poor_below=poor_below,
        **own,
    )


def describe(beats: BeatSet, probabilities: FloatArray) -> FloatArray:
    """Return `SEQUENCE_FIELDS` of beats, each by those before it in its record, ``[beats, len(SEQUENCE_FIELDS)]``.

    Parameters
    ----------
    beats : BeatSet
        Whole records, in order of time.
    probabilities : ndarray of float32, shape ``[beats, 5]``
        Of the classes of each beat alone.
    """
    answer = np.empty((len(beats), len(SEQUENCE_FIELDS)), np.float32)
    for place in range(len(beats.names)):
        here = np.flatnonzero(beats.record == place)
        bank = SequenceBank(float(beats.rate_hz[place]), capacity=1)
        answer[here] = bank.describe(
            Beats(
                rows=np.zeros(len(here), np.int64),
                r_sample=beats.r_sample[here],
                known_sample=beats.r_sample[here],
                rr_s=beats.context[here, 0],
                quality=beats.quality[here],
                complete=beats.complete[here],
                window=beats.window[here],
                template=beats.template[here],
                context=beats.context[here],
                probabilities=probabilities[here],
                label=np.full(len(here), UNSURE_LABEL, np.int8),
            )
        )
    return answer


def layers(
    network: SequenceNetwork, beats: BeatSet, probabilities: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the last hidden layer and logits of beats in sequence, see `SequenceNetwork.layers`.

    Parameters
    ----------
    network : SequenceNetwork
        What reads them.
    beats, probabilities
        See `describe`.
    """
    return network.layers(probabilities, describe(beats, probabilities))
