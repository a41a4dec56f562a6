"""The whole line, live: a real broker and a real server, the same beats as offline, a clean end."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import msgspec
import numpy as np
import pytest
import redis.asyncio

from models.runtime import load_classifier
from monitor.assembly import ReorderLimits
from monitor.classifier import BeatClassifier
from monitor.contract import LABELS, Alarm, Beats, Block
from monitor.embedded import GuardedServer
from monitor.line import Line
from monitor.live import LiveMonitor
from monitor.live_state import (
    CANARY_TEAM,
    TEAMS_KEY,
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
)
from monitor.responses import Command
from monitor.sinks import Outbox, RedisSink, acknowledge, audit_trail, open_redis, pause
from monitor.sinks.batch import SinkBatch
from monitor.sources import Arrival, MqttSource, parse_mqtt_url
from monitor.warm_up import warm_up
from monitor.watch import Watch
from monitor.wire import Topic
from simulators.fleet import Fleet, FleetReport
from simulators.radio import RadioSettings, Stretch
from simulators.records import Record, read_record
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team

SPEED = 5.0


@pytest.fixture(scope="module")
def classifier() -> BeatClassifier:
    """Return the shipped classifier."""
    loaded = load_classifier()
    warm_up(loaded)
    return loaded


@contextlib.asynccontextmanager
async def running(
    broker: GuardedServer, server: GuardedServer, folder: Path, classifier: BeatClassifier | None
) -> AsyncIterator[LiveMonitor]:
    """Run a monitor until the block ends."""
    outbox = Outbox(folder / "outbox.sqlite3")
    connected = asyncio.Event()

    def note(is_connected: bool) -> None:  # noqa: FBT001 - the callback's own form
        if is_connected:
            connected.set()

    async with (
        RedisSink(server.url, outbox=outbox) as sink,
        MqttSource(broker.url, on_connection=note) as source,
    ):
        monitor = LiveMonitor(
            source=source,
            sink=sink,
            # Played five times as fast, a packet that is held back for a second is overtaken by twenty.
            watch=Watch(classifier=classifier, reorder=ReorderLimits(packets=64, wait_s=3.0)),
            monitor_id="m1",
            model="test",
            settings_hash="",
            tick_s=0.02,
        )
        task = asyncio.create_task(monitor.run())
        try:
            async with asyncio.timeout(10.0):
                await connected.wait()
            yield monitor
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    outbox.close()


async def play(
    records: list[Record], broker: GuardedServer, radio: RadioSettings, *, packet_s: float = 0.25
) -> FleetReport:
    """Replay records as straps until their end."""
    straps = [
        Strap(record=r, team="t", athlete=f"a{k}", strap=f"s{k}", boot=1, packet_s=packet_s, speed=SPEED)
        for k, r in enumerate(records)
    ]
    fleet = Fleet(straps, broker=parse_mqtt_url(broker.url), radio=radio, seed=1)
    report = await fleet.run()
    await asyncio.sleep(2.0)
    return report


async def beats_of(server: GuardedServer, athlete: str) -> list[BeatEntry]:
    """Return an athlete's beats as Redis has them."""
    client = open_redis(server.url)
    entries: Any = await client.xrange(beats_key("t", athlete))
    await client.aclose()
    return [msgspec.msgpack.decode(fields[b"beat"], type=BeatEntry) for _, fields in entries]


def offline(record: Record, classifier: BeatClassifier) -> Beats:
    """Return the beats of a record, run through a line in long blocks as `evaluate` does."""
    line = Line(rate_hz=record.rate_hz, classifier=classifier)
    row = np.array([line.claim()])
    samples = record.millivolts[np.newaxis]
    return line.process(Block(row, np.array([0]), samples, np.ones(samples.shape, np.bool_))).beats


async def test_live_over_a_real_broker_equals_offline(
    mosquitto: GuardedServer, redis_server: GuardedServer, tmp_path: Path, classifier: BeatClassifier
) -> None:
    """Over MQTT with duplicates and reordering the beats and classes are those of the same record offline."""
    records = synthetic_team(3, seconds=40.0, seed=11)
    async with running(mosquitto, redis_server, tmp_path, classifier) as monitor:
        report = await play(records, mosquitto, RadioSettings(duplicates=0.1, reorder=0.1))
        state = monitor.state()
    assert state.packets_lost == 0
    assert state.packets_received == report.sent + report.duplicated
    for k, record in enumerate(records):
        expected = offline(record, classifier)
        live = await beats_of(redis_server, f"a{k}")
        assert [beat.r_sample for beat in live] == expected.r_sample.tolist()
        assert [beat.label for beat in live] == [LABELS[label] for label in expected.label]
        # The network's sums are rounded differently in batches of another size, and no more than that.
        probabilities = np.array([beat.probabilities for beat in live])
        np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)
        assert len(live) > 30


@pytest.mark.data
async def test_a_real_record_over_a_real_broker_equals_offline(
    mosquitto: GuardedServer,
    redis_server: GuardedServer,
    recordings: Path,
    tmp_path: Path,
    classifier: BeatClassifier,
) -> None:
    """Forty seconds of mitdb/200 and of edb/e0103, live and offline: the same beats, the same classes."""
    records = []
    for name in ("mitdb/200", "edb/e0103"):
        record = read_record(name, database=recordings)
        records.append(_first(record, int(40 * record.rate_hz)))
    async with running(mosquitto, redis_server, tmp_path, classifier):
        await play(records, mosquitto, RadioSettings(duplicates=0.05, reorder=0.1))
    for k, record in enumerate(records):
        expected = offline(record, classifier)
        live = await beats_of(redis_server, f"a{k}")
        assert [beat.r_sample for beat in live] == expected.r_sample.tolist()
        assert [beat.label for beat in live] == [LABELS[label] for label in expected.label]


async def test_alarms_reach_redis_and_acknowledgements_come_back(
    mosquitto: GuardedServer, redis_server: GuardedServer, tmp_path: Path
) -> None:
    """A strap whose lead is off raises an alarm in the Stream; acknowledged by a receiver, the state says so."""
    records = synthetic_team(1, seconds=40.0, seed=11)
    client = open_redis(redis_server.url)
    async with running(mosquitto, redis_server, tmp_path, None):
        playing = asyncio.create_task(play(records, mosquitto, RadioSettings(lead_off=(Stretch(5.0, 30.0),))))
        raised = await _first_alarm(client)
        assert (raised.kind, raised.transition, raised.priority) == ("lead_off", "raised", "medium")
        await acknowledge(client, raised.identity, "Dr. Who")
        seen_by = ""
        for _ in range(60):
            await asyncio.sleep(0.1)
            payload: Any = await client.hget(athlete_key("t", "a0"), "state")
            active = msgspec.msgpack.decode(payload, type=AthleteState).alarms if payload else []
            seen_by = active[0].acknowledged_by if active else seen_by
            if seen_by:
                break
        assert seen_by == "Dr. Who"
        heartbeat: Any = await client.get(monitor_key("m1"))
        assert heartbeat is not None
        assert msgspec.msgpack.decode(heartbeat, type=MonitorState).broker_connected
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing
    await client.aclose()


async def test_alarms_wait_for_a_server_that_is_away(
    mosquitto: GuardedServer, redis_server: GuardedServer, tmp_path: Path
) -> None:
    """With the server stopped the monitor goes on; its alarms arrive, once each, when the server is back."""
    records = synthetic_team(1, seconds=40.0, seed=11)
    async with running(mosquitto, redis_server, tmp_path, None) as monitor:
        redis_server.stop()
        await play(records, mosquitto, RadioSettings(lead_off=(Stretch(5.0, 10.0),)))
        assert monitor.state().outbox_waiting > 0
        redis_server.start()
        for _ in range(100):
            await asyncio.sleep(0.1)
            if monitor.state().outbox_waiting == 0:
                break
    client = open_redis(redis_server.url)
    entries: Any = await client.xrange(alarms_key("t"))
    await client.aclose()
    told = [(f[b"identity"], f[b"transition"]) for _, f in entries]
    assert len(told) == len(set(told))
    assert any(transition == b"raised" and b"lead_off" in identity for identity, transition in told)


async def test_commands_test_alarms_and_the_end_of_a_monitor_can_be_seen(
    mosquitto: GuardedServer, redis_server: GuardedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause stands in state and audit trail, test alarms come the whole way, an orderly end is told."""
    monkeypatch.setattr("monitor.live.CANARY_EVERY_S", 0.5)
    client: Any = open_redis(redis_server.url)
    async with running(mosquitto, redis_server, tmp_path, None):
        await play(synthetic_team(1, seconds=5.0, seed=11), mosquitto, RadioSettings())
        await pause(client, "t", "a0", seconds=200.0, by="Dr. Who")
        paused = None
        async with asyncio.timeout(10.0):
            while paused is None or not paused.paused_until:
                await asyncio.sleep(0.1)
                payload = await client.hget(athlete_key("t", "a0"), "state")
                paused = msgspec.msgpack.decode(payload, type=AthleteState)
        assert (paused.paused_by, paused.paused_covers) == ("Dr. Who", "low")
        assert 150.0 < paused.paused_until - paused.updated_at <= 200.0
    assert await client.xlen(alarms_key(CANARY_TEAM)) >= 1
    assert CANARY_TEAM.encode() not in await client.smembers(TEAMS_KEY)
    assert [entry.action for entry in await audit_trail(client, "t")] == ["pause"]
    heartbeat = msgspec.msgpack.decode(await client.get(monitor_key("m1")), type=MonitorState)
    assert heartbeat.ended
    await client.aclose()


async def _first_alarm(client: "redis.asyncio.Redis") -> Alarm:
    for _ in range(200):
        entries: Any = await client.xrange(alarms_key("t"))
        if entries:
            return msgspec.msgpack.decode(entries[0][1][b"alarm"], type=Alarm)
        await asyncio.sleep(0.05)
    raise AssertionError("no alarm came")


def _first(record: Record, samples: int) -> Record:
    return replace(record, millivolts=record.millivolts[:samples], counts=record.counts[:samples], truth=None)


class Quiet:
    """A source from which nothing comes."""

    connected = True
    received = dropped = 0
    refused: Mapping[str, int] = MappingProxyType({})

    def take(self) -> list[Arrival]:
        """Return nothing."""
        return []

    def take_drops(self) -> dict[tuple[str, str], int]:
        """Return nothing."""
        return {}

    async def __aiter__(self) -> AsyncIterator[Arrival]:
        """Never yield."""
        await asyncio.Event().wait()
        yield Arrival(Topic("", "", ""), b"", 0.0, lambda: None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None: ...


@dataclass
class Kept:
    """A sink that keeps alarms, once it has taken `write_s` to write them."""

    write_s: float = 0.0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    alarms: list[Alarm] = field(default_factory=list)
    outbox_waiting: int = 0
    unsaved_alarms: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    async def write(self, batch: SinkBatch) -> None:
        """Keep the alarms."""
        if batch.alarms:
            self.begun.set()
            wait_s, self.write_s = self.write_s, 0.0
            await asyncio.sleep(wait_s)
        self.alarms += batch.alarms

    async def watched(self) -> set[tuple[str, str]]:
        """Return nobody."""
        return set()

    alarms_safe = True

    async def last_beats(self, athletes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], BeatEntry]:  # noqa: ARG002
        """Return nothing."""
        return {}

    async def acknowledgements(self, *, since: float | None = None) -> AsyncIterator[Alarm]:  # noqa: ARG002
        """Never yield."""
        await asyncio.Event().wait()
        yield ALARM

    async def commands(self) -> AsyncIterator[Command]:
        """Never yield."""
        await asyncio.Event().wait()
        yield Command(action="resume", team="t", by="", at=0.0)


ALARM = Alarm(
    team="t", athlete="a", boot=1, kind="pause", episode=1, transition="raised", priority="medium", technical=False,
    known_sample=1, rate_hz=360.0, at=1.0, onset_at=1.0, rate_bpm=None, quality=1.0, message="", action="",
)  # fmt: skip


class Slow(Watch):
    """A watch whose ticks take a while; the first of them brings an alarm, unless it fails."""

    def __init__(self, tick_s: float, *, fails: bool = False) -> None:
        super().__init__(classifier=None)
        self.tick_s = tick_s
        self.fails = fails
        self.begun = threading.Event()
        self.ticks = 0

    def tick(self, now: float, watched: Iterable[tuple[str, str]] = ()) -> SinkBatch:  # noqa: ARG002 - as its base
        """Take a while."""
        self.begun.set()
        self.ticks += 1
        first = self.ticks == 1
        time.sleep(self.tick_s)
        if self.fails and not first:
            raise ArithmeticError("the watch is broken")
        return SinkBatch(alarms=[ALARM] if first else [])


def monitoring(watch: Watch, sink: Kept) -> LiveMonitor:
    """Return a monitor between nothing and `sink`."""
    return LiveMonitor(
        source=Quiet(), sink=sink, watch=watch, monitor_id="m", model="", settings_hash="", tick_s=0.01
    )


async def test_what_is_computed_while_the_monitor_ends_is_sent() -> None:
    """An alarm that becomes known after Ctrl-C, in the tick under way, still reaches the sink, once."""
    watch, sink = Slow(0.2), Kept()
    task = asyncio.create_task(monitoring(watch, sink).run())
    await asyncio.to_thread(watch.begun.wait, 5.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.alarms == [ALARM]


async def test_alarms_on_their_way_to_the_sink_are_sent_again() -> None:
    """A write that the end interrupts is not safe: its alarms go out with the farewell."""
    watch, sink = Slow(0.0), Kept(write_s=60.0)
    task = asyncio.create_task(monitoring(watch, sink).run())
    await sink.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.alarms == [ALARM]


async def test_what_the_event_loop_adds_to_is_taken_by_it_alone() -> None:
    """Taken by the compute thread, a change of settings that comes at that moment would be lost."""

    class Seen(LiveMonitor):
        def __setattr__(self, name: str, value: object) -> None:
            if name in ("_acknowledged", "_commands", "_changes"):
                by.setdefault(name, set()).add(threading.get_ident())
            super().__setattr__(name, value)

    by: dict[str, set[int]] = {}
    watch, sink = Slow(0.0), Kept()
    monitor = Seen(
        source=Quiet(), sink=sink, watch=watch, monitor_id="m", model="", settings_hash="", tick_s=0.01
    )
    task = asyncio.create_task(monitor.run())
    await asyncio.to_thread(watch.begun.wait, 5.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(by.values()) == [{threading.get_ident()}] * 3


async def test_a_long_computation_cannot_delay_the_end() -> None:
    """The monitor ends in time though its compute thread is busy for longer than that."""
    watch, sink = Slow(3.0), Kept()
    task = asyncio.create_task(monitoring(watch, sink).run())
    await asyncio.to_thread(watch.begun.wait, 5.0)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 2.0


async def test_an_error_in_the_watch_ends_the_monitor_and_loses_no_alarm() -> None:
    """What the watch raises is raised, the watch is not asked again, and alarms from before are sent."""
    watch, sink = Slow(0.0, fails=True), Kept(write_s=60.0)
    with pytest.raises(ArithmeticError, match="broken"):
        await monitoring(watch, sink).run()
    assert watch.ticks == 2
    assert sink.alarms == [ALARM]


async def test_a_part_that_a_stray_cancellation_ends_ends_the_monitor() -> None:
    """A monitor never goes on without one of its parts."""

    class Stray(Kept):
        async def watched(self) -> set[tuple[str, str]]:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5.0):
            await monitoring(Slow(0.0), Stray()).run()
