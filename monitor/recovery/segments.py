"""Records on disk in segments: each is one write without a buffer of ours, so that our death loses none.

Whatever a crash cuts short ends its segment, and is found by its checksum. A power failure may take the last seconds,
for nothing is forced to the disk.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import structlog

SEGMENT_BYTES: Final = 4 * 1024 * 1024
_HEAD: Final = struct.Struct("<II")
_MAX_RECORD: Final = 16 * 1024 * 1024
_RETRY_S: Final = 5.0

_log = structlog.stdlib.get_logger(__name__)


class SegmentedLog:
    """Records in the order in which they were written, in files of some megabytes, the oldest of which go.

    Parameters
    ----------
    folder : Path
        Where the segments are; it has to be there.
    name : str
        What their names begin with.
    segment_s : float
        A segment is begun at least this often, in seconds.
    kept_s : float
        A segment is kept so long after its last record, in seconds.
    max_bytes : int
        All segments together; beyond it the oldest goes, however young.
    """

    def __init__(self, folder: Path, name: str, *, segment_s: float, kept_s: float, max_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._segment_s = segment_s
        self._kept_s = kept_s
        self._max_bytes = max_bytes
        self._segments = sorted(folder.glob(f"{name}-*.journal"))
        self._number = int(self._segments[-1].stem.rpartition("-")[2]) if self._segments else 0
        self.unsaved = 0
        self._file: int | None = None
        self._size = 0
        self._begun = 0.0
        self._tried_at = -_RETRY_S

    @property
    def is_open(self) -> bool:
        """Whether a segment is under way."""
        return self._file is not None

    @property
    def is_full(self) -> bool:
        """Whether the segment under way is long or old enough, or there is none."""
        old = time.monotonic() - self._begun > self._segment_s
        return self._file is None or self._size > SEGMENT_BYTES or old

    def append(self, body: bytes) -> bool:
        """Write a record; return False, and count it as unsaved, where the disk does not take it."""
        return self.append_all([body])

    def append_all(self, bodies: Sequence[bytes]) -> bool:
        """Write records at once; return False, and count as unsaved those that the disk does not take."""
        if not bodies:
            return True
        written = self._write(
            b"".join([part for body in bodies for part in (_HEAD.pack(len(body), zlib.crc32(body)), body)])
        )
        unsaved = sum(end > written for end in accumulate(_HEAD.size + len(body) for body in bodies))
        self.unsaved += unsaved
        return not unsaved

    def read(self) -> Iterator[tuple[Path, bytes]]:
        """Yield all records with their segments, in order."""
        for segment in list(self._segments):
            for body in _records_in(segment):
                yield segment, body

    def newest(self) -> list[bytes]:
        """Return the records of the newest segment that has any."""
        for segment in reversed(self._segments):
            found = list(_records_in(segment))
            if found:
                return found
        return []

    def close(self) -> None:
        """Close the segment under way; it stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, records: bytes) -> int:
        """Return how many bytes the disk took."""
        now = time.monotonic()
        try:
            if self.is_full:
                if self._file is None and now - self._tried_at < _RETRY_S:
                    return 0
                self._begin_segment(now)
            assert self._file is not None  # noqa: S101 - a segment was begun
            written = os.write(self._file, records)
        except OSError as error:
            self._failed(str(error), now)
            return 0
        self._size += written
        if written != len(records):
            # What is cut short ends this segment; the next record begins another one.
            self._failed("the disk is full", now)
        return written

    def _begin_segment(self, now: float) -> None:
        self.close()
        self._tried_at = now
        self._number += 1
        path = self._folder / f"{self._name}-{self._number:012d}.journal"
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
            "a journal cannot be written; a crash now would lose what it should hold",
            journal=self._name,
            folder=str(self._folder),
            reason=reason,
            unsaved=self.unsaved + 1,
        )
        self.close()
        self._tried_at = now


def _records_in(segment: Path) -> Iterator[bytes]:
    try:
        content = segment.read_bytes()
    except OSError as error:
        _log.error("a part of a journal cannot be read", path=str(segment), reason=str(error))
        return
    begin = 0
    while begin + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(content, begin)
        body = content[begin + _HEAD.size : begin + _HEAD.size + length]
        if length > _MAX_RECORD or len(body) != length or zlib.crc32(body) != checksum:
            _log.warning("a journal ends in what a crash cut short", path=str(segment), at=begin)
            return
        yield body
        begin += _HEAD.size + length
