"""Judges a way of training on patients it has not seen: whole patients in turn are kept out of the fit.

Nothing is chosen by the patients of a fold while they are kept out: the last epoch counts, not the best. What the folds
say together chooses settings and calibrates the shipped network, which is then fitted to all training patients.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.beat_set import BeatSet
from models.splits import CHOOSING_ONLY, folds
from models.training import Epoch, Network, TrainingSettings, predict, train
from monitor.contract import AAMI_CLASSES, FloatArray


def cross_validate(
    make: Callable[[], Network],
    beats: BeatSet,
    settings: TrainingSettings,
    folder: Path,
    *,
    more: Sequence[BeatSet] = (),
    report: Callable[[int, Epoch], None] = lambda _fold, _epoch: None,
) -> FloatArray:
    """Return logits of all `beats`, each by a network that was not fitted to its patient, shape ``[beats, 5]``.

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
        Other leads of the same records, to learn from only.
    report : callable
        Called with the fold and each of its epochs.
    """
    everything = BeatSet.join([beats, *more]) if more else beats
    logits = np.zeros((len(beats), len(AAMI_CLASSES)), np.float32)
    for number, left_out in enumerate(folds(beats.names)):
        network = make()

        def tell(epoch: Epoch, number: int = number) -> None:
            report(number, epoch)

        train(
            network,
            without(everything, (*left_out, *CHOOSING_ONLY)).learnable(),
            None,
            settings,
            folder / f"fold{number}",
            report=tell,
        )
        judged = np.isin(beats.record, [beats.names.index(name) for name in left_out])
        logits[judged] = predict(network, beats.where(judged))
    return logits


def without(beats: BeatSet, records: Sequence[str]) -> BeatSet:
    """Return the beats of all other records, and other leads of `records` neither."""
    kept = [
        place for place, name in enumerate(beats.names) if name.partition("#")[0] not in frozenset(records)
    ]
    return beats.where(np.isin(beats.record, kept))
