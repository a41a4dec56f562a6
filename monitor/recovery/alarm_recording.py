"""What the alarm machine took, written down, so that the life of every alarm can be gone through again.

Each segment begins with a checkpoint, so that it replays by itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from monitor.alarm_inputs import Input
from monitor.alarms import replay
from monitor.contract import Alarm
from monitor.recovery.segments import SegmentedLog

SEGMENT_S: Final = 3600.0
KEPT_S: Final = 30 * 24 * 3600.0
MAX_BYTES: Final = 256 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Input)


class AlarmRecording:
    """Takes the inputs of one alarm machine, as its recorder.

    Parameters
    ----------
    folder : Path
        Where segments are; it has to be there.
    """

    def __init__(self, folder: Path) -> None:
        self._records = SegmentedLog(
            folder, "alarms", segment_s=SEGMENT_S, kept_s=KEPT_S, max_bytes=MAX_BYTES
        )

    @property
    def is_full(self) -> bool:
        """Whether a segment is to begin."""
        return self._records.is_full

    def begin(self, checkpoint: list[Input]) -> None:
        """Begin a segment."""
        self._records.close()
        self._records.append_all([_encode(given) for given in checkpoint])

    def record(self, given: Input) -> None:
        """Write an input down; without a segment under way the next one's checkpoint holds what it does."""
        if self._records.is_open:
            self._records.append(_encode(given))

    def close(self) -> None:
        """Close the segment under way; it stays."""
        self._records.close()


def recorded_segments(folder: Path) -> Iterator[tuple[Path, list[Input]]]:
    """Yield the segments of a recording with their inputs, the oldest first.

    Raises
    ------
    msgspec.DecodeError, UnicodeDecodeError
        If one was written by another version.
    """
    inputs: list[Input] = []
    current: Path | None = None
    for segment, body in SegmentedLog(folder, "alarms", segment_s=0.0, kept_s=0.0, max_bytes=0).read():
        if segment != current and current is not None:
            yield current, inputs
            inputs = []
        current = segment
        inputs.append(_decoder.decode(body))
    if current is not None:
        yield current, inputs


def replayed(folder: Path) -> list[Alarm]:
    """Return every transition that a recording brings again, in order."""
    return [alarm for _, inputs in recorded_segments(folder) for alarm in replay(inputs)]
