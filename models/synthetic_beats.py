"""Beats of synthetic rhythms (`models.synthetic_rhythms`), cut by the monitor's own line like those of any record."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.beat_data import cut
from models.beat_set import BeatSet
from models.synthetic_rhythms import (
    RATE_HZ,
    SyntheticRecord,
    exertion,
    fibrillation,
    paroxysms,
    sick_sinus,
)
from simulators.annotations import Truth
from simulators.records import Record

_LEAST_BEATS: Final = 50
_TRUST: Final = {"s4": 0.4}
"""How much beats of a kind count in training; where nothing is said, as much as real ones."""
_KINDS: Final = (
    (2, fibrillation, 200.0),
    (4, sick_sinus, 260.0),
    (5, paroxysms, 200.0),
    (6, exertion, 120.0),
)


def synthetic_beats(beats: BeatSet, *, report: Callable[[str], None] = lambda _: None) -> list[BeatSet]:
    """Return beats of a synthetic record of each kind for each record of `beats`, made of its own N complexes.

    Parameters
    ----------
    beats : BeatSet
        First leads of training records.
    report : callable
        Called with the name of each record as it is done.

    Returns
    -------
    list of BeatSet
        Named ``"mitdb/101#s2"`` and so on: they belong to their patient and leave a fit with it. A record with fewer
        than 50 N beats that stand apart from their neighbours gives none.
    """
    parts = []
    for name in beats.names:
        of_one = beats.of(name)
        before, after = of_one.context[:, 0], of_one.context[:, 1]
        apart = ~(after < 0.62) & ~(before < 0.5)
        window = of_one.window[(of_one.label == 0) & of_one.complete & (of_one.quality > 0.8) & apart]
        if len(window) >= _LEAST_BEATS:
            for kind, make, seconds in _KINDS:
                random = np.random.default_rng([kind, sum(map(ord, name)) * 7])
                parts.append(cut(_record(make(window, seconds, random), f"{name}#s{kind}")))
        report(name)
    return parts


def trust_of(beats: BeatSet) -> NDArray[np.float64]:
    """Return how much each beat counts in training, shape ``[beats]``."""
    of_record = [_TRUST.get(name.partition("#")[2], 1.0) for name in beats.names]
    answer: NDArray[np.float64] = np.array(of_record)[beats.record]
    return answer


def _record(synthetic: SyntheticRecord, name: str) -> Record:
    return Record(
        name=name,
        rate_hz=RATE_HZ,
        lead="synthetic",
        millivolts=synthetic.millivolts,
        counts=np.zeros(len(synthetic.millivolts), np.int16),
        microvolts_per_count=1.0,
        truth=Truth(synthetic.r_samples, synthetic.classes, np.empty((0, 2), np.int64), RATE_HZ),
    )
