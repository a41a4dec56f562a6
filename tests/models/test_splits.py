"""Patients are parted once and for all."""

from models.splits import DS1, DS2, PACED, TRAINING, VALIDATION, patient_of
from simulators.annotations import PACED_RECORDS


def test_no_patient_is_in_two_parts() -> None:
    """Training shares no patient with validation or DS2; only 201's patient is in both validation and DS2."""
    training, validation, testing = (
        {patient_of(name) for name in part} for part in (TRAINING, VALIDATION, DS2)
    )
    assert not training & validation
    assert not training & testing
    assert validation & testing == {"mitdb/201"}
    assert not (training | validation | testing) & set(PACED)


def test_parts_are_the_customary_ones() -> None:
    """DS1 and DS2 have 22 records each, and training and validation make up DS1."""
    assert len(set(DS1)) == len(set(DS2)) == 22
    assert sorted(TRAINING + VALIDATION) == sorted(DS1)
    assert set(PACED) == PACED_RECORDS
