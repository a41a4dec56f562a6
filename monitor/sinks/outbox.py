"""Alarms on disk until the server has taken them: they survive our crash, and go out in the order they came in.

A row is written (SQLite, WAL, synchronous FULL) before anything else is tried, and deleted once the server has it. A
crash between the two sends it again, which the server's script recognises. Where the disk is full or may not be
written, alarms wait in memory instead, which is counted, and said in the log.
"""

import sqlite3
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import structlog

from monitor.contract import Alarm

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS alarms (id INTEGER PRIMARY KEY AUTOINCREMENT, alarm BLOB NOT NULL)"
)
_BUSY_S: Final = 0.5
_REOPEN_AFTER_S: Final = 5.0

_log = structlog.stdlib.get_logger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Alarm)


@dataclass(slots=True)
class OutboxCounts:
    """What the outbox has gone through since it was opened.

    Attributes
    ----------
    put : int
        Alarms taken in.
    found : int
        Alarms that a former run had left.
    sent : int
        Alarms the server has taken.
    unsaved : int
        Alarms that could not be written to disk and waited in memory.
    dropped : int
        Alarms lost because too many waited; the oldest go first.
    unreadable : int
        Rows on disk that were no alarm.
    disk_errors : int
        Times the file could not be opened, read or written.
    """

    put: int = 0
    found: int = 0
    sent: int = 0
    unsaved: int = 0
    dropped: int = 0
    unreadable: int = 0
    disk_errors: int = 0


@dataclass(slots=True, frozen=True, eq=False)
class Waiting:
    """An alarm that waits: its row on disk, or the alarm itself where it could not be written."""

    row: int | None
    unsaved: Alarm | None


class Outbox:
    """Alarms that wait for the server, in order. Its calls touch the disk: make them from one thread at a time.

    Parameters
    ----------
    path : Path
        The SQLite file; its folder is made where needed.
    capacity : int
        Alarms that may wait.
    memory_capacity : int
        Of these, how many may wait in memory where the disk cannot be written.
    """

    def __init__(self, path: Path, *, capacity: int = 50_000, memory_capacity: int = 2_000) -> None:
        self.path = path
        self.counts = OutboxCounts()
        self._capacity = capacity
        self._memory_capacity = memory_capacity
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._in_memory: OrderedDict[Waiting, None] = OrderedDict()
        self._unforgotten: list[int] = []
        self._connection: sqlite3.Connection | None = None
        self._tried_at = -_REOPEN_AFTER_S
        self._open()

    def __len__(self) -> int:
        """Return how many alarms wait."""
        return len(self._waiting)

    @property
    def all_safe(self) -> bool:
        """Whether everything that waits is on disk, where our own death cannot take it."""
        return not self._in_memory

    @property
    def on_disk(self) -> bool:
        """Whether the last access to the file went well."""
        return self._connection is not None

    def put(self, alarms: list[Alarm]) -> None:
        """Add alarms at the end; when this returns they are on disk, or counted as unsaved."""
        self.counts.put += len(alarms)
        rows = self._insert(alarms)
        if rows is not None:
            self._waiting.update((Waiting(row, None), None) for row in rows)
        else:
            self.counts.unsaved += len(alarms)
            for alarm in alarms:
                waiting = Waiting(None, alarm)
                self._waiting[waiting] = self._in_memory[waiting] = None
        self._drop_what_is_too_much()

    def oldest(self, at_most: int) -> list[tuple[Waiting, Alarm]]:
        """Return the alarms that wait longest, in order, without removing them.

        While the file cannot be read, what lies on it is passed over and waits on.
        """
        self._open()
        found: list[tuple[Waiting, Alarm]] = []
        damaged: list[Waiting] = []
        candidates = self._waiting if self._connection is not None else self._in_memory
        for waiting in list(islice(candidates, at_most)):
            if waiting.unsaved is not None:
                found.append((waiting, waiting.unsaved))
            elif waiting.row is not None and self._connection is not None:
                try:
                    found.append((waiting, self._read(self._connection, waiting.row)))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    damaged.append(waiting)
                except sqlite3.Error as error:
                    self._failed("read", error)
        if damaged:
            self.counts.unreadable += len(damaged)
            _log.error(
                "alarms in the outbox are damaged and left out", path=str(self.path), count=len(damaged)
            )
            self._remove(damaged)
        return found

    def sent(self, waiting: list[Waiting]) -> None:
        """Remove alarms that the server has taken.

        One that had to make room while it was on its way is not lost after all, and counts as sent alone.
        """
        self.counts.sent += len(waiting)
        self.counts.dropped -= sum(each not in self._waiting for each in waiting)
        self._remove([each for each in waiting if each in self._waiting])

    def close(self) -> None:
        """Close the file; what waits on disk stays there for the next run."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> None:
        now = time.monotonic()
        if self._connection is not None or now - self._tried_at < _REOPEN_AFTER_S:
            return
        self._tried_at = now
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection, rows = self._opened()
        except (sqlite3.DatabaseError, OSError) as error:
            self._failed("opened", error)
            return
        known = {waiting.row for waiting in self._waiting}
        left = [Waiting(row, None) for row in rows if row not in known and row not in self._unforgotten]
        self.counts.found += len(left)
        for waiting in reversed(left):
            # It was written before anything that waits in memory now.
            self._waiting[waiting] = None
            self._waiting.move_to_end(waiting, last=False)
        if left:
            _log.info("alarms of a former run wait in the outbox", path=str(self.path), count=len(left))

    def _opened(self) -> tuple[sqlite3.Connection, list[int]]:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            # "file is not a database" or "malformed": keep it for whoever wants to look, and begin anew.
            if isinstance(error, sqlite3.OperationalError) or not self.path.is_file():
                raise
            damaged = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            self.path.rename(damaged)
            self.counts.disk_errors += 1
            _log.error(
                "outbox is damaged; set aside, a new one begins", path=str(self.path), kept=str(damaged)
            )
            return self._connect()

    def _connect(self) -> tuple[sqlite3.Connection, list[int]]:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=16
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(_SCHEMA)
            rows = [row for (row,) in connection.execute("SELECT id FROM alarms ORDER BY id")]
        except sqlite3.Error:
            connection.close()
            raise
        return connection, rows

    def _insert(self, alarms: list[Alarm]) -> list[int] | None:
        self._open()
        if self._connection is None:
            return None
        rows: list[int] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for alarm in alarms:
                cursor = self._connection.execute(
                    "INSERT INTO alarms (alarm) VALUES (?)", (_encoder.encode(alarm),)
                )
                rows.append(cursor.lastrowid or 0)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._failed("written", error)
            return None
        return rows

    def _read(self, connection: sqlite3.Connection, row: int) -> Alarm:
        found = connection.execute("SELECT alarm FROM alarms WHERE id = ?", (row,)).fetchone()
        return _decoder.decode(found[0] if found is not None else b"")

    def _remove(self, gone: list[Waiting]) -> None:
        for waiting in gone:
            del self._waiting[waiting]
            self._in_memory.pop(waiting, None)
            if waiting.row is not None:
                self._unforgotten.append(waiting.row)
        self._open()
        if self._connection is None or not self._unforgotten:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "DELETE FROM alarms WHERE id = ?", [(row,) for row in self._unforgotten]
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            # They are sent already; a later removal, or the next run, tries again.
            self._failed("written", error)
        else:
            self._unforgotten.clear()

    def _drop_what_is_too_much(self) -> None:
        too_much = list(islice(self._waiting, max(0, len(self._waiting) - self._capacity)))
        if not too_much:
            too_much = list(islice(self._in_memory, max(0, len(self._in_memory) - self._memory_capacity)))
        if too_much:
            self.counts.dropped += len(too_much)
            _log.error(
                "too many alarms wait, the oldest are lost", dropped=self.counts.dropped, waiting=len(self)
            )
            self._remove(too_much)

    def _failed(self, what: str, error: Exception) -> None:
        self.counts.disk_errors += 1
        _log.error(
            f"outbox cannot be {what}; new alarms wait in memory",
            path=str(self.path),
            reason=str(error),
            waiting=len(self),
        )
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
        # Full or read-only, the file can still be read; whatever else it is, a new connection may mend it.
        if what == "read" or not isinstance(error, sqlite3.OperationalError):
            self.close()
            self._tried_at = time.monotonic()
