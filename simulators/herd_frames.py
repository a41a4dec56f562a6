"""The packets of many straps as one array of bytes: every frame of a round is made by a handful of NumPy calls.

Straps whose names are equally long and whose packets hold equally many samples have frames of one layout. A frame is
made once, with integers at their widest; then only its numbers and samples are written over, for all straps at once.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.wire import WIRE_VERSION, encode, topic
from simulators.mqtt_publisher import publish_frame
from simulators.strap import Strap

_ByteArray = NDArray[np.uint8]
_UINT64, _FLOAT64 = 0xCF, 0xCB
_TRUE, _FALSE = 0xC3, 0xC2
# A packet with these is encoded at full width, and they are found again in its bytes.
_SEQUENCE_MARK: Final = 2**63 + 0x0102030405
_FIRST_SAMPLE_MARK: Final = 2**63 + 0x0504030201
_SENT_AT_MARK: Final = 1.23456789e9
_MARK_SAMPLE: Final = b"\x5a\xa5"


class HerdFrames:
    """Frames of straps of one layout.

    Parameters
    ----------
    straps : sequence of Strap
        All with the same rate, packet length, speed and lengths of names; see `layout`.
    """

    def __init__(self, straps: Sequence[Strap]) -> None:
        self.straps = list(straps)
        first = straps[0]
        self.packet_samples = round(first.packet_s * first.record.rate_hz)
        frames = [_template(strap, self.packet_samples) for strap in straps]
        self.frames: _ByteArray = np.stack([np.frombuffer(frame, np.uint8) for frame, _ in frames])
        """The last round: one MQTT frame a row, shape ``[straps, bytes]``."""
        self._places = frames[0][1]
        self.payload_begin = self._places["packet_id"] + 2
        """Where in a frame the packet itself begins."""
        # Straps that replay one record share its samples: a thousand of them hold a few dozen records.
        shared = {id(strap.record): strap.record for strap in straps}
        places = {key: place for place, key in enumerate(shared)}
        records = list(shared.values())
        self._counts = np.concatenate([record.counts for record in records])
        lengths = np.array([len(record) for record in records])
        own = np.array([places[id(strap.record)] for strap in straps])
        self._lengths = lengths[own, None]
        self._offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])[own, None]
        self._starts = np.array([int(strap.start_s * strap.record.rate_hz) for strap in straps])[:, None]
        self._valid = np.concatenate([record.valid for record in records])
        self._all_valid = bool(self._valid.all())

    def __len__(self) -> int:
        """Return how many straps there are."""
        return len(self.straps)

    def round(self, number: int, sent_at: NDArray[np.float64]) -> _ByteArray:
        """Return packet `number` of every strap as MQTT frames.

        Parameters
        ----------
        number : int
            From 0 on; records begin anew at their end.
        sent_at : ndarray of float64, shape ``[straps]``
            Unix time, in seconds, at which each is due.

        Returns
        -------
        ndarray of uint8, shape ``[straps, bytes]``
            One frame a row; the next call writes over it.
        """
        n, place = self.packet_samples, self._places
        frames = self.frames
        within = self._starts + number * n + np.arange(n)
        samples = self._offsets + within % self._lengths
        frames[:, place["packet_id"] : place["packet_id"] + 2] = _big_endian(number % 65_535 + 1, ">u2")
        frames[:, place["sequence"] : place["sequence"] + 8] = _big_endian(number, ">u8")
        frames[:, place["first_sample"] : place["first_sample"] + 8] = _big_endian(number * n, ">u8")
        times = sent_at.astype(">f8").view(np.uint8).reshape(len(sent_at), 8)
        frames[:, place["sent_at"] : place["sent_at"] + 8] = times
        counts = np.ascontiguousarray(self._counts[samples], dtype="<i2")
        frames[:, place["samples"] : place["samples"] + 2 * n] = counts.view(np.uint8)
        if not self._all_valid:
            off = ~self._valid[samples].all(axis=1)
            frames[:, place["lead_off"]] = np.where(off, _TRUE, _FALSE)
        return frames


def layout(strap: Strap) -> tuple[float, ...]:
    """Return what straps must have in common to share `HerdFrames`."""
    names = (strap.team, strap.athlete, strap.strap, strap.record.lead[:32])
    return (
        strap.record.rate_hz,
        round(strap.packet_s * strap.record.rate_hz),
        strap.speed,
        *(len(name.encode()) for name in names),
    )


def _template(strap: Strap, samples: int) -> tuple[bytes, dict[str, int]]:
    """Return a frame of one strap, and where in it the numbers stand that change."""
    packet = next(iter(strap.packets(start_at=0.0))).packet
    marked = type(packet)(
        version=WIRE_VERSION,
        strap=packet.strap,
        boot=packet.boot,
        sequence=_SEQUENCE_MARK,
        first_sample=_FIRST_SAMPLE_MARK,
        rate_hz=packet.rate_hz,
        microvolts_per_count=packet.microvolts_per_count,
        lead=packet.lead,
        lead_off=False,
        sent_at=_SENT_AT_MARK,
        samples=_MARK_SAMPLE * samples,
    )
    payload = encode(marked)
    where = topic(strap.team, strap.athlete, "samples")
    frame = publish_frame(where, payload, 1)
    begin = len(frame) - len(payload)
    lead_off = payload.index(b"\xa8lead_off") + len(b"\xa8lead_off")
    return frame, {
        "packet_id": begin - 2,
        "sequence": begin + payload.index(bytes([_UINT64]) + _SEQUENCE_MARK.to_bytes(8, "big")) + 1,
        "first_sample": begin + payload.index(bytes([_UINT64]) + _FIRST_SAMPLE_MARK.to_bytes(8, "big")) + 1,
        "sent_at": begin + payload.index(bytes([_FLOAT64]) + np.array(_SENT_AT_MARK, ">f8").tobytes()) + 1,
        "lead_off": begin + lead_off,
        "samples": begin + payload.index(_MARK_SAMPLE * samples),
    }


def _big_endian(value: int, kind: str) -> _ByteArray:
    return np.array([value], kind).view(np.uint8)


def phases_s(straps: int, packet_s: float) -> NDArray[np.float64]:
    """Return when within a packet's time each strap is due, evenly apart, shape ``[straps]``."""
    phases: NDArray[np.float64] = (np.arange(straps) * (packet_s / straps)).astype(np.float64)
    return phases
