"""The journal of packets: each is written down before the broker is told that it has come.

A packet that was read, and whose effect lay only in the memory of a process that was killed, is found here again. One
write to a file without a buffer of ours survives the death of the process at any instant (a power failure may take the
last seconds, for nothing is forced to the disk). Segments go when they are older than any snapshot needs.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from monitor.wire import Topic

SEGMENT_BYTES: Final = 4 * 1024 * 1024
SEGMENT_S: Final = 15.0
KEPT_S: Final = 90.0
"""Packets are kept at least this long: several rounds of snapshots."""
MAX_BYTES: Final = 512 * 1024 * 1024
_HEAD: Final = struct.Struct("<II")
_MAX_RECORD: Final = 1024 * 1024
_RETRY_S: Final = 5.0

_log = structlog.stdlib.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode


class Recorded(NamedTuple):
    """A packet in the journal.

    Attributes
    ----------
    position : int
        Its place: each is one more than the one before.
    arrived_at : float
        Unix time in seconds.
    team, athlete, channel : str
        Its topic.
    payload : bytes
        As it came.
    """

    position: int
    arrived_at: float
    team: str
    athlete: str
    channel: str
    payload: bytes


_decoder = msgspec.msgpack.Decoder(tuple[int, float, str, str, str, bytes])


class PacketJournal:
    """Packets in the order in which they came, in segments of some megabytes.

    Parameters
    ----------
    folder : Path
        Where segments are; it has to be there.
    kept_s : float
        How long a segment is kept after its last packet, in seconds.
    max_bytes : int
        All segments together; beyond it the oldest goes, however young.
    """

    def __init__(self, folder: Path, *, kept_s: float = KEPT_S, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._kept_s = kept_s
        self._max_bytes = max_bytes
        self._segments = _segments_in(folder)
        self.position = max((recorded.position for recorded in self._last_segment()), default=-1)
        self.unsaved = 0
        self._file: int | None = None
        self._size = 0
        self._begun = 0.0
        self._tried_at = -_RETRY_S

    def append(self, topic: Topic, payload: bytes, arrived_at: float) -> int:
        """Write a packet down and return its position; where the disk does not take it, it is counted as unsaved."""
        self.position += 1
        body = _encode((self.position, arrived_at, topic.team, topic.athlete, topic.channel, payload))
        record = _HEAD.pack(len(body), zlib.crc32(body)) + body
        if not self._write(record):
            self.unsaved += 1
        return self.position

    def read(self, after: int = -1) -> Iterator[Recorded]:
        """Yield the packets behind a position, in order; what a crash cut short ends its segment."""
        for segment in list(self._segments):
            for recorded in _records_in(segment):
                if recorded.position > after:
                    yield recorded

    def close(self) -> None:
        """Close the segment under way; it stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, record: bytes) -> bool:
        now = time.monotonic()
        full = self._size + len(record) > SEGMENT_BYTES or now - self._begun > SEGMENT_S
        try:
            if self._file is None or full:
                if self._file is None and now - self._tried_at < _RETRY_S:
                    return False
                self._begin_segment(now)
            assert self._file is not None  # noqa: S101 - a segment was begun
            written = os.write(self._file, record)
        except OSError as error:
            self._failed(str(error), now)
            return False
        self._size += written
        if written != len(record):
            # The rest of this segment could not be read; the next packet begins another one.
            self._failed("the disk is full", now)
            return False
        return True

    def _begin_segment(self, now: float) -> None:
        self.close()
        self._tried_at = now
        path = self._folder / f"packets-{self.position:020d}.journal"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._segments.append(path)
        self._size, self._begun = 0, now
        self._remove_old()

    def _remove_old(self) -> None:
        sizes = {path: path.stat() for path in self._segments if path.exists()}
        total = sum(found.st_size for found in sizes.values())
        for path in self._segments[:-1]:
            found = sizes.get(path)
            if (
                found is not None
                and total <= self._max_bytes
                and time.time() - found.st_mtime <= self._kept_s
            ):
                break
            path.unlink(missing_ok=True)
            self._segments.remove(path)
            total -= found.st_size if found is not None else 0

    def _failed(self, reason: str, now: float) -> None:
        _log.error(
            "the packet journal cannot be written; a crash now would lose packets",
            folder=str(self._folder),
            reason=reason,
            unsaved=self.unsaved + 1,
        )
        self.close()
        self._tried_at = now

    def _last_segment(self) -> Iterator[Recorded]:
        for segment in reversed(self._segments):
            found = False
            for recorded in _records_in(segment):
                found = True
                yield recorded
            if found:
                return


def _segments_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("packets-*.journal"))


def _records_in(segment: Path) -> Iterator[Recorded]:
    try:
        content = segment.read_bytes()
    except OSError as error:
        _log.error("a part of the packet journal cannot be read", path=str(segment), reason=str(error))
        return
    begin = 0
    while begin + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, begin)
        body = content[begin + _HEAD.size : begin + _HEAD.size + length]
        if length > _MAX_RECORD or len(body) != length or zlib.crc32(body) != checksum:
            _log.warning("the packet journal ends in what a crash cut short", path=str(segment), at=begin)
            return
        try:
            yield Recorded(*_decoder.decode(body))
        except msgspec.DecodeError as error:
            _log.error("a packet in the journal is of another version", path=str(segment), reason=str(error))
            return
        begin += _HEAD.size + length
