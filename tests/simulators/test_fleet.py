"""Fleets against real brokers: every packet arrives, whatever happens to the broker, and goodbyes are said."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Self

import aiomqtt
import numpy as np
import pytest

from monitor.embedded import EmbeddedBroker, GuardedServer
from monitor.errors import UsageError
from monitor.sources import MqttAddress
from monitor.wire import (
    LedgerMessage,
    SamplePacket,
    StatusMessage,
    TruthMessage,
    decode_ledger,
    decode_samples,
    decode_status,
    decode_truth,
    parse_topic,
)
from simulators.fleet import Fleet, run_fleet
from simulators.lateness import Lateness
from simulators.ledger import Ledger
from simulators.radio import RadioSettings, Stretch
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team


class _Listener:
    """Hears everything, over reconnections too, on a session that the broker keeps."""

    def __init__(self, port: int) -> None:
        self.samples: dict[str, list[SamplePacket]] = defaultdict(list)
        self.truth: dict[str, list[TruthMessage]] = defaultdict(list)
        self.status: dict[str, list[StatusMessage]] = defaultdict(list)
        self.ledger: dict[str, list[LedgerMessage]] = defaultdict(list)
        self.arrived_at: list[float] = []
        self.connected = asyncio.Event()
        self._port = port

    async def listen(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self._port, identifier="listener", clean_session=False
                ) as client:
                    await client.subscribe("ecg/#", qos=1)
                    self.connected.set()
                    async for message in client.messages:
                        self._take(message)
            self.connected.clear()
            await asyncio.sleep(0.02)

    def _take(self, message: aiomqtt.Message) -> None:
        where = parse_topic(str(message.topic))
        assert isinstance(message.payload, bytes)
        if where.channel == "samples":
            self.samples[where.athlete].append(decode_samples(message.payload))
            self.arrived_at.append(time.time())
        elif where.channel == "truth":
            self.truth[where.athlete].append(decode_truth(message.payload))
        elif where.channel == "status":
            self.status[where.athlete].append(decode_status(message.payload))
        else:
            self.ledger[where.athlete].append(decode_ledger(message.payload))


@contextlib.asynccontextmanager
async def _listening(port: int) -> AsyncIterator[_Listener]:
    listener = _Listener(port)
    task = asyncio.create_task(listener.listen())
    await asyncio.wait_for(listener.connected.wait(), 5.0)
    yield listener
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes and counters
            await asyncio.sleep(0.02)


def _straps(number: int, *, seconds: float = 30.0, speed: float = 1.0) -> list[Strap]:
    return [
        Strap(record=record, team="t", athlete=f"a{k}", strap=f"s{k}", boot=5, speed=speed)
        for k, record in enumerate(synthetic_team(number, seconds=seconds, seed=1))
    ]


def _address(server: EmbeddedBroker | GuardedServer) -> MqttAddress:
    return MqttAddress("127.0.0.1", server.port)


def _assert_whole(straps: list[Strap], listener: _Listener) -> None:
    """Every strap's record can be put together from what was heard, sequence by sequence."""
    for strap in straps:
        by_sequence = {packet.sequence: packet for packet in listener.samples[strap.athlete]}
        assert sorted(by_sequence) == list(range(len(by_sequence)))
        heard = np.concatenate([by_sequence[k].counts() for k in sorted(by_sequence)])
        np.testing.assert_array_equal(heard, strap.record.counts)


async def test_everything_arrives_in_order(embedded_broker: EmbeddedBroker) -> None:
    """On the embedded broker each strap's packets, truth and status arrive once and in order; books balance."""
    straps = _straps(8, speed=10.0)
    async with _listening(embedded_broker.port) as listener:
        report = await run_fleet(straps, broker=_address(embedded_broker))
        expected = sum(len(list(strap.packets(start_at=0.0))) for strap in straps)
        assert (report.packets, report.sent, report.unsent, report.unacknowledged) == (
            expected,
            expected,
            0,
            0,
        )
        await _until(lambda: sum(map(len, listener.samples.values())) == expected)
        await _until(
            lambda: all(
                listener.status[s.athlete][-1:] and len(listener.status[s.athlete]) == 2 for s in straps
            )
        )
    _assert_whole(straps, listener)
    for strap in straps:
        heard = listener.samples[strap.athlete]
        assert [packet.sequence for packet in heard] == list(range(len(heard)))
        assert strap.record.truth is not None
        truths = listener.truth[strap.athlete]
        stretches = [(truth.first_sample, truth.end_sample) for truth in truths]
        assert [end for _, end in stretches] == [first for first, _ in stretches[1:]] + [len(strap.record)]
        beats = [r for truth in truths for r in truth.r_samples]
        np.testing.assert_array_equal(beats, strap.record.truth.r_samples)
        assert [status.online for status in listener.status[strap.athlete]] == [True, False]
        assert {status.source for status in listener.status[strap.athlete]} == {"synthetic"}


async def test_losses_are_told_to_scorers(embedded_broker: EmbeddedBroker) -> None:
    """The ledger that travels balances with the fleet's, names just the samples that never came; truth is whole."""
    straps = _straps(3, seconds=12.0, speed=10.0)
    radio = RadioSettings(loss=0.2, dropouts_lost=(Stretch(0.4, 0.2),))
    async with _listening(embedded_broker.port) as listener:
        report = await run_fleet(straps, broker=_address(embedded_broker), radio=radio)
        await _until(lambda: all(len(listener.status[s.athlete]) == 2 for s in straps))
    for cause in ("sent", "lost", "lost_in_dropout"):
        told = sum(listener.ledger[strap.athlete][-1].counts.get(cause, 0) for strap in straps)
        assert told == getattr(report, cause) > 0
    for strap in straps:
        assert strap.record.truth is not None
        beats = [r for truth in listener.truth[strap.athlete] for r in truth.r_samples]
        np.testing.assert_array_equal(sorted(beats), strap.record.truth.r_samples)
        lost = np.zeros(len(strap.record), np.bool_)
        for message in listener.ledger[strap.athlete]:
            for first, end, cause in message.troubles:
                assert cause in {"lost", "lost_in_dropout"}
                lost[first:end] = True
        for packet in listener.samples[strap.athlete]:
            assert not lost[packet.first_sample : packet.end_sample].any()
            lost[packet.first_sample : packet.end_sample] = True
        assert lost.all()


async def test_sent_at_is_the_schedule(embedded_broker: EmbeddedBroker) -> None:
    """Packets arrive at the time they say they were due, and samples per second are the rate times the speed."""
    straps = _straps(6, seconds=3.0)
    async with _listening(embedded_broker.port) as listener:
        report = await run_fleet(straps, broker=_address(embedded_broker))
        await _until(lambda: len(listener.arrived_at) == report.sent)
    for strap in straps:
        heard = listener.samples[strap.athlete]
        first, last = heard[0], heard[-1]
        span_s = (last.end_sample - first.end_sample) / strap.record.rate_hz
        assert last.sent_at - first.sent_at == pytest.approx(span_s, abs=1e-3)
    sent_at = sorted(packet.sent_at for packets in listener.samples.values() for packet in packets)
    late_s = np.array(listener.arrived_at) - np.array(sent_at)
    assert np.median(late_s) < 0.05
    assert late_s.min() > -0.002
    assert report.lateness_s.p50 is not None
    assert report.lateness_s.p50 < 0.05


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_broker_restarted(mosquitto: GuardedServer, how: str) -> None:
    """A broker that is stopped or killed and comes back costs no packet: what it did not acknowledge comes again."""
    straps = _straps(6, seconds=30.0, speed=8.0)
    said: list[str] = []
    ledger = Ledger(keep=True)
    async with _listening(mosquitto.port) as listener, _Relay(mosquitto.port) as relay:
        running = asyncio.create_task(
            run_fleet(straps, broker=MqttAddress("127.0.0.1", relay.port), ledger=ledger, say=said.append)
        )
        await _until(lambda: len(listener.samples["a0"]) > 10)
        # A killed broker has forgotten the listener: who publishes before it is back publishes to nobody.
        relay.refusing = True
        await asyncio.to_thread(getattr(mosquitto, how))
        await _until(lambda: not listener.connected.is_set())
        await asyncio.sleep(0.5)
        await asyncio.to_thread(mosquitto.start)
        await asyncio.wait_for(listener.connected.wait(), 10.0)
        relay.refusing = False
        report = await running
        await _until(lambda: all({p.sequence for p in listener.samples[s.athlete]} >= {119} for s in straps))
    _assert_whole(straps, listener)
    for strap in straps:
        assert strap.record.truth is not None
        beats = {r for truth in listener.truth[strap.athlete] for r in truth.r_samples}
        np.testing.assert_array_equal(sorted(beats), strap.record.truth.r_samples)
    assert (report.unsent, report.unacknowledged) == (0, 0)
    assert report.reconnections >= len(straps)
    assert "trying again in" in said[0]
    assert len(said) < 5


class _Relay:
    """A TCP relay that can stop passing on what the broker answers, hang up, or let nobody in."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self.refusing = False
        self.port = 0
        self._broker_port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._writers += [writer, broker_writer]
        await asyncio.gather(
            self._pass_on(reader, broker_writer, to_strap=False),
            self._pass_on(broker_reader, writer, to_strap=True),
        )

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, to_strap: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while content := await source.read(65536):
                if not (to_strap and self.deaf):
                    sink.write(content)
                    await sink.drain()
        sink.close()


async def test_unacknowledged_packets_go_out_again(mosquitto: GuardedServer) -> None:
    """Packets whose acknowledgement got lost come twice, before anything newer, with the same content."""
    strap = _straps(1, seconds=20.0, speed=8.0)[0]
    async with _listening(mosquitto.port) as listener, _Relay(mosquitto.port) as relay:
        fleet = Fleet([strap], broker=MqttAddress("127.0.0.1", relay.port))
        running = asyncio.create_task(fleet.run())
        await _until(lambda: len(listener.samples["a0"]) > 10)
        relay.deaf = True
        # What goes out from here on can no longer be acknowledged.
        before = fleet.report().sent
        await _until(lambda: len(listener.samples["a0"]) >= before + 4)
        relay.deaf = False
        relay.hang_up()
        report = await running
        await _until(lambda: len(listener.samples["a0"]) == report.sent + report.resent)
    _assert_whole([strap], listener)
    assert report.resent >= 4
    sequences = [packet.sequence for packet in listener.samples["a0"]]
    twice = sorted({sequence for sequence in sequences if sequences.count(sequence) == 2})
    assert len(twice) == report.resent
    again = sequences.index(twice[0], sequences.index(twice[0]) + 1)
    assert sequences[again : again + len(twice)] == twice
    assert max(sequences[:again]) == twice[-1]
    by_sequence = defaultdict(set)
    for packet in listener.samples["a0"]:
        by_sequence[packet.sequence].add((packet.sent_at, packet.samples))
    assert all(len(versions) == 1 for versions in by_sequence.values())


async def test_radio_trouble_is_what_the_ledger_says(mosquitto: GuardedServer) -> None:
    """What arrives is exactly what the ledger says went out, doubles and all."""
    straps = _straps(4, seconds=30.0, speed=10.0)
    ledger = Ledger(keep=True)
    radio = RadioSettings(
        loss=0.1,
        duplicates=0.1,
        reorder=0.1,
        dropouts=(Stretch(1.0, 0.4),),
        dropouts_lost=(Stretch(2.0, 0.2),),
        lead_off=(Stretch(0.5, 0.3),),
    )
    async with _listening(mosquitto.port) as listener:
        report = await run_fleet(straps, broker=_address(mosquitto), radio=radio, ledger=ledger, seed=3)
        await _until(lambda: len(listener.arrived_at) == ledger.transmissions)
    assert report.packets == sum(len(list(strap.packets(start_at=0.0))) for strap in straps)
    assert min(report.lost, report.lost_in_dropout, report.duplicated, report.reordered, report.lead_off) > 0
    for strap in straps:
        went_out = sorted(
            entry.sequence
            for entry in ledger.entries
            if entry.athlete == strap.athlete and entry.cause in {"sent", "duplicated", "resent"}
        )
        assert sorted(packet.sequence for packet in listener.samples[strap.athlete]) == went_out
        off = {
            entry.sequence
            for entry in ledger.entries
            if (entry.athlete, entry.cause) == (strap.athlete, "lead_off")
        }
        heard_off = {packet.sequence for packet in listener.samples[strap.athlete] if packet.lead_off}
        assert heard_off == off & set(went_out)


async def test_cancelled_says_goodbye(mosquitto: GuardedServer) -> None:
    """Cancelled, a fleet ends within 2 s and leaves the status offline, retained."""
    straps = _straps(10)
    fleet = Fleet(straps, broker=_address(mosquitto))
    running = asyncio.create_task(fleet.run())
    await _until(lambda: fleet.report().sent > 30)
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 2.0
    assert fleet.report().connected == 0
    async with _listening(mosquitto.port) as listener:
        await _until(lambda: len(listener.status) == len(straps))
    assert all([status.online for status in heard] == [False] for heard in listener.status.values())


async def test_last_will(mosquitto: GuardedServer) -> None:
    """A strap whose connection is torn is said to be gone by its last will, and online again once it is back."""
    strap = _straps(1)[0]
    async with _listening(mosquitto.port) as listener, _Relay(mosquitto.port) as relay:
        running = asyncio.create_task(Fleet([strap], broker=MqttAddress("127.0.0.1", relay.port)).run())
        await _until(lambda: len(listener.samples["a0"]) > 1)
        relay.hang_up()
        await _until(lambda: [status.online for status in listener.status["a0"]] == [True, False, True])
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await _until(lambda: not listener.status["a0"][-1].online)


async def test_broker_that_is_not_there() -> None:
    """Without a broker a fleet keeps trying and says so, ends in time, and enters every packet as unsent."""
    said: list[str] = []
    # Port 1 of the local host: refused at once.
    fleet = Fleet(_straps(3), broker=MqttAddress("127.0.0.1", 1), say=said.append)
    report = await fleet.run(until_s=1.0, drain_s=0.2)
    assert (report.sent, report.unsent, report.packets) == (0, 12, 12)
    assert report.reconnections > 3
    assert "mqtt://127.0.0.1:1" in said[0]
    assert "3 of 3 straps are not connected" in said[0]


async def test_sixty_straps(embedded_broker: EmbeddedBroker) -> None:
    """Sixty straps in real time are no effort: all arrives, and half of it within a few milliseconds of its time."""
    straps = _straps(60, seconds=3.0)
    async with _listening(embedded_broker.port) as listener:
        report = await run_fleet(straps, broker=_address(embedded_broker))
        await _until(lambda: len(listener.arrived_at) == report.sent)
    assert report.sent == 60 * 12
    _assert_whole(straps, listener)
    assert report.lateness_s.p50 is not None
    assert report.lateness_s.p50 < 0.05


def test_names_must_differ() -> None:
    """One athlete twice would be two straps on one topic."""
    straps = _straps(1)
    with pytest.raises(UsageError, match="'a0' of team 't' is there twice"):
        Fleet([*straps, *straps], broker=MqttAddress("127.0.0.1", 1))
    with pytest.raises(UsageError, match="no strap"):
        Fleet([], broker=MqttAddress("127.0.0.1", 1))


def test_lateness() -> None:
    """Quantiles are right to 0.1 ms, the maximum exactly."""
    lateness = Lateness()
    assert lateness.quantile_s(0.5) is None
    seconds = np.random.default_rng(0).exponential(0.01, 5000)
    for value in seconds:
        lateness.add(float(value))
    assert lateness.max_s == seconds.max()
    for share in (0.5, 0.99):
        assert lateness.quantile_s(share) == pytest.approx(np.quantile(seconds, share), abs=2e-4)
