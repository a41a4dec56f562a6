"""Who is in the demo: unseen recordings where there is local data, else a real excerpt and synthetic athletes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from simulators.records import data_folder, records_in

NAMES: Final = (
    "ada", "bo", "cleo", "dara", "emil", "finn", "gil", "hana", "ivo", "juno", "kaya", "lior",
    "mila", "nils", "oda", "pia", "quin", "rosa", "sven", "tara", "ugo", "vera", "wim", "yara",
)  # fmt: skip
EXCERPT: Final = "excerpt"
SYNTHETIC: Final = "synthetic"
EXCERPT_STARTS_S: Final = (60.0, 100.0, 0.0, 125.0)
"""Where the excerpt begins for the athletes who replay it: its couplets lie at 93, 138 and 152 s, so the first and the
second of them show one within the first minute."""

# Recordings worth seeing come first: ventricular beats, runs and couplets, both databases in turn.
_FIRST_MITDB: Final = ("200", "233", "213", "221", "228", "210", "214", "202")
_FIRST_EDB: Final = ("e0103", "e1304", "e0808")
_LATER_START_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Part:
    """One athlete of the demo.

    Attributes
    ----------
    athlete : str
        Pseudonym.
    record : str
        ``"mitdb/200"``, ``"excerpt"`` or ``"synthetic"``.
    start_s : float
        Where in the record the athlete begins.
    """

    athlete: str
    record: str
    start_s: float = 0.0


def cast(athletes: int, *, card: Path) -> list[Part]:
    """Choose the athletes of a demo.

    Parameters
    ----------
    athletes : int
        How many.
    card : Path
        The model's card: recordings that it was trained or chosen on are left out.

    Returns
    -------
    list of Part
        With local data, mitdb and edb records that the model has not seen; without, every second athlete replays the
        real excerpt of mitdb/208, the others are synthetic.
    """
    unseen = _unseen_records(_seen_records(card))
    parts = _repeat(unseen) if unseen else _without_data()
    return [Part(_name(number), *next(parts)) for number in range(athletes)]


def _name(number: int) -> str:
    round_, index = divmod(number, len(NAMES))
    return NAMES[index] if round_ == 0 else f"{NAMES[index]}-{round_ + 1}"


def _repeat(records: list[str]) -> Iterator[tuple[str, float]]:
    start_s = 0.0
    while True:
        for record in records:
            yield record, start_s
        # The same people once more, but not in step with themselves.
        start_s = (start_s + _LATER_START_S) % (5 * _LATER_START_S)


def _without_data() -> Iterator[tuple[str, float]]:
    number = 0
    while True:
        yield EXCERPT, EXCERPT_STARTS_S[number % len(EXCERPT_STARTS_S)]
        yield SYNTHETIC, 0.0
        number += 1


def _seen_records(card: Path) -> frozenset[str]:
    described = msgspec.json.decode(card.read_bytes())
    return frozenset(described["training_records"]) | frozenset(described.get("validation_records", ()))


def _unseen_records(seen: frozenset[str]) -> list[str]:
    folder = data_folder()
    found: dict[str, list[str]] = {}
    for database, first in (("mitdb", _FIRST_MITDB), ("edb", _FIRST_EDB)):
        there = [path.name for path in records_in(folder / database)] if (folder / database).is_dir() else []
        ranked = [name for name in first if name in there] + [name for name in there if name not in first]
        found[database] = [f"{database}/{name}" for name in ranked if f"{database}/{name}" not in seen]
    mitdb, edb = iter(found["mitdb"]), iter(found["edb"])
    mixed: list[str] = []
    # Two at 360 Hz, then one at 250 Hz, for as long as there are both.
    while True:
        batch = [name for source in (mitdb, edb, mitdb) if (name := next(source, None)) is not None]
        if not batch:
            return mixed
        mixed += batch
