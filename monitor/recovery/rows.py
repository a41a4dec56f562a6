"""Snapshots of athletes: the rows of all stages, as `monitor.watch.Watch.export_athlete` gives them, in SQLite."""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from monitor.contract import RowState
from monitor.row_encoding import decode_state, encode_state

VERSION: Final = 1
KEPT_S: Final = 12 * 3600.0
"""An athlete who has not been seen for so long begins anew."""
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS rows (team TEXT, athlete TEXT, position INTEGER NOT NULL, at REAL NOT NULL, "
    "version INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (team, athlete))"
)
_BUSY_S: Final = 0.5

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One athlete's state at one moment.

    Attributes
    ----------
    team, athlete : str
        Pseudonyms.
    position : int
        All packets up to this position of the journal have had their effect on it.
    at : float
        Unix time in seconds.
    state : dict of str to RowState
        By stage.
    """

    team: str
    athlete: str
    position: int
    at: float
    state: dict[str, RowState]


class RowStore:
    """The newest snapshot of each athlete. Its calls touch the disk: make them from one thread at a time.

    Parameters
    ----------
    path : Path
        The SQLite file; one that is damaged is set aside.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failures = 0
        self._connection = self._open()

    def save(self, snapshots: list[Snapshot]) -> bool:
        """Put snapshots in the place of older ones, all or none; return whether the disk took them."""
        rows = [(s.team, s.athlete, s.position, s.at, VERSION, encode_state(s.state)) for s in snapshots]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self.failures += 1
            if self.failures & (self.failures - 1) == 0:
                _log.error(
                    "snapshots cannot be written; after a crash athletes would begin anew",
                    path=str(self._path),
                    reason=str(error),
                    failures=self.failures,
                )
            return False
        return True

    def load(self, now: float) -> list[Snapshot]:
        """Return the snapshots that are not too old; those of other versions are left out, and said."""
        found = []
        with self._connection:
            self._connection.execute("DELETE FROM rows WHERE at < ?", (now - KEPT_S,))
        query = "SELECT team, athlete, position, at, version, state FROM rows ORDER BY team, athlete"
        for team, athlete, position, at, version, state in self._connection.execute(query):
            try:
                found.append(Snapshot(team, athlete, position, at, _state_in(version, state)))
            except (ValueError, TypeError, msgspec.DecodeError) as error:
                _log.error("a snapshot cannot be used", team=team, athlete=athlete, reason=str(error))
        return found

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            damaged = self._path.with_name(f"{self._path.name}.damaged")
            self._path.replace(damaged)
            _log.error("snapshots are damaged and set aside", path=str(self._path), kept=str(damaged))
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            # Enough for the death of the process; after a power failure an older snapshot does.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _state_in(version: int, state: bytes) -> dict[str, RowState]:
    if version != VERSION:
        raise ValueError(f"version {version}, this monitor has {VERSION}")
    return decode_state(state)
