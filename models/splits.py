"""Which recording serves for what: the one place where patients are parted.

The customary inter-patient split of the MIT-BIH Arrhythmia Database (de Chazal, O'Dwyer & Reilly, "Automatic
classification of heartbeats using ECG morphology and heartbeat interval features", IEEE Trans. Biomed. Eng. 51,
2004) parts the 44 unpaced records into DS1 and DS2. Training, every choice and every calibration happen within DS1 and
29 records of the MIT-BIH Supraventricular Arrhythmia Database, whose patients are others; DS2 and the ten records of
that database which were named before any training (``benchmarks/held_out.toml``) only test.

Records 201 and 202 are the same person, and the customary split has 201 in DS1 and 202 in DS2. Record 201 therefore
only takes part in choosing: no weight is ever fitted to a patient of DS2. What is left of the link is why results on
DS2 are also given without 202.

Choices are made by cross-validation over patients: each fold's patients are judged by a network that has not seen them.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

DATABASE: Final = "mitdb"

DS1: Final = tuple(
    f"{DATABASE}/{number}"
    for number in (
        *(101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122),
        *(124, 201, 203, 205, 207, 208, 209, 215, 220, 223, 230),
    )
)
DS2: Final = tuple(
    f"{DATABASE}/{number}"
    for number in (
        *(100, 103, 105, 111, 113, 117, 121, 123, 200, 202, 210),
        *(212, 213, 214, 219, 221, 222, 228, 231, 232, 233, 234),
    )
)
PACED: Final = tuple(f"{DATABASE}/{number}" for number in (102, 104, 107, 217))
"""Left out of AAMI class totals, of training and of testing."""

SVDB_TESTING: Final = tuple(f"svdb/{number}" for number in (802, 827, 841, 845, 849, 855, 863, 871, 879, 887))
"""Never trained on."""
SVDB_TRAINING: Final = tuple(
    f"svdb/{number}"
    for number in (
        *(800, 804, 806, 808, 810, 812, 821, 823, 825, 829),
        *(843, 847, 851, 853, 857, 859, 861, 865, 867, 869),
        *(873, 875, 877, 881, 883, 885, 889, 891, 893),
    )
)
EDB: Final = ("edb/e0103", "edb/e0808", "edb/e1304")
"""Never trained on."""
NEVER_FITTED: Final = (f"{DATABASE}/201", f"{DATABASE}/202")
"""One person, in both halves of the customary split: no weight is fitted to either, whichever half is fitted to."""
CHOOSING_ONLY: Final = tuple(name for name in DS1 if name in NEVER_FITTED)
"""Judged in cross-validation, never fitted to."""
FOLDS: Final = 5

_SAME_PATIENT: Final = {f"{DATABASE}/202": f"{DATABASE}/201"}


def patient_of(record: str) -> str:
    """Return a name that is the same for two records, or two leads (``"mitdb/101#1"``), of one person."""
    record = record.partition("#")[0]
    return _SAME_PATIENT.get(record, record)


def folds(records: Sequence[str], *, seed: int = 0) -> list[tuple[str, ...]]:
    """Part records into `FOLDS` groups of whole patients, each database spread evenly.

    Parameters
    ----------
    records : sequence of str
        Records of one lead.
    seed : int
        Of the shuffle.
    """
    parts: list[list[str]] = [[] for _ in range(FOLDS)]
    random = np.random.default_rng(seed)
    place = 0
    for database in sorted({record.partition("/")[0] for record in records}):
        patients = sorted({patient_of(record) for record in records if record.startswith(f"{database}/")})
        for patient in random.permutation(patients).tolist():
            parts[place % FOLDS].extend(record for record in records if patient_of(record) == patient)
            place += 1
    return [tuple(part) for part in parts]
