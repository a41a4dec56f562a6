"""Which beats train and which test: the paper's way, and ways that do not let a person be in both.

Nothing is chosen on test beats anywhere: every run has a fixed budget and its last weights are tested.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.reproduction.preprocessing import HALF
from models.reproduction.windows import Windows
from models.splits import DS1, DS2

Protocol = Literal[
    "random split of beats, as the paper", "random split of minutes", "DS1 to DS2, inter-patient"
]
AS_THE_PAPER: Final[Protocol] = "random split of beats, as the paper"
OF_MINUTES: Final[Protocol] = "random split of minutes"
INTER_PATIENT: Final[Protocol] = "DS1 to DS2, inter-patient"
PROTOCOLS: Final[tuple[Protocol, ...]] = (AS_THE_PAPER, OF_MINUTES, INTER_PATIENT)
TEST_SHARE: Final = 0.2
_MINUTE_S: Final = 60.0

_Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Indices of beats.

    Attributes
    ----------
    training, testing : ndarray of int64
        Disjoint.
    shared : float
        Share of the test beats whose window overlaps one of a training beat.
    """

    training: _Index
    testing: _Index
    shared: float


def split(beats: Windows, protocol: Protocol, seed: int) -> Split:
    """Part `beats` into training and test.

    Parameters
    ----------
    beats : Windows
        Of one database.
    protocol : str
        One of `PROTOCOLS`. *Beats*: every class is parted 80 to 20 by chance. *Minutes*: whole minutes of each record
        are parted 80 to 20 by chance, and training beats whose window reaches into a test beat's are left out: the
        same people, but no shared samples. *Inter-patient*: DS1 trains, DS2 tests (de Chazal 2004), 202 included.
    seed : int
        Of the chance.

    Raises
    ------
    ValueError
        If the protocol is unknown or leaves training or test empty.
    """
    random = np.random.default_rng(seed)
    if protocol == AS_THE_PAPER:
        training, testing = _by_beat(beats, random)
    elif protocol == OF_MINUTES:
        training, testing = _by_minute(beats, random)
    elif protocol == INTER_PATIENT:
        names = np.array(beats.records)
        owner = names[beats.record]
        training, testing = (np.flatnonzero(np.isin(owner, part)) for part in (DS1, DS2))
    else:
        raise ValueError(f"protocol {protocol!r}: use one of {'; '.join(PROTOCOLS)}")
    if not len(training) or not len(testing):
        raise ValueError(f"{protocol}: {len(training)} beats to train with and {len(testing)} to test")
    return Split(training, testing, float(_overlapping(beats, testing, training).mean()))


def _by_beat(beats: Windows, random: np.random.Generator) -> tuple[_Index, _Index]:
    test = np.zeros(len(beats), np.bool_)
    for label in np.unique(beats.label):
        own = random.permutation(np.flatnonzero(beats.label == label))
        test[own[: round(TEST_SHARE * len(own))]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def _by_minute(beats: Windows, random: np.random.Generator) -> tuple[_Index, _Index]:
    minute = beats.r_sample // round(_MINUTE_S * beats.rate_hz)
    test = np.zeros(len(beats), np.bool_)
    for record in range(len(beats.records)):
        own = beats.record == record
        minutes = random.permutation(np.unique(minute[own]))
        chosen = minutes[: max(round(TEST_SHARE * len(minutes)), 1)]
        test |= own & np.isin(minute, chosen)
    testing, training = np.flatnonzero(test), np.flatnonzero(~test)
    return training[~_overlapping(beats, training, testing)], testing


def _overlapping(beats: Windows, of: _Index, others: _Index) -> NDArray[np.bool_]:
    """Return which windows of the beats `of` share samples with one of `others`."""
    overlap = np.zeros(len(of), np.bool_)
    for record in range(len(beats.records)):
        mine = np.flatnonzero(beats.record[of] == record)
        theirs = np.sort(beats.r_sample[others[beats.record[others] == record]])
        if not len(theirs):
            continue
        at = beats.r_sample[of[mine]]
        place = np.searchsorted(theirs, at)
        before = at - theirs[np.maximum(place - 1, 0)]
        after = theirs[np.minimum(place, len(theirs) - 1)] - at
        overlap[mine] = (np.abs(before) < 2 * HALF) | (np.abs(after) < 2 * HALF)
    return overlap
