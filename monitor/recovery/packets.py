"""The journal of packets: each is written down before the broker is told that it has come.

A packet that was read, and whose effect lay only in the memory of a process that was killed, is found here again.
Segments go when they are older than any snapshot needs.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from monitor.recovery.segments import SegmentedLog
from monitor.wire import Topic

SEGMENT_S: Final = 15.0
KEPT_S: Final = 90.0
"""Packets are kept at least this long: several rounds of snapshots."""
MAX_BYTES: Final = 512 * 1024 * 1024

_log = structlog.stdlib.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(tuple[int, float, str, str, str, bytes])


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


class PacketJournal:
    """Packets in the order in which they came.

    Parameters
    ----------
    folder : Path
        Where segments are; it has to be there.
    kept_s, max_bytes : float, int
        See `monitor.recovery.segments.SegmentedLog`.
    """

    def __init__(self, folder: Path, *, kept_s: float = KEPT_S, max_bytes: int = MAX_BYTES) -> None:
        self._records = SegmentedLog(
            folder, "packets", segment_s=SEGMENT_S, kept_s=kept_s, max_bytes=max_bytes
        )
        newest = self._records.newest()
        self.position = max((found.position for body in newest if (found := _decoded(body))), default=-1)

    @property
    def unsaved(self) -> int:
        """Packets that the disk did not take."""
        return self._records.unsaved

    def append(self, topic: Topic, payload: bytes, arrived_at: float) -> int:
        """Write a packet down and return its position; where the disk does not take it, it is counted as unsaved."""
        self.append_all([(topic, payload, arrived_at)])
        return self.position

    def append_all(self, packets: Sequence[tuple[Topic, bytes, float]]) -> None:
        """Write packets down at once: topic, payload and Unix time of arrival of each."""
        first = self.position + 1
        self.position += len(packets)
        self._records.append_all(
            [
                _encode((position, arrived_at, *topic, payload))
                for position, (topic, payload, arrived_at) in enumerate(packets, first)
            ]
        )

    def read(self, after: int = -1) -> Iterator[Recorded]:
        """Yield the packets behind a position, in order."""
        for _, body in self._records.read():
            recorded = _decoded(body)
            if recorded is not None and recorded.position > after:
                yield recorded

    def close(self) -> None:
        """Close the segment under way; it stays."""
        self._records.close()


def _decoded(body: bytes) -> Recorded | None:
    try:
        return Recorded(*_decoder.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.error("a packet in the journal is of another version", reason=str(error))
        return None
