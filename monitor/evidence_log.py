"""From what an alarm can be raised again: an athlete's state from before it, and the packets that have come since.

A state is kept every `STATE_EVERY_S`, the last two of them, and every packet behind the older one: between a quarter
and half a minute of signal before any alarm. Of the packets `PART` at most stay as they are; the rest lies on disk
where there is a folder for it, else it is compressed.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from monitor.catalogue import Kind, RuleChange
from monitor.contract import Alarm, RowState
from monitor.rhythm.limits import AthleteLimits
from monitor.row_encoding import decode_state, encode_state
from monitor.scratch_file import Scratched, ScratchFile

VERSION: Final = 1
STATE_EVERY_S: Final = 15.0
PART: Final = 20
"""Packets that are put away together: few in memory, and what lies on disk is not too small either."""
MOST_BYTES: Final = 1024 * 1024
"""Packets of one athlete in memory; a strap that sends more has no evidence to go on from."""
MOST_UNPACKED: Final = 16 * 1024 * 1024

_T = TypeVar("_T")
Taken = tuple[float, bytes | None]
"""When a packet was taken, Unix seconds, and its bytes; None where waiting for a missing one came to an end."""


class StoredEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to raise an alarm again.

    Attributes
    ----------
    version : int
        Of this layout.
    alarm : Alarm
        As it was raised, without the strip's signal.
    input_path : str
        What the classifier was fed, see `monitor.classifier.BeatClassifier`.
    mains_hz : float or None
        See `monitor.line.LineConfig`.
    limits : AthleteLimits
        The athlete's.
    rules : dict of kind to RuleChange
        What held otherwise than the catalogue.
    state : bytes
        The athlete's state before, see `monitor.row_encoding`; empty where the packets are all there ever were.
    taken : list of (float, bytes or None)
        What came after.
    """

    version: int
    alarm: Alarm
    input_path: str
    mains_hz: float | None
    limits: AthleteLimits
    rules: dict[Kind, RuleChange]
    state: bytes
    taken: list[Taken]


class PackedEvidence(msgspec.Struct, frozen=True):
    """Evidence as it is stored.

    Attributes
    ----------
    team, identity, at : str, str, float
        Of the alarm.
    content : bytes
        A `StoredEvidence`, compressed.
    """

    team: str
    identity: str
    at: float
    content: bytes


_decoder = msgspec.msgpack.Decoder(StoredEvidence)
_fields = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


def unpacked(packed: bytes) -> StoredEvidence:
    """Return evidence that was packed.

    Raises
    ------
    ValueError
        If it is damaged, or was packed by another version.
    """
    try:
        whole = zlib.decompressobj().decompress(packed, MOST_UNPACKED)
        version = msgspec.msgpack.decode(_fields.decode(whole)["version"], type=int)
        if version != VERSION:
            raise ValueError(f"it was kept in version {version}, this is {VERSION}")
        return _decoder.decode(whole)
    except (zlib.error, KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is damaged: {error}") from error


def state_of(stored: StoredEvidence) -> dict[str, RowState] | None:
    """Return the state before the packets; None where they are all there ever were.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    return decode_state(stored.state) if stored.state else None


class _Kept(Generic[_T]):
    """Something as it is, until somebody has had time to pack it; then on disk, or compressed in memory."""

    __slots__ = ("_decode", "_encode", "_packed", "_plain")

    def __init__(self, plain: _T, encode: Callable[[_T], bytes], decode: Callable[[bytes], _T]) -> None:
        self._plain: _T | None = plain
        self._packed: bytes | Scratched = b""
        self._encode, self._decode = encode, decode

    def pack(self, scratch: ScratchFile | None) -> None:
        plain = self._plain
        if plain is not None:
            encoded = self._encode(plain)
            place = scratch.put(encoded) if scratch is not None else None
            # In this order: another thread may be reading.
            self._packed = zlib.compress(encoded, 1) if place is None else place
            self._plain = None

    def get(self) -> _T:
        plain = self._plain
        if plain is not None:
            return plain
        packed = self._packed
        return self._decode(zlib.decompress(packed) if isinstance(packed, bytes) else packed.read())


_encode_taken: Final = msgspec.msgpack.Encoder().encode
_decode_taken: Final = msgspec.msgpack.Decoder(tuple[Taken, ...]).decode


@dataclass(frozen=True, slots=True)
class Before:
    """A state from before an alarm, and the packets since; they may lie on disk, so asking for them may take long."""

    _state: _Kept[dict[str, RowState]] | None
    _earlier: tuple[_Kept[tuple[Taken, ...]], ...]
    _newest: tuple[Taken, ...]

    def state(self) -> dict[str, RowState] | None:
        """Return the state by stage; None where the packets are all there ever were.

        Raises
        ------
        OSError
            If the disk does not give back what was put there.
        """
        return None if self._state is None else self._state.get()

    def taken(self) -> tuple[Taken, ...]:
        """Return the packets.

        Raises
        ------
        OSError
            If the disk does not give back what was put there.
        """
        return (*(packet for part in self._earlier for packet in part.get()), *self._newest)


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """Evidence as the watch hands it on: nothing of it is copied or packed for it yet.

    Attributes
    ----------
    alarm, input_path, mains_hz, limits, rules : see `StoredEvidence`
    before : Before
        The state, and what came after it.
    """

    alarm: Alarm
    input_path: str
    mains_hz: float | None
    limits: AthleteLimits
    rules: dict[Kind, RuleChange]
    before: Before

    def packed(self) -> PackedEvidence:
        """Return it as it is stored.

        Raises
        ------
        OSError
            If the disk does not give back what was put there.
        """
        strip = self.alarm.strip
        if strip is not None:
            strip = msgspec.structs.replace(strip, microvolts=b"")
        state = self.before.state()
        stored = StoredEvidence(
            version=VERSION,
            alarm=msgspec.structs.replace(self.alarm, strip=strip),
            input_path=self.input_path,
            mains_hz=self.mains_hz,
            limits=self.limits,
            rules=self.rules,
            state=b"" if state is None else encode_state(state),
            taken=list(self.before.taken()),
        )
        content = zlib.compress(msgspec.msgpack.encode(stored), 1)
        return PackedEvidence(self.alarm.team, self.alarm.identity, self.alarm.at, content)


class KeptStretch:
    """A state, and the packets that came after it until the next one was kept.

    Parameters
    ----------
    state : dict of str to RowState, or None
        By stage; None where there was nothing before.
    boot, end_sample : int
        How far the strap's samples had come.
    """

    __slots__ = ("boot", "end_sample", "parts", "size", "state")

    def __init__(self, state: dict[str, RowState] | None, *, boot: int, end_sample: int) -> None:
        self.boot, self.end_sample, self.size = boot, end_sample, 0
        self.state = None if state is None else _Kept(state, encode_state, decode_state)
        self.parts: tuple[_Kept[tuple[Taken, ...]], ...] = ()

    def add(self, taken: tuple[Taken, ...]) -> None:
        """Take the packets that came next."""
        if taken:
            # A tuple made anew: another thread may be packing what was there.
            self.parts = (*self.parts, _Kept(taken, _encode_taken, _decode_taken))
            self.size += sum(len(packet or b"") for _, packet in taken)

    def pack(self, scratch: ScratchFile | None = None) -> None:
        """Make what there is take less memory; any one thread may, while another reads."""
        if self.state is not None:
            self.state.pack(scratch)
        for part in self.parts:
            part.pack(scratch)


class EvidenceLog:
    """The last two states of one athlete, and the packets since the older one."""

    def __init__(self) -> None:
        # Nothing came before the first packet.
        self._stretches = [KeptStretch(None, boot=-1, end_sample=-1)]
        self._taken: list[Taken] = []
        self._bytes = 0
        self.kept_at = 0.0

    def take(self, now: float, packet: bytes | None) -> KeptStretch | None:
        """Take a packet, or None where waiting for a missing one came to an end.

        What is returned, if anything, takes less memory once it is packed.
        """
        if not self._stretches:
            return None
        if not self.kept_at:
            self.kept_at = now
        self._taken.append((now, packet))
        self._bytes += len(packet or b"")
        if self._bytes > MOST_BYTES:
            self.forget()
        elif len(self._taken) >= PART:
            newest = self._stretches[-1]
            newest.add(tuple(self._taken))
            self._taken = []
            return newest
        return None

    def keep(
        self, state: dict[str, RowState], *, boot: int, end_sample: int, now: float
    ) -> tuple[KeptStretch, ...]:
        """Take a state in which all packets up to now have had their effect; the one before the last leaves.

        What is returned takes less memory once it is packed.
        """
        self.kept_at = now
        ended = self._stretches[-1:]
        for stretch in ended:
            stretch.add(tuple(self._taken))
        self._taken, self._bytes = [], sum(stretch.size for stretch in ended)
        self._stretches = [*ended, KeptStretch(state, boot=boot, end_sample=end_sample)]
        return tuple(self._stretches)

    def due(self, now: float) -> bool:
        """Whether a state is to be kept: the last one is old, and packets have come since the one before it."""
        if now - self.kept_at < STATE_EVERY_S:
            return False
        return (
            len(self._stretches) < 2 or bool(self._taken) or any(stretch.size for stretch in self._stretches)
        )

    def forget(self) -> None:
        """Forget all: no alarm can be raised again before the next state is kept."""
        self._stretches = []
        self._taken, self._bytes = [], 0
        self.kept_at = 0.0

    def before(self, alarm: Alarm) -> Before | None:
        """Return the newest state from before an alarm's onset, and the packets since; None where there is none.

        Where all states are younger than the onset, it is the oldest.
        """
        if not self._stretches:
            return None
        fit = [
            number
            for number, stretch in enumerate(self._stretches)
            if stretch.boot != alarm.boot or stretch.end_sample <= alarm.episode
        ]
        since = self._stretches[fit[-1] if fit else 0 :]
        earlier = tuple(part for stretch in since for part in stretch.parts)
        return Before(since[0].state, earlier, tuple(self._taken))
