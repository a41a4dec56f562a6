"""What straps say, byte for byte: topics and MessagePack messages.

A strap publishes on ``ecg/<team>/<athlete>/samples``, ``…/status`` (retained, and its last will) and, if it is a
simulator, ``…/truth`` and ``…/ledger``. Everything that arrives here is untrusted: `decode_samples` and its siblings
either return a message that is safe to use or raise `PacketError` with the reason to count.
"""

import re
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import PacketError

WIRE_VERSION: Final = 1
MAX_PACKET_BYTES: Final = 64 * 1024
MIN_RATE_HZ: Final = 100.0
MAX_RATE_HZ: Final = 1000.0
# 2**53: the largest range in which a float64 still counts every sample.
_MAX_COUNTER: Final = 2**53

Channel = Literal["samples", "status", "truth", "ledger"]
_MAX_CAUSES: Final = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CAUSE = re.compile(r"[a-z_]{1,32}")
_TOPIC = re.compile(r"ecg/([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})/(samples|status|truth|ledger)")


class SamplePacket(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of consecutive samples of one lead.

    Attributes
    ----------
    version : int
        Version of this format, `WIRE_VERSION`.
    strap : str
        The strap's own name (serial number or pseudonym), 1 to 64 letters, digits, ``-`` or ``_``.
    boot : int
        A number that grows with each start of the strap; counters begin anew with it.
    sequence : int
        Packet counter since boot, growing by one.
    first_sample : int
        Index since boot of the first sample in this packet.
    rate_hz : float
        Sampling rate, 100 to 1,000 Hz, constant within a boot.
    microvolts_per_count : float
        Size of one count of `samples`.
    lead : str
        Name of the lead, at most 32 characters.
    lead_off : bool
        The strap's electrodes have no contact; its samples mean nothing.
    sent_at : float
        Unix time, in seconds, at which the packet's last sample was taken and the packet was due; a packet that is
        sent again keeps it.
    samples : bytes
        Little-endian int16.
    """

    version: int
    strap: str
    boot: int
    sequence: int
    first_sample: int
    rate_hz: float
    microvolts_per_count: float
    lead: str
    lead_off: bool
    sent_at: float
    samples: bytes

    def counts(self) -> NDArray[np.int16]:
        """Return the samples as a read-only array of counts, shape ``[n]``."""
        return np.frombuffer(self.samples, dtype="<i2")

    @property
    def end_sample(self) -> int:
        """Index of the first sample after this packet."""
        return self.first_sample + len(self.samples) // 2


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A strap's state, retained by the broker; the last will is one with ``online`` false.

    Attributes
    ----------
    version : int
        Version of this format, `WIRE_VERSION`.
    strap : str
        The strap's own name.
    online : bool
        False in the last will, and after an orderly end.
    ended : bool
        True in a farewell only: the strap was switched off in order, so that its silence is no alarm.
    boot : int
        The boot this status belongs to.
    battery : float or None
        Charge, 0 to 1, where the strap knows it.
    source : str or None
        What a simulator replays, such as ``"mitdb/208"`` or ``"synthetic"``; real straps leave it out.
        It is shown, never used in a decision.
    """

    version: int
    strap: str
    online: bool
    boot: int
    ended: bool = False
    battery: float | None = None
    source: str | None = None


class TruthMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Reference annotations that fall into one packet; only simulators send them, only scorers read them.

    Attributes
    ----------
    version : int
        Version of this format, `WIRE_VERSION`.
    boot : int
        The boot whose sample counter is meant.
    first_sample, end_sample : int
        The stretch of samples this message is about: first, and first after.
    r_samples : list of int
        R peaks in that stretch.
    classes : list of str
        Their AAMI classes, or ``"?"`` where the reference has none.
    scored : bool
        False where the reference says that nothing is to be scored (ventricular flutter).
    """

    version: int
    boot: int
    first_sample: int
    end_sample: int
    r_samples: list[int]
    classes: list[str]
    scored: bool = True


class LedgerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated strap and its radio have done to the packets so far; only scorers read it.

    Attributes
    ----------
    version : int
        Version of this format, `WIRE_VERSION`.
    strap : str
        The strap's own name.
    boot : int
        The boot whose packets are counted.
    counts : dict of str to int
        Packets by what happened to them, since the boot began; see `simulators.ledger.Ledger`.
    troubles : list of [first_sample, end_sample, cause]
        Stretches of samples that were lost or troubled, first sample and first after, each told at least once.
    """

    version: int
    strap: str
    boot: int
    counts: dict[str, int]
    troubles: list[tuple[int, int, str]]


class Topic(NamedTuple):
    """A topic, taken apart."""

    team: str
    athlete: str
    channel: str


def topic(team: str, athlete: str, channel: Channel) -> str:
    """Return the topic on which `athlete` of `team` publishes `channel`.

    Raises
    ------
    PacketError
        If a name is not 1 to 64 letters, digits, ``-`` or ``_``.
    """
    for name in (team, athlete):
        if not _NAME.fullmatch(name):
            raise PacketError("misrouted", f"name {name!r}: use 1 to 64 letters, digits, '-' or '_'")
    return f"ecg/{team}/{athlete}/{channel}"


def is_name(text: str) -> bool:
    """Whether `text` can name a team, an athlete or a strap."""
    return _NAME.fullmatch(text) is not None


def parse_topic(text: str) -> Topic:
    """Take a topic apart.

    Raises
    ------
    PacketError
        If it is none of ours (reason ``"misrouted"``).
    """
    match = _TOPIC.fullmatch(text)
    if match is None:
        raise PacketError(
            "misrouted", f"topic of {len(text)} characters is not ecg/<team>/<athlete>/<channel>"
        )
    return Topic(*match.groups())


_encoder = msgspec.msgpack.Encoder()
_samples_decoder = msgspec.msgpack.Decoder(SamplePacket)
_status_decoder = msgspec.msgpack.Decoder(StatusMessage)
_truth_decoder = msgspec.msgpack.Decoder(TruthMessage)
_ledger_decoder = msgspec.msgpack.Decoder(LedgerMessage)


def encode(message: SamplePacket | StatusMessage | TruthMessage | LedgerMessage) -> bytes:
    """Return the MessagePack bytes of a message."""
    return _encoder.encode(message)


def decode_samples(payload: bytes) -> SamplePacket:
    """Decode and check one packet of samples.

    Raises
    ------
    PacketError
        With reason ``"oversized"``, ``"malformed"``, ``"version"`` or ``"range"``. The text never repeats content.
    """
    packet: SamplePacket = _decode(_samples_decoder, payload)
    if len(packet.samples) == 0 or len(packet.samples) % 2:
        raise PacketError(
            "malformed", f"{len(packet.samples)} bytes of samples; an even number above 0 is needed"
        )
    # Written so that NaN fails too.
    if not MIN_RATE_HZ <= packet.rate_hz <= MAX_RATE_HZ:
        raise PacketError("range", f"rate_hz outside {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g}")
    if not 1e-3 <= packet.microvolts_per_count <= 1e4:
        raise PacketError("range", "microvolts_per_count outside 0.001 to 10,000")
    if not (0 <= packet.first_sample < _MAX_COUNTER and 0 <= packet.sequence < _MAX_COUNTER):
        raise PacketError("range", "first_sample or sequence outside 0 to 2**53")
    if not 0 <= packet.boot < _MAX_COUNTER:
        raise PacketError("range", "boot outside 0 to 2**53")
    if not 0.0 <= packet.sent_at < 1e11:
        raise PacketError("range", "sent_at is no Unix time in seconds")
    if len(packet.lead) > 32 or not packet.lead.isprintable():
        raise PacketError("range", "lead must be at most 32 printable characters")
    if not is_name(packet.strap):
        raise PacketError("range", "strap must be 1 to 64 letters, digits, '-' or '_'")
    return packet


def decode_status(payload: bytes) -> StatusMessage:
    """Decode and check a status message.

    Raises
    ------
    PacketError
        As `decode_samples`.
    """
    status: StatusMessage = _decode(_status_decoder, payload)
    if not is_name(status.strap) or not 0 <= status.boot < _MAX_COUNTER:
        raise PacketError("range", "strap or boot out of range")
    if status.battery is not None and not 0.0 <= status.battery <= 1.0:
        raise PacketError("range", "battery outside 0 to 1")
    if status.source is not None and (len(status.source) > 64 or not status.source.isprintable()):
        raise PacketError("range", "source must be at most 64 printable characters")
    return status


def decode_truth(payload: bytes) -> TruthMessage:
    """Decode and check reference annotations.

    Raises
    ------
    PacketError
        As `decode_samples`.
    """
    truth: TruthMessage = _decode(_truth_decoder, payload)
    if len(truth.r_samples) != len(truth.classes):
        raise PacketError("malformed", "r_samples and classes differ in length")
    return truth


def decode_ledger(payload: bytes) -> LedgerMessage:
    """Decode and check what became of a simulated strap's packets.

    Raises
    ------
    PacketError
        As `decode_samples`.
    """
    ledger: LedgerMessage = _decode(_ledger_decoder, payload)
    if not is_name(ledger.strap) or not 0 <= ledger.boot < _MAX_COUNTER:
        raise PacketError("range", "strap or boot out of range")
    if len(ledger.counts) > _MAX_CAUSES or any(not _is_cause(cause) for cause in ledger.counts):
        raise PacketError("range", "counts name no causes")
    for first, end, cause in ledger.troubles:
        if not 0 <= first < end <= _MAX_COUNTER or not _is_cause(cause):
            raise PacketError("range", "a trouble is no stretch of samples with a cause")
    return ledger


def _is_cause(text: str) -> bool:
    return _CAUSE.fullmatch(text) is not None


_Message = TypeVar("_Message", SamplePacket, StatusMessage, TruthMessage, LedgerMessage)


def _decode(decoder: "msgspec.msgpack.Decoder[_Message]", payload: bytes) -> _Message:
    if len(payload) > MAX_PACKET_BYTES:
        raise PacketError("oversized", f"{len(payload)} bytes; at most {MAX_PACKET_BYTES} are taken")
    try:
        message = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PacketError(
            "malformed", f"{len(payload)} bytes are no message: {type(error).__name__}"
        ) from error
    if message.version != WIRE_VERSION:
        raise PacketError("version", f"wire version is not {WIRE_VERSION}")
    return message
