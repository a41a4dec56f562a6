"""From what an alarm can be raised again: an athlete's state from before it, and the packets that have come since.

A state is kept every `STATE_EVERY_S`, the last two of them, and every packet behind the older one: between a quarter
and half a minute of signal before any alarm.
"""

import zlib
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from monitor.catalogue import Kind, RuleChange
from monitor.contract import Alarm, RowState
from monitor.rhythm.limits import AthleteLimits
from monitor.row_encoding import decode_state, encode_state

VERSION: Final = 1
STATE_EVERY_S: Final = 15.0
MOST_BYTES: Final = 1024 * 1024
"""Packets of one athlete in memory; a strap that sends more has no evidence to go on from."""
MOST_UNPACKED: Final = 16 * 1024 * 1024

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


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """Evidence as the watch hands it on: nothing of it is copied or packed yet.

    Attributes
    ----------
    alarm, input_path, mains_hz, limits, rules : see `StoredEvidence`
    state : dict of str to RowState, or None
        By stage.
    taken : tuple of (float, bytes or None)
        What came after.
    """

    alarm: Alarm
    input_path: str
    mains_hz: float | None
    limits: AthleteLimits
    rules: dict[Kind, RuleChange]
    state: dict[str, RowState] | None
    taken: tuple[Taken, ...]

    def packed(self) -> PackedEvidence:
        """Return it as it is stored."""
        strip = self.alarm.strip
        if strip is not None:
            strip = msgspec.structs.replace(strip, microvolts=b"")
        stored = StoredEvidence(
            version=VERSION,
            alarm=msgspec.structs.replace(self.alarm, strip=strip),
            input_path=self.input_path,
            mains_hz=self.mains_hz,
            limits=self.limits,
            rules=self.rules,
            state=b"" if self.state is None else encode_state(self.state),
            taken=list(self.taken),
        )
        content = zlib.compress(msgspec.msgpack.encode(stored), 1)
        return PackedEvidence(self.alarm.team, self.alarm.identity, self.alarm.at, content)


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
    except (zlib.error, KeyError, msgspec.DecodeError) as error:
        raise ValueError(f"it is damaged: {error}") from error


def state_of(stored: StoredEvidence) -> dict[str, RowState] | None:
    """Return the state before the packets; None where they are all there ever were.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    return decode_state(stored.state) if stored.state else None


@dataclass(slots=True)
class KeptState:
    """A state in memory: at first as it was exported, then, once somebody has had time to pack it, compressed.

    Attributes
    ----------
    position : int
        Packets that had had their effect.
    end_sample, boot : int
        How far the strap's samples had come.
    state : dict of str to RowState, or None
        By stage; None where it is packed, or there is nothing before.
    packed : bytes
        The same, compressed.
    """

    position: int
    end_sample: int
    boot: int
    state: dict[str, RowState] | None
    packed: bytes = b""

    def pack(self) -> None:
        """Compress it; any one thread may, while another reads."""
        if self.state is not None:
            self.packed = zlib.compress(encode_state(self.state), 1)
            self.state = None

    def rows(self) -> dict[str, RowState] | None:
        """Return the state by stage; None where there is nothing before."""
        state = self.state
        return decode_state(zlib.decompress(self.packed)) if state is None and self.packed else state


class EvidenceLog:
    """The last states and packets of one athlete."""

    def __init__(self) -> None:
        self._taken: deque[Taken] = deque()
        self._end = 0
        self._bytes = 0
        # Nothing came before the first packet.
        self._states: list[KeptState] = [KeptState(0, -1, -1, None)]
        self.kept_at = 0.0

    def take(self, now: float, packet: bytes | None) -> None:
        """Take a packet, or None where waiting for a missing one came to an end."""
        if not self._states:
            return
        if not self._end:
            self.kept_at = now
        self._taken.append((now, packet))
        self._end += 1
        self._bytes += len(packet or b"")
        if self._bytes > MOST_BYTES:
            self.forget()

    def keep(self, state: dict[str, RowState], *, boot: int, end_sample: int, now: float) -> KeptState:
        """Take a state in which all packets up to now have had their effect; the one before the last leaves.

        What is returned takes less memory once it is packed.
        """
        self.kept_at = now
        kept = KeptState(self._end, end_sample, boot, state)
        self._states = [*self._states[-1:], kept]
        while self._taken and self._end - len(self._taken) < self._states[0].position:
            _, packet = self._taken.popleft()
            self._bytes -= len(packet or b"")
        return kept

    def forget(self) -> None:
        """Forget all: no alarm can be raised again before the next state is kept."""
        self._taken.clear()
        self._states.clear()
        self._bytes = 0
        self.kept_at = 0.0

    def before(self, alarm: Alarm) -> tuple[dict[str, RowState] | None, tuple[Taken, ...]] | None:
        """Return the newest state from before an alarm's onset, and the packets since; None where there is none.

        Where all states are younger than the onset, it is the oldest.
        """
        if not self._states:
            return None
        fit = [s for s in self._states if s.boot != alarm.boot or s.end_sample <= alarm.episode]
        chosen = fit[-1] if fit else self._states[0]
        since = chosen.position - (self._end - len(self._taken))
        return chosen.rows(), tuple(islice(self._taken, since, None))
