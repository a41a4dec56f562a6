"""Herds against a real broker: every packet as a strap would have sent it, on schedule, however many there are."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import aiomqtt
import numpy as np
import pytest

from monitor.embedded import EmbeddedBroker
from monitor.errors import ServerError, UsageError
from monitor.sources import MqttAddress
from monitor.wire import SamplePacket, StatusMessage, decode_samples, decode_status, parse_topic
from simulators.fleet import Fleet
from simulators.herd import Herd
from simulators.herd_frames import HerdFrames
from simulators.lateness import Lateness
from simulators.strap import Strap
from simulators.synthetic import SyntheticAthlete, synthesize

_Heard = tuple[dict[str, list[SamplePacket]], dict[str, list[StatusMessage]]]


def _straps(
    number: int, *, rate_hz: float = 250.0, packet_s: float = 0.25, seconds: float = 5.0
) -> list[Strap]:
    record = synthesize(SyntheticAthlete(), rate_hz=rate_hz, seconds=seconds, seed=1)
    return [
        Strap(
            record=record,
            team="t",
            athlete=f"a{index:03d}",
            strap=f"s{index:03d}",
            boot=3,
            packet_s=packet_s,
            start_s=0.1 * index % 4.0,
            loop=True,
        )
        for index in range(number)
    ]


@asynccontextmanager
async def _hearing(port: int) -> AsyncIterator[_Heard]:
    samples: dict[str, list[SamplePacket]] = defaultdict(list)
    status: dict[str, list[StatusMessage]] = defaultdict(list)

    async def hear(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = parse_topic(str(message.topic))
            assert isinstance(message.payload, bytes)
            if topic.channel == "samples":
                samples[topic.athlete].append(decode_samples(message.payload))
            elif topic.channel == "status":
                status[topic.athlete].append(decode_status(message.payload))

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("ecg/#", qos=1)
        task = asyncio.create_task(hear(client))
        yield samples, status
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_frames_are_the_straps_own_packets() -> None:
    """Round by round the frames hold what each strap alone would have sent, across its record's end too."""
    straps = _straps(7, rate_hz=130.0, packet_s=0.3)
    frames = HerdFrames(straps)
    own = [strap.packets(start_at=100.0) for strap in straps]
    for number in range(30):
        sent_at = np.full(7, 100.0 + (number + 1) * 0.3)
        for row, frame in enumerate(frames.round(number, sent_at)):
            payload = frame.tobytes()[-len(frame) :]
            begin = payload.index(b"\x8b\xa7version")
            packet = decode_samples(payload[begin:])
            if number == 0:
                expected = next(own[row]).packet
                assert packet.counts().tolist() == expected.counts().tolist()
                assert packet.sent_at == pytest.approx(expected.sent_at)
            assert (packet.sequence, packet.first_sample) == (number, number * 39)
            begin_sample = int(straps[row].start_s * 130.0) + number * 39
            record = straps[row].record
            np.testing.assert_array_equal(
                packet.counts(), record.counts[(begin_sample + np.arange(39)) % len(record)]
            )


@pytest.mark.parametrize("connections", ["light", "shared"])
async def test_everything_arrives(
    embedded_broker: EmbeddedBroker, connections: Literal["light", "shared"]
) -> None:
    """Each strap's packets arrive once and in order, its status before and its farewell after them."""
    herd = Herd(
        _straps(40),
        broker=MqttAddress("127.0.0.1", embedded_broker.port),
        connections=connections,
    )
    async with _hearing(embedded_broker.port) as (samples, status):
        report = await herd.run(seconds=1.6)
    assert report.connections == (1 if connections == "shared" else 40)
    assert (report.lost, report.unacknowledged) == (0, 0)
    assert sum(map(len, samples.values())) == report.sent == report.packets
    assert len(samples) == 40
    for heard in samples.values():
        assert [packet.sequence for packet in heard] == list(range(len(heard)))
        assert len(heard) in {5, 6}
        assert np.diff([packet.sent_at for packet in heard]) == pytest.approx(0.25)
    assert all([told.online for told in heard] == [True, False] for heard in status.values())
    assert all(heard[-1].ended for heard in status.values())
    assert report.lateness_s.p50 is not None
    assert report.lateness_s.p50 < 1.0


async def test_loss_is_counted(embedded_broker: EmbeddedBroker) -> None:
    """What the radio loses never goes out; sequence numbers show the holes."""
    herd = Herd(
        _straps(20), broker=MqttAddress("127.0.0.1", embedded_broker.port), connections="shared", loss=0.3
    )
    async with _hearing(embedded_broker.port) as (samples, _):
        report = await herd.run(seconds=1.6)
    assert report.packets == report.sent + report.lost
    assert sum(map(len, samples.values())) == report.sent
    assert 0.1 < report.lost / report.packets < 0.5


async def test_what_cannot_be_is_refused() -> None:
    """No strap, no share, TLS on a light connection, and a broker that is not there."""
    nowhere = MqttAddress("127.0.0.1", 1)
    with pytest.raises(UsageError, match="no strap"):
        Herd([], broker=nowhere)
    with pytest.raises(UsageError, match=r"loss 1\.5"):
        Herd(_straps(1), broker=nowhere, loss=1.5)
    with pytest.raises(UsageError, match="no TLS"):
        Herd(_straps(1), broker=MqttAddress("127.0.0.1", 1, tls=True))
    with pytest.raises(ServerError, match=r"127\.0\.0\.1"):
        await Herd(_straps(1), broker=nowhere).run(seconds=1.0)


def test_lateness_one_by_one_and_together() -> None:
    """Entered together or one by one, seconds give the same histogram."""
    late = np.array([-0.1, 0.0, 0.0049, 0.02, 5.0])
    together, single = Lateness(), Lateness()
    together.add_many(late)
    for seconds in late.tolist():
        single.add(seconds)
    assert len(together) == len(single) == 5
    for share in (0.1, 0.5, 0.99):
        assert together.quantile_s(share) == single.quantile_s(share)


async def test_a_strap_that_dies_leaves_its_will(embedded_broker: EmbeddedBroker) -> None:
    """A strap whose battery ends says its charge, and then nothing: the broker speaks its last will."""
    record = synthesize(SyntheticAthlete(), rate_hz=250.0, seconds=4.0, seed=1)
    dying = Strap(
        record=record, team="t", athlete="a", strap="s", boot=3, speed=4.0, dies=True, battery=(0.5, 0.0)
    )
    later = Strap(record=record, team="t", athlete="a", strap="s", boot=4, speed=4.0, begins_s=6.0)
    fleet = Fleet([dying, later], broker=MqttAddress("127.0.0.1", embedded_broker.port))
    async with _hearing(embedded_broker.port) as (samples, status):
        report = await fleet.run()
    told = [
        (each.boot, each.online, each.ended) for each in status["a"] if each.battery is None or each.boot == 4
    ]
    assert (3, False, False) in told
    assert told[-1] == (4, False, True)
    assert any(each.battery is not None and each.battery <= 0.5 for each in status["a"])
    assert (report.unsent, report.unacknowledged) == (0, 0)
    assert [packet.boot for packet in samples["a"]] == [3] * 16 + [4] * 16
