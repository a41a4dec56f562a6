"""Scalars over steps in the file format that TensorBoard reads, without TensorBoard.

A file of records: length, masked CRC-32C of the length, a protocol buffer `Event`, masked CRC-32C of that. Only what
a scalar needs of `Event` is written. Appending is how a resumed run goes on.

Sources: TensorFlow, ``tensorflow/core/lib/io/record_writer.cc``, ``core/util/event.proto`` and
``core/framework/summary.proto`` for the layout; RFC 3720, appendix B.4, for the checksum.
"""

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_NAME: Final = "events.out.tfevents.0000000000.strapwatch"
_POLYNOMIAL: Final = 0x82F63B78
_MASK: Final = 0xA282EAD8
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5


def add_scalars(folder: Path, step: int, values: Mapping[str, float]) -> None:
    """Append one event to the file in `folder`, which is begun if there is none.

    Parameters
    ----------
    folder : Path
        What ``tensorboard --logdir`` is given, or a folder below it.
    step : int
        Such as the epoch.
    values : mapping of str to float
        By the names that TensorBoard shows.
    """
    path = folder / _NAME
    now = struct.pack("<d", time.time())
    records = []
    if not path.exists():
        records.append(_field(1, _DOUBLE, now) + _field(3, _BYTES, b"brain.Event:2"))
    summary = b"".join(
        _field(1, _BYTES, _field(1, _BYTES, tag.encode()) + _field(2, _FLOAT, struct.pack("<f", value)))
        for tag, value in values.items()
    )
    records.append(_field(1, _DOUBLE, now) + _field(2, _VARINT, _varint(step)) + _field(5, _BYTES, summary))
    with path.open("ab") as file:
        file.write(b"".join(_record(record) for record in records))


def checksum(data: bytes) -> int:
    """Return the CRC-32C of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    crc = checksum(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF)


def _field(number: int, kind: int, payload: bytes) -> bytes:
    length = _varint(len(payload)) if kind == _BYTES else b""
    return _varint(number << 3 | kind) + length + payload


def _varint(value: int) -> bytes:
    answer = bytearray()
    while value > 0x7F:
        answer.append(value & 0x7F | 0x80)
        value >>= 7
    answer.append(value)
    return bytes(answer)
