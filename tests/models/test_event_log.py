"""The training log is in the format that TensorBoard reads."""

import struct
from pathlib import Path

import pytest

from models.event_log import add_scalars, checksum


def _records(data: bytes) -> list[bytes]:
    """Return the records of an event file, each held to both of its checksums."""

    def held(part: bytes, masked: int) -> bytes:
        rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
        assert checksum(part) == ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF
        return part

    found = []
    while data:
        length = held(data[:8], *struct.unpack("<I", data[8:12]))
        end = 12 + struct.unpack("<Q", length)[0]
        found.append(held(data[12:end], *struct.unpack("<I", data[end : end + 4])))
        data = data[end + 4 :]
    return found


def test_the_checksum_is_crc_32c() -> None:
    """The examples of RFC 3720, appendix B.4, and the usual check value."""
    assert checksum(bytes(32)) == 0x8A9136AA
    assert checksum(b"\xff" * 32) == 0x62A8AB43
    assert checksum(b"123456789") == 0xE3069283


def test_events_hold_steps_and_values(tmp_path: Path) -> None:
    """A file begins with its version once; steps above 127 and several values come through; more is appended."""
    add_scalars(tmp_path, 1, {"loss": 0.5})
    add_scalars(tmp_path, 300, {"loss": 0.25, "accuracy": 0.75})
    (path,) = tmp_path.glob("events.out.tfevents.*")
    version, first, second = _records(path.read_bytes())
    assert version.endswith(b"\x1a\x0dbrain.Event:2")
    half = struct.pack("<f", 0.5)
    assert first[9:] == b"\x10\x01" + b"\x2a\x0d" + b"\x0a\x0b" + b"\x0a\x04loss" + b"\x15" + half
    assert second[9:12] == b"\x10\xac\x02"
    assert second.count(b"\x15") == 2
    assert second.endswith(b"accuracy\x15" + struct.pack("<f", 0.75))


def test_a_file_of_nothing_but_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """The reader of this test would see damage."""
    add_scalars(tmp_path, 1, {"loss": 0.5})
    (path,) = tmp_path.glob("events.out.tfevents.*")
    data = bytearray(path.read_bytes())
    data[14] ^= 1
    with pytest.raises(AssertionError):
        _records(bytes(data))
