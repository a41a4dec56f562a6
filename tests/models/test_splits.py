"""Patients are parted once and for all."""

import tomllib
from pathlib import Path

from models.splits import (
    CHOOSING_ONLY,
    DS1,
    DS2,
    FOLDS,
    PACED,
    SVDB_TESTING,
    SVDB_TRAINING,
    folds,
    patient_of,
)
from simulators.annotations import PACED_RECORDS


def test_no_patient_is_in_two_parts() -> None:
    """What is fitted to shares no patient with what tests; only 201's, which is not fitted to, is in DS2 too."""
    fitted = {patient_of(name) for name in (*DS1, *SVDB_TRAINING) if name not in CHOOSING_ONLY}
    testing = {patient_of(name) for name in (*DS2, *SVDB_TESTING)}
    assert not fitted & testing
    assert {patient_of(name) for name in CHOOSING_ONLY} & testing == {"mitdb/201"}
    assert not (fitted | testing) & set(PACED)


def test_parts_are_the_customary_ones() -> None:
    """DS1 and DS2 have 22 records each; the svdb records kept aside are those named before any tuning."""
    assert len(set(DS1)) == len(set(DS2)) == 22
    assert not set(DS1) & set(DS2)
    assert set(PACED) == PACED_RECORDS
    held_out = Path(__file__).parents[2] / "benchmarks" / "held_out.toml"
    named = tomllib.loads(held_out.read_text(encoding="utf-8"))["svdb"]
    assert set(SVDB_TESTING) == {f"svdb/{number}" for number in named}
    assert len(set(SVDB_TRAINING)) == 29
    assert not set(SVDB_TRAINING) & set(SVDB_TESTING)


def test_folds_keep_patients_whole() -> None:
    """Every record is in one fold, both records of one person in the same, every fold has both databases."""
    records = (*DS1, "mitdb/202", *SVDB_TRAINING)
    parts = folds(records)
    assert len(parts) == FOLDS
    assert sorted(name for part in parts for name in part) == sorted(records)
    where = {name: number for number, part in enumerate(parts) for name in part}
    assert where["mitdb/201"] == where["mitdb/202"]
    assert all({name[:4] for name in part} == {"mitd", "svdb"} for part in parts)
    assert patient_of("mitdb/201#1") == "mitdb/201"
