"""The recordings of the detector's table: whole databases, the records kept aside, and the noise stress records."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from simulators.noise_mixture import mixture, score_noisy_only
from simulators.records import Record, data_folder, read_record, records_in

DATABASES: Final = ("mitdb", "edb", "svdb")
NOISE_STRESS_DB: Final = (24, 12, 6, 0)
_HELD_OUT: Final = Path(__file__).with_name("held_out.toml")


@dataclass(frozen=True, slots=True, eq=False)
class RecordSet:
    """Recordings that share a row of the table.

    Attributes
    ----------
    name : str
        Its name there.
    records : tuple of Record
        With their truth; of the noise stress records only noisy stretches are scored.
    part_of : str
        The set that holds them too, so that no record is run twice; empty where there is none.
    """

    name: str
    records: tuple[Record, ...]
    part_of: str = ""


@cache
def held_out() -> dict[str, tuple[str, ...]]:
    """Return the records that nobody looked at while tuning, by database."""
    named = tomllib.loads(_HELD_OUT.read_text(encoding="utf-8"))
    return {database: tuple(names) for database, names in named.items()}


def record_sets() -> Iterator[RecordSet]:
    """Read all sets there are data for, first lead each."""
    for database in DATABASES:
        folder = data_folder() / database
        if not folder.is_dir():
            continue
        records = tuple(read_record(stem, lead=0) for stem in records_in(folder))
        yield RecordSet(database, records)
        aside = held_out().get(database, ())
        kept = tuple(record for record in records if record.name.rsplit("/", 1)[-1] in aside)
        if kept:
            yield RecordSet(f"{database}, kept aside", kept, part_of=database)
    if (data_folder() / "nstdb").is_dir() and (data_folder() / "mitdb").is_dir():
        for snr_db in NOISE_STRESS_DB:
            yield RecordSet(f"nstdb {snr_db} dB", (noise_stress(snr_db),))


def noise_stress(snr_db: int) -> Record:
    """Read record 118 with electrode motion, or make it where the database has none at this ratio."""
    if snr_db in {24, 12, 0}:
        record = read_record(f"nstdb/118e{snr_db:02d}", lead=0)
    else:
        clean, noisy = read_record("mitdb/118", lead=0), read_record("nstdb/118e00", lead=0)
        record = mixture(clean, noisy, noisy_db=0, snr_db=snr_db)
    if record.truth is None:
        raise ValueError(f"{record.name} has no reference annotations")
    return replace(record, truth=score_noisy_only(record.truth, len(record)))
