"""Room on the disk for what is seldom needed again: bytes in a file that has no name and is gone with the process."""

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final

LEAST_BYTES: Final = 4096
MOST_BYTES: Final = 2 * 1024**3
"""All places together; what finds none stays in memory."""


class Scratched:
    """A place in a scratch file; it is given back once nobody holds this any more."""

    __slots__ = ("_begin", "_file", "_places", "_size")

    def __init__(self, file: "ScratchFile", begin: int, size: int, places: list[int]) -> None:
        self._file = file
        self._begin = begin
        self._size = size
        self._places = places

    def read(self) -> bytes:
        """Return what lies there.

        Raises
        ------
        OSError
            If the disk does not give it back.
        """
        return self._file.read(self._begin, self._size)

    def __del__(self) -> None:
        """Give the place back, from whichever thread."""
        self._places.append(self._begin)


class ScratchFile:
    """A file with places of 4 KiB, 8 KiB, and so on, each used again by what fits. One thread puts, any may read.

    Parameters
    ----------
    folder : Path
        On a disk with room.

    Raises
    ------
    OSError
        If no file can be made there.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._end = 0
        # Lists, since appending and popping are atomic: places come back from any thread.
        self._free: defaultdict[int, list[int]] = defaultdict(list)

    @property
    def size(self) -> int:
        """Bytes up to the end of the last place."""
        return self._end

    def put(self, content: bytes) -> Scratched | None:
        """Write bytes and return their place; None where the disk or the file is full."""
        room = max(1 << (len(content) - 1).bit_length(), LEAST_BYTES)
        places = self._free[room]
        if not places and self._end + room > MOST_BYTES:
            return None
        begin = places.pop() if places else self._end
        self._end = max(self._end, begin + room)
        place = Scratched(self, begin, len(content), places)
        try:
            written = os.pwrite(self._file.fileno(), content, begin)
        except OSError:
            return None
        return place if written == len(content) else None

    def read(self, begin: int, size: int) -> bytes:
        """Return bytes from a place.

        Raises
        ------
        OSError
            If the disk does not give them back.
        """
        content = os.pread(self._file.fileno(), size, begin)
        if len(content) != size:
            raise OSError(f"{len(content)} of {size} bytes are left of what was put there")
        return content

    def close(self) -> None:
        """Let the file go, with all that lies there."""
        self._file.close()
