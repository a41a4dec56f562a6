"""Evidence on disk until the server has taken it: alarms of an hour without a server can be raised again, too.

One file an alarm, written whole or not at all, beside the outbox in which the alarms themselves wait. It is bounded:
what is too much leaves from the oldest on, and is counted. Evidence explains an alarm that was told; so where the disk
takes none, it is let go, while alarms wait in memory.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from monitor.evidence_log import PackedEvidence

MOST_FILES: Final = 500
MOST_BYTES: Final = 128 * 1024 * 1024
_SUFFIX: Final = ".evidence"
_PART: Final = ".part"

_log = structlog.stdlib.get_logger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PackedEvidence)


class EvidenceShelf:
    """Evidence that waits for the server. Its calls touch the disk: make them from one thread at a time.

    Parameters
    ----------
    folder : Path
        Made where needed; what a former run left there waits on.
    most_files, most_bytes : int
        What may wait.
    """

    def __init__(self, folder: Path, *, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._number = 0

    def put(self, evidence: Sequence[PackedEvidence]) -> int:
        """Write evidence, and return how much was lost: could not be written, or made room."""
        lost = 0
        for found in evidence:
            self._number += 1
            name = f"{time.time_ns():020d}-{self._number:06d}{_SUFFIX}"
            part = self._folder / f"{name}{_PART}"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as file:
                    file.write(_encoder.encode(found))
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(self._folder / name)
            except OSError as error:
                lost += 1
                _log.error("evidence cannot be kept", path=str(self._folder), reason=str(error))
                with suppress(OSError):
                    part.unlink(missing_ok=True)
        return lost + self._make_room()

    def oldest(self) -> tuple[Path, PackedEvidence] | None:
        """Return what waits longest and the file it is in; None where nothing waits. What is damaged is removed."""
        for path in self._files():
            try:
                return path, _decoder.decode(path.read_bytes())
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.error("evidence on disk is damaged and left out", path=str(path), reason=str(error))
                self.remove(path)
        return None

    def remove(self, path: Path) -> None:
        """Let go of what the server has taken."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("evidence stays on disk", path=str(path), reason=str(error))

    def _files(self) -> list[Path]:
        with suppress(OSError):
            return sorted(self._folder.glob(f"*{_SUFFIX}"))
        return []

    def _make_room(self) -> int:
        files = self._files()
        sizes = [path.stat().st_size for path in files]
        lost = 0
        while files and (len(files) > self._most_files or sum(sizes) > self._most_bytes):
            self.remove(files.pop(0))
            sizes.pop(0)
            lost += 1
        return lost
