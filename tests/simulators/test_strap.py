"""The packetiser: every sample once, in order, at its time, whatever the packet's length."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import UsageError
from monitor.wire import MAX_PACKET_BYTES, decode_samples, decode_status, decode_truth, encode
from simulators.annotations import Truth
from simulators.records import Record, record_of_counts
from simulators.strap import Strap

_START_AT = 1.7e9


def _record(n: int = 5000, rate_hz: float = 250.0, *, gap: tuple[int, int] = (0, 0)) -> Record:
    random = np.random.default_rng(n)
    valid = np.ones(n, np.bool_)
    valid[gap[0] : gap[1]] = False
    beats = np.arange(100, n, 200)
    return record_of_counts(
        name="test/r",
        rate_hz=rate_hz,
        lead="MLII",
        counts=random.integers(-32768, 32768, n).astype(np.int16),
        microvolts_per_count=5.0,
        valid=valid,
        truth=Truth(
            r_samples=beats,
            classes=np.zeros(len(beats), np.int8),
            unscored=np.array([[1010, 1333]], np.int64),
            rate_hz=rate_hz,
        ),
    )


def _strap(
    record: Record, *, packet_s: float = 0.25, start_s: float = 0.0, loop: bool = False, speed: float = 1.0
) -> Strap:
    return Strap(
        record=record,
        team="t",
        athlete="a",
        strap="s",
        boot=7,
        packet_s=packet_s,
        start_s=start_s,
        loop=loop,
        speed=speed,
    )


@settings(deadline=None, max_examples=60)
@given(
    packet_samples=st.floats(1.0, 6000.0),
    rate_hz=st.sampled_from([100.0, 130.0, 250.0, 257.3, 1000.0]),
    start=st.integers(0, 4999),
    speed=st.sampled_from([0.5, 1.0, 20.0]),
    gap=st.tuples(st.integers(0, 5000), st.integers(0, 5000)),
)
def test_round_trip(
    packet_samples: float, rate_hz: float, start: int, speed: float, gap: tuple[int, int]
) -> None:
    """After the wire, packets in order are the record's samples and beats exactly, each once, gaps marked."""
    record = _record(rate_hz=rate_hz, gap=gap)
    strap = _strap(
        record, packet_s=packet_samples / rate_hz * 1.0001, start_s=(start + 0.5) / rate_hz, speed=speed
    )
    expected = 0
    counts, millivolts, contact, beats, classes, scored = [], [], [], [], [], []
    for number, scheduled in enumerate(strap.packets(start_at=_START_AT)):
        packet = decode_samples(encode(scheduled.packet))
        assert (packet.sequence, packet.first_sample, packet.boot) == (number, expected, 7)
        expected = packet.end_sample
        assert scheduled.due_s == pytest.approx(expected / rate_hz / speed)
        assert packet.sent_at == pytest.approx(_START_AT + scheduled.due_s, abs=1e-6)
        counts.append(packet.counts())
        millivolts.append(packet.counts() * np.float32(packet.microvolts_per_count / 1000.0))
        contact += [not packet.lead_off] * len(packet.counts())
        assert scheduled.truth is not None
        truth = decode_truth(encode(scheduled.truth))
        assert (truth.first_sample, truth.end_sample) == (packet.first_sample, packet.end_sample)
        beats += truth.r_samples
        classes += truth.classes
        scored += [truth.scored] * len(packet.counts())
    np.testing.assert_array_equal(np.concatenate(counts), record.counts[start:])
    np.testing.assert_array_equal(contact, record.valid[start:])
    np.testing.assert_array_equal(np.concatenate(millivolts)[contact], record.millivolts[start:][contact])
    assert record.truth is not None
    np.testing.assert_array_equal(beats, record.truth.r_samples[record.truth.r_samples >= start] - start)
    assert classes == ["N"] * len(beats)
    np.testing.assert_array_equal(scored, record.truth.is_scored(np.arange(start, len(record))))


def test_packets_lie_on_the_grid() -> None:
    """At 130 Hz packets of 0.25 s alternate between 32 and 33 samples and never drift from the clock."""
    strap = _strap(_record(n=130 * 100, rate_hz=130.0))
    due = [
        scheduled.due_s for scheduled in strap.packets(start_at=0.0) if scheduled.packet.first_sample > 1400
    ]
    grid = np.rint(np.array(due) / 0.25)
    np.testing.assert_array_equal(np.diff(grid), 1)
    np.testing.assert_allclose(due, 0.25 * grid, atol=0.5 / 130 + 1e-9)


def test_loop_goes_on_counting() -> None:
    """At a looping record's end samples and beats begin anew while counters go on."""
    record = _record(n=1000)
    strap = _strap(record, loop=True, start_s=2.0, packet_s=0.3)
    packets = list(islice(strap.packets(start_at=0.0), 80))
    sent = np.concatenate([scheduled.packet.counts() for scheduled in packets])
    np.testing.assert_array_equal(sent, np.resize(np.roll(record.counts, -500), len(sent)))
    first = [scheduled.packet.first_sample for scheduled in packets]
    assert first == sorted(set(first))
    beats = [r for scheduled in packets if scheduled.truth for r in scheduled.truth.r_samples]
    np.testing.assert_array_equal(sent[beats], record.counts[(np.array(beats) + 500) % 1000])
    assert set((np.array(beats) + 500) % 1000) == {100, 300, 500, 700, 900}


def test_largest_packet_fits_the_wire() -> None:
    """The largest packet that a strap accepts is one that a monitor accepts."""
    strap = _strap(_record(n=40_000), packet_s=128.0, start_s=6.0)
    payload = encode(next(strap.packets(start_at=0.0)).packet)
    assert 64_000 < len(payload) <= MAX_PACKET_BYTES
    decode_samples(payload)


def test_status_says_what_is_replayed() -> None:
    """Status and last will name the record and the boot."""
    strap = _strap(_record())
    for online in (True, False):
        status = decode_status(encode(strap.status(online=online)))
        assert (status.online, status.boot, status.source) == (online, 7, "test/r")


def test_wrong_values_are_refused() -> None:
    """What is out of range is named with what is allowed."""
    record = _record()
    for wrong, text in (
        ({"packet_s": 0.001}, "packet of 0.001 s"),
        ({"packet_s": 500.0}, "packet of 500 s"),
        ({"packet_s": float("nan")}, "packet of nan"),
        ({"start_s": 20.0}, "start 20 s: test/r lasts 20 s; use 0 or more, and less"),
        ({"start_s": -1.0}, "start -1 s"),
        ({"speed": 0.0}, "speed 0"),
        ({"speed": float("nan")}, "speed nan"),
    ):
        with pytest.raises(UsageError, match=text):
            _strap(record, **wrong)  # type: ignore[arg-type]  # mypy cannot see that no key is `loop`
    with pytest.raises(UsageError, match="athlete 'Jane Doe'"):
        Strap(record=record, team="t", athlete="Jane Doe", strap="s", boot=1)
