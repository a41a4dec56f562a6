"""Judges a way of training on patients it has not seen: whole patients in turn are kept out of the fit.

Nothing is chosen by the patients of a fold while they are kept out: the last epoch counts, not the best. What the folds
say together chooses settings and calibrates the shipped network, which is then fitted to all training patients.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.beat_set import NO_BEAT, BeatSet
from models.sequence_training import SequenceSettings, fit_sequence
from models.sequencing import network_of
from models.splits import NEVER_FITTED, folds
from models.training import Epoch, Network, TrainingSettings, predict, train
from monitor.contract import AAMI_CLASSES, BoolArray, FloatArray


def cross_validate(
    make: Callable[[], Network],
    beats: BeatSet,
    settings: TrainingSettings,
    folder: Path,
    *,
    more: Sequence[BeatSet] = (),
    judged: Sequence[BeatSet] = (),
    report: Callable[[int, Epoch], None] = lambda _fold, _epoch: None,
) -> FloatArray:
    """Return logits of `beats`, `more` and `judged`, one after the other, by networks not fitted to their patients.

    Parameters
    ----------
    make : callable
        Gives a network with fresh weights.
    beats : BeatSet
        Of all training records, and of those that only take part in choosing.
    settings : TrainingSettings
        How each fold is trained.
    folder : Path
        Receives a folder for each fold; an interrupted run resumes from there.
    more : sequence of BeatSet
        Other leads of the same records, to learn from too.
    judged : sequence of BeatSet
        Other beats of the same patients, which are not learnt from.
    report : callable
        Called with the fold and each of its epochs.

    Returns
    -------
    ndarray of float32, shape ``[beats, 5]``
        Of all these beats, in their order.
    """
    everything = BeatSet.join([beats, *more]) if more else beats
    asked = BeatSet.join([everything, *judged]) if judged else everything
    logits = np.zeros((len(asked), len(AAMI_CLASSES)), np.float32)
    for number, left_out in enumerate(folds(beats.names)):
        network = make()

        def tell(epoch: Epoch, number: int = number) -> None:
            report(number, epoch)

        train(
            network,
            without(everything, (*left_out, *NEVER_FITTED)).learnable(),
            None,
            settings,
            folder / f"fold{number}",
            report=tell,
        )
        here = of_records(asked, left_out)
        logits[here] = predict(network, asked.where(here))
    return logits


def cross_validate_sequence(
    names: Sequence[str],
    beats: BeatSet,
    probabilities: FloatArray,
    described: FloatArray,
    trust: NDArray[np.float64],
    settings: SequenceSettings,
) -> FloatArray:
    """Return logits of `beats` in sequence, by networks not fitted to their patients, shape ``[beats, 5]``.

    Parameters
    ----------
    names : sequence of str
        Records of one lead, as `models.splits.folds` takes them.
    beats : BeatSet
        All there is of them.
    probabilities, described, trust
        See `models.sequence_training.fit_sequence`.
    settings : SequenceSettings
        How each fold is trained.
    """
    logits = np.zeros((len(beats), len(AAMI_CLASSES)), np.float32)
    for left_out in folds(names):
        fitted = taught(beats, (*left_out, *NEVER_FITTED))
        tensors = fit_sequence(
            probabilities[fitted],
            described[fitted],
            beats.label[fitted],
            beats.record[fitted],
            trust[fitted],
            settings,
        )
        here = of_records(beats, left_out)
        logits[here] = network_of(tensors).layers(probabilities[here], described[here])[1]
    return logits


def taught(beats: BeatSet, left_out: Sequence[str]) -> BoolArray:
    """Return which beats teach something and are of none of the records `left_out`, bool of shape ``[beats]``."""
    answer: BoolArray = beats.complete & (beats.label != NO_BEAT) & ~of_records(beats, left_out)
    return answer


def of_records(beats: BeatSet, records: Sequence[str]) -> BoolArray:
    """Return which beats are of `records`, whatever the lead, bool of shape ``[beats]``."""
    places = [place for place, name in enumerate(beats.names) if name.partition("#")[0] in frozenset(records)]
    answer: BoolArray = np.isin(beats.record, places)
    return answer


def without(beats: BeatSet, records: Sequence[str]) -> BeatSet:
    """Return the beats of all other records, and other leads of `records` neither."""
    return beats.where(~of_records(beats, records))
