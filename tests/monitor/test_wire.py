"""The wire format: whatever arrives is either a message that is safe to use or a refusal with a reason."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.errors import PacketError
from monitor.wire import (
    MAX_PACKET_BYTES,
    SamplePacket,
    StatusMessage,
    TruthMessage,
    decode_samples,
    decode_status,
    decode_truth,
    encode,
    is_name,
    parse_topic,
    topic,
)

REASONS = {"malformed", "oversized", "version", "range"}

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
counters = st.integers(0, 2**53 - 1)
printable = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=32)
packets = st.builds(
    SamplePacket,
    version=st.just(1),
    strap=names,
    boot=counters,
    sequence=counters,
    first_sample=counters,
    rate_hz=st.floats(100.0, 1000.0),
    microvolts_per_count=st.floats(1e-3, 1e4),
    lead=printable,
    lead_off=st.booleans(),
    sent_at=st.floats(0.0, 1e11, exclude_max=True),
    samples=st.binary(min_size=1, max_size=200).map(lambda half: half + half),
)
statuses = st.builds(
    StatusMessage,
    version=st.just(1),
    strap=names,
    online=st.booleans(),
    boot=counters,
    battery=st.none() | st.floats(0.0, 1.0),
    source=st.none() | printable,
)
truths = st.lists(st.tuples(st.integers(0, 2**53 - 1), st.sampled_from("NSVFQ?")), max_size=5).flatmap(
    lambda beats: st.builds(
        TruthMessage,
        version=st.just(1),
        boot=counters,
        first_sample=counters,
        end_sample=counters,
        r_samples=st.just([sample for sample, _ in beats]),
        classes=st.just([label for _, label in beats]),
        scored=st.booleans(),
    )
)


def _packet(**changes: Any) -> SamplePacket:
    packet = SamplePacket(
        version=1,
        strap="s1",
        boot=1,
        sequence=0,
        first_sample=0,
        rate_hz=360.0,
        microvolts_per_count=5.0,
        lead="MLII",
        lead_off=False,
        sent_at=1.7e9,
        samples=b"\x01\x00\xff\xff",
    )
    return msgspec.structs.replace(packet, **changes)


def _status(**changes: Any) -> StatusMessage:
    return msgspec.structs.replace(StatusMessage(version=1, strap="s1", online=True, boot=1), **changes)


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xc1")
@example(b"\x91" * 5000)
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\x81\xa3\xff\xfe\xfd\x01")
@example(b"\x00" * (MAX_PACKET_BYTES + 1))
def test_any_bytes_are_a_message_or_a_refusal(payload: bytes) -> None:
    """Nothing but PacketError, with a known reason and no content, comes out of a decoder."""
    for decode in (decode_samples, decode_status, decode_truth):
        with pytest.raises(PacketError) as caught:
            decode(payload)
        assert caught.value.reason in REASONS
        assert len(str(caught.value)) < 120


@given(st.one_of(packets, statuses, truths), st.data())
def test_damaged_messages_are_a_message_or_a_refusal(
    message: SamplePacket | StatusMessage | TruthMessage, data: st.DataObject
) -> None:
    """A valid message with bytes changed, cut off or added decodes to something valid or is refused."""
    payload = bytearray(encode(message))
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = payload[: data.draw(st.integers(0, len(payload)))] + data.draw(st.binary(max_size=3))
    reasons = set()
    for decode in (decode_samples, decode_status, decode_truth):
        try:
            decoded = decode(bytes(payload))
        except PacketError as error:
            reasons.add(error.reason)
        else:
            assert decode(encode(decoded)) == decoded
    assert reasons <= REASONS


@given(packets)
def test_samples_round_trip(packet: SamplePacket) -> None:
    """What is encoded comes back equal, and its samples are the little-endian int16 that were sent."""
    again = decode_samples(encode(packet))
    assert again == packet
    counts = again.counts()
    assert counts.dtype == np.dtype("<i2")
    assert counts.tobytes() == packet.samples
    assert again.end_sample == packet.first_sample + len(counts)


@given(statuses)
def test_status_round_trips(status: StatusMessage) -> None:
    """What is encoded comes back equal."""
    assert decode_status(encode(status)) == status


@given(truths)
def test_truth_round_trips(truth: TruthMessage) -> None:
    """What is encoded comes back equal."""
    assert decode_truth(encode(truth)) == truth


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 0}, "version"),
        ({"version": 2}, "version"),
        ({"samples": b""}, "malformed"),
        ({"samples": b"\x00\x00\x00"}, "malformed"),
        ({"rate_hz": math.nextafter(100.0, 0.0)}, "range"),
        ({"rate_hz": math.nextafter(1000.0, 2000.0)}, "range"),
        ({"rate_hz": math.nan}, "range"),
        ({"rate_hz": math.inf}, "range"),
        ({"rate_hz": -360.0}, "range"),
        ({"microvolts_per_count": 0.0}, "range"),
        ({"microvolts_per_count": -5.0}, "range"),
        ({"microvolts_per_count": 10_001.0}, "range"),
        ({"microvolts_per_count": math.nan}, "range"),
        ({"first_sample": -1}, "range"),
        ({"first_sample": 2**53}, "range"),
        ({"sequence": -1}, "range"),
        ({"sequence": 2**53}, "range"),
        ({"boot": -1}, "range"),
        ({"boot": 2**53}, "range"),
        ({"boot": 2**64 - 1}, "range"),
        ({"sent_at": -1.0}, "range"),
        ({"sent_at": 1e11}, "range"),
        ({"sent_at": math.nan}, "range"),
        ({"lead": "L" * 33}, "range"),
        ({"lead": "ML\nII"}, "range"),
        ({"lead": "\x1b[2J"}, "range"),
        ({"strap": ""}, "range"),
        ({"strap": "s" * 65}, "range"),
        ({"strap": "s 1"}, "range"),
        ({"strap": "s1\n"}, "range"),
        ({"samples": b"\x00" * MAX_PACKET_BYTES}, "oversized"),
    ],
)
def test_every_limit_of_samples_holds(changes: dict[str, Any], reason: str) -> None:
    """One value beyond its limit refuses the packet, by the right reason."""
    assert decode_samples(encode(_packet())) == _packet()
    with pytest.raises(PacketError) as caught:
        decode_samples(encode(_packet(**changes)))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_hz": 100.0},
        {"rate_hz": 1000.0},
        {"microvolts_per_count": 1e-3},
        {"microvolts_per_count": 1e4},
        {"first_sample": 2**53 - 1},
        {"sequence": 2**53 - 1},
        {"boot": 0},
        {"sent_at": 0.0},
        {"lead": ""},
        {"lead": "L" * 32},
        {"strap": "s" * 64},
        {"samples": b"\x00\x80"},
    ],
)
def test_every_limit_of_samples_is_inclusive(changes: dict[str, Any]) -> None:
    """The value at its limit is taken."""
    packet = _packet(**changes)
    assert decode_samples(encode(packet)) == packet


def test_the_largest_packet_is_taken() -> None:
    """64 KiB is taken to the byte, and not one more."""
    frame = len(encode(_packet(samples=b"\x00" * 40_000))) - 40_000
    room = MAX_PACKET_BYTES - frame
    even = room - room % 2
    assert len(decode_samples(encode(_packet(samples=b"\x00" * even))).samples) == even
    exact = encode(_packet(samples=b"\x00" * even, lead="L" * (4 + room % 2)))
    assert len(exact) == MAX_PACKET_BYTES
    decode_samples(exact)
    with pytest.raises(PacketError, match="65537 bytes"):
        decode_samples(exact + b"\x00")


@pytest.mark.parametrize(
    "payload",
    [
        msgspec.msgpack.encode({"version": 1}),
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode(msgspec.structs.asdict(_packet()) | {"samples": "text"}),
        msgspec.msgpack.encode(msgspec.structs.asdict(_packet()) | {"sequence": 1.5}),
        msgspec.msgpack.encode(msgspec.structs.asdict(_packet()) | {"lead_off": 1}),
        msgspec.msgpack.encode(msgspec.structs.asdict(_packet()) | {"strap": None}),
        encode(_packet()) + b"\x00",
        encode(_packet())[:-1],
    ],
)
def test_a_wrong_type_is_malformed(payload: bytes) -> None:
    """A missing field, a wrong type, or bytes too many or too few are malformed."""
    with pytest.raises(PacketError) as caught:
        decode_samples(payload)
    assert caught.value.reason == "malformed"


def test_a_refusal_does_not_repeat_content() -> None:
    """What is logged of a hostile packet holds nothing that it says."""
    for changes in ({"strap": "hunter2 hunter2"}, {"lead": "hunter2\n"}, {"samples": b"hunter2"}):
        with pytest.raises(PacketError) as caught:
            decode_samples(encode(_packet(**changes)))
        assert "hunter2" not in str(caught.value)


def test_fields_from_a_later_version_are_ignored() -> None:
    """A strap that says more than this version knows is understood as far as it goes."""
    payload = msgspec.msgpack.encode(msgspec.structs.asdict(_packet()) | {"temperature": 36.6})
    assert decode_samples(payload) == _packet()


@pytest.mark.parametrize(
    "changes",
    [
        {"strap": "s 1"},
        {"boot": -1},
        {"boot": 2**53},
        {"battery": -0.01},
        {"battery": 1.01},
        {"battery": math.nan},
        {"source": "x" * 65},
        {"source": "mitdb\n208"},
    ],
)
def test_every_limit_of_status_holds(changes: dict[str, Any]) -> None:
    """One value beyond its limit refuses the status."""
    assert decode_status(encode(_status())) == _status()
    with pytest.raises(PacketError) as caught:
        decode_status(encode(_status(**changes)))
    assert caught.value.reason == "range"


def test_truth_needs_a_class_for_every_peak() -> None:
    """Peaks and classes that differ in number are malformed."""
    truth = TruthMessage(version=1, boot=1, first_sample=0, end_sample=9, r_samples=[1, 2], classes=["N"])
    with pytest.raises(PacketError) as caught:
        decode_truth(encode(truth))
    assert caught.value.reason == "malformed"


@given(names, names, st.sampled_from(["samples", "status", "truth"]))
def test_topics_round_trip(team: str, athlete: str, channel: Any) -> None:
    """A topic that is put together comes apart as it was."""
    assert parse_topic(topic(team, athlete, channel)) == (team, athlete, channel)


@given(st.text(max_size=200))
@example("ecg/red/anna/samples\n")
@example("ecg/red/anna/other")
@example("ecg//anna/samples")
@example("ecg/red/anna/samples/more")
@example("/ecg/red/anna/samples")
@example("ECG/red/anna/samples")
@example("ecg/+/#/samples")
@example("ecg/r\u00e9d/anna/samples")
@example("ecg/red/\uff11/samples")
@example(f"ecg/{'r' * 65}/anna/samples")
def test_foreign_topics_are_misrouted(text: str) -> None:
    """Whatever is none of ours is misrouted, and not repeated."""
    with pytest.raises(PacketError) as caught:
        parse_topic(text)
    assert caught.value.reason == "misrouted"


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a/b", "a.b", "a+", "#", "é", "a\n", "1\u0661"])
def test_what_is_no_name_makes_no_topic(name: str) -> None:
    """A name that could reach another topic, or break a line, is refused on both places."""
    assert not is_name(name)
    for team, athlete in ((name, "anna"), ("red", name)):
        with pytest.raises(PacketError) as caught:
            topic(team, athlete, "samples")
        assert caught.value.reason == "misrouted"
