"""Which recording serves for what: the one place where patients are parted.

The customary inter-patient split of the MIT-BIH Arrhythmia Database (de Chazal, O'Dwyer & Reilly, "Automatic
classification of heartbeats using ECG morphology and heartbeat interval features", IEEE Trans. Biomed. Eng. 51,
2004) parts the 44 unpaced records into DS1 and DS2. Training, every choice and every calibration happen within DS1;
DS2 only tests.

Records 201 and 202 are the same person, and the customary split has 201 in DS1 and 202 in DS2. Record 201 therefore
serves for validation only: no weight is ever fitted to a patient of DS2. What is left of the link, the choice of an
epoch and of two calibration constants, is why results on DS2 are also given without 202.
"""

from typing import Final

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

VALIDATION: Final = tuple(f"{DATABASE}/{number}" for number in (114, 201, 215, 223))
"""Patients of DS1 that choose the epoch and calibrate; they hold S and V beats of several kinds."""
TRAINING: Final = tuple(name for name in DS1 if name not in VALIDATION)

_SAME_PATIENT: Final = {f"{DATABASE}/202": f"{DATABASE}/201"}


def patient_of(record: str) -> str:
    """Return a name that is the same for two records of one person."""
    return _SAME_PATIENT.get(record, record)
