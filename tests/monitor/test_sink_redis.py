"""The Redis sink: what it writes, that alarms are told exactly once, and what it does while the server is away."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.contract import Alarm, AlarmTransition, RhythmKind, Strip
from monitor.embedded import EmbeddedServer, GuardedServer
from monitor.errors import ServerError, SettingsError, StrapwatchError, UsageError
from monitor.live_state import (
    ATHLETE_TTL_S,
    BEATS_KEPT,
    MONITOR_TTL_S,
    TEAMS_KEY,
    AthleteState,
    BeatEntry,
    MonitorState,
    WaveMessage,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
    wave_key,
)
from monitor.sinks import (
    AlarmScript,
    Outbox,
    RedisSink,
    SinkBatch,
    acknowledge,
    decode_alarm,
    follow_alarms,
    open_redis,
)
from monitor.sinks.alarm_script import known_key
from monitor.sinks.identity import Identity
from tests.monitor.address import Address


def _alarm(
    transition: AlarmTransition = "raised",
    *,
    team: str = "red",
    athlete: str = "anna",
    kind: RhythmKind = "pause",
    episode: int = 36_000,
    at: float = 1.0,
) -> Alarm:
    return Alarm(
        team=team,
        athlete=athlete,
        boot=1,
        kind=kind,
        episode=episode,
        transition=transition,
        priority="high",
        technical=False,
        known_sample=episode + 720,
        rate_hz=360.0,
        at=at,
        onset_at=at,
        rate_bpm=None,
        quality=0.9,
        message="No beat for 2.1 s",
        action="call",
        strip=Strip(first_sample=0, rate_hz=360.0, microvolts=b"\xff\x00", beats=[(1, "N", 0.9)]),
    )


def _state(athlete: str = "anna") -> AthleteState:
    return AthleteState(
        team="red",
        athlete=athlete,
        strap="s1",
        online=True,
        updated_at=1.0,
        last_packet_at=1.0,
        boot=1,
        last_sample=360,
        rate_hz=360.0,
        lead="MLII",
        source="",
        trained_on=False,
        rate_bpm=61.5,
        quality=1.0,
        quality_category="good",
        coverage=1.0,
        recent_labels=["N", "V"],
        counts={"N": 1, "V": 1},
        packets_received=4,
        packets_lost=0,
        packets_duplicate=0,
        packets_refused=0,
        alarms=[],
    )


def _beat(r_sample: int = 100) -> BeatEntry:
    return BeatEntry(
        boot=1,
        r_sample=r_sample,
        known_sample=r_sample + 300,
        label="N",
        probabilities=(1.0, 0.0, 0.0, 0.0, 0.0),
        quality=1.0,
        rr_s=0.8,
        due_at=2.0,
    )


_WAVE = WaveMessage(
    boot=1, first_sample=0, rate_hz=360.0, microvolts=b"\x01\x00", peaks=[0], beats=[(0, "N")]
)
_MONITOR = MonitorState(
    monitor_id="m1",
    at=1.0,
    started_at=0.0,
    athletes=1,
    packets_received=4,
    packets_lost=0,
    packets_refused=0,
    packets_dropped=0,
    samples=360,
    beats=1,
    alarms=0,
    broker_connected=True,
    outbox_waiting=0,
    model="m",
    settings_hash="h",
    refused={},
)


def _full_batch() -> SinkBatch:
    return SinkBatch(
        beats=[("red", "anna", _beat(n)) for n in range(3)],
        states=[_state()],
        waves=[("red", "anna", _WAVE)],
        alarms=[_alarm()],
        monitor=_MONITOR,
    )


async def _until(condition: Callable[[], bool], *, within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - a counter of the sink is watched, which sets no event
            await asyncio.sleep(0.01)


async def _alarms_in(client: Any, team: str = "red") -> list[Alarm]:
    alarms = [decode_alarm(fields) for _, fields in await client.xrange(alarms_key(team))]
    assert None not in alarms
    return [alarm for alarm in alarms if alarm is not None]


async def _beats_in(client: Any) -> list[BeatEntry]:
    entries = await client.xrange(beats_key("red", "anna"))
    return [msgspec.msgpack.decode(fields[b"beat"], type=BeatEntry) for _, fields in entries]


@pytest.fixture
async def client(redis_server: GuardedServer) -> AsyncIterator[Any]:
    """Return a client of the server, for looking at what was written."""
    client = open_redis(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Return an empty outbox."""
    with closing(Outbox(tmp_path / "outbox.sqlite3")) as outbox:
        yield outbox


async def _writes_everything(server: GuardedServer, outbox: Outbox) -> None:
    client: Any = open_redis(server.url)
    listener = client.pubsub()
    await listener.subscribe(wave_key("red", "anna"))
    async with RedisSink(server.url, outbox=outbox) as sink:
        assert sink.connected
        await sink.write(_full_batch())
        assert await sink.drained(5.0)
        beats = await client.xrange(beats_key("red", "anna"))
        assert [msgspec.msgpack.decode(f[b"beat"], type=BeatEntry) for _, f in beats] == [
            _beat(n) for n in range(3)
        ]
        state = await client.hget(athlete_key("red", "anna"), "state")
        assert msgspec.msgpack.decode(state, type=AthleteState) == _state()
        assert 0 < await client.ttl(athlete_key("red", "anna")) <= ATHLETE_TTL_S
        heartbeat = await client.get(monitor_key("m1"))
        assert msgspec.msgpack.decode(heartbeat, type=MonitorState) == _MONITOR
        assert 0 < await client.ttl(monitor_key("m1")) <= MONITOR_TTL_S
        assert await client.smembers(TEAMS_KEY) == {b"red"}
        entries = await client.xrange(alarms_key("red"))
        assert [(f[b"identity"], f[b"transition"]) for _, f in entries] == [
            (b"red.anna.1.pause.36000", b"raised")
        ]
        assert await _alarms_in(client) == [_alarm()]
        message = None
        while message is None or message["type"] != "message":
            message = await listener.get_message(timeout=5.0)
        assert msgspec.msgpack.decode(message["data"], type=WaveMessage) == _WAVE
        assert sink.alarms_added == 1
        assert sink.outbox_waiting == 0
        assert dict(sink.dropped) == {}
    await listener.aclose()
    await client.aclose()


async def test_writes_everything_where_readers_look(redis_server: GuardedServer, outbox: Outbox) -> None:
    """Each part of a batch is found under its key, byte for byte decodable, with its time to live."""
    await _writes_everything(redis_server, outbox)


async def test_writes_the_same_to_the_embedded_server(
    embedded_server: EmbeddedServer, outbox: Outbox
) -> None:
    """Valkey from the wheel is no special case."""
    await _writes_everything(embedded_server, outbox)


async def test_beats_are_capped(redis_server: GuardedServer, client: Any, outbox: Outbox) -> None:
    """An athlete's Stream of beats does not grow past its cap by more than one node of the Stream."""
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        for start in range(0, BEATS_KEPT + 2_000, 2_000):
            beats = [("red", "anna", _beat(n)) for n in range(start, start + 2_000)]
            await sink.write(SinkBatch(beats=beats))
        assert BEATS_KEPT <= await client.xlen(beats_key("red", "anna")) <= BEATS_KEPT + 200
        last = await client.xrevrange(beats_key("red", "anna"), count=1)
        assert msgspec.msgpack.decode(last[0][1][b"beat"], type=BeatEntry).r_sample == BEATS_KEPT + 1_999


async def test_watched_names_who_is_listened_to(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """Only athletes with a subscriber are watched; the server is asked at most about once a second."""
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        assert await sink.watched() == set()
        async with client.pubsub() as listener:
            await listener.subscribe(wave_key("red", "anna"), wave_key("blue", "b-2"), "strapwatch:wave:odd")
            assert await sink.watched() == set()
            await asyncio.sleep(1.05)
            assert await sink.watched() == {("red", "anna"), ("blue", "b-2")}
        await asyncio.sleep(1.05)
        assert await sink.watched() == set()


async def test_a_transition_is_added_once(client: Any) -> None:
    """The same identity and transition adds nothing the second time, from whichever monitor; others add."""
    first, second = AlarmScript(client), AlarmScript(client)
    results = await asyncio.gather(*(script.add(_alarm()) for script in (first, second) for _ in range(20)))
    assert sum(result.added for result in results) == 1
    assert (await first.add(_alarm("cleared"))).added
    assert not (await second.add(_alarm("cleared"))).added
    assert (await first.add(_alarm(kind="asystole"))).added
    assert (await first.add(_alarm(athlete="bea"))).added
    assert [a.transition for a in await _alarms_in(client)] == ["raised", "cleared", "raised", "raised"]


async def test_a_raise_within_two_seconds_is_the_same_episode(client: Any) -> None:
    """An onset at most 2 s from a known one is that one, and so are all its later transitions; 2 s more is another."""
    script = AlarmScript(client)
    assert (await script.add(_alarm(episode=36_000))).added
    again = await script.add(_alarm(episode=36_720))
    assert not again.added
    assert again.alarm.episode == 36_000
    assert not (await script.add(_alarm(episode=35_280))).added
    other = await script.add(_alarm(episode=36_721))
    assert other.added
    # 36,720 lies nearer to the newer episode, but was taken for the older one, and stays with it.
    cleared = await script.add(_alarm("cleared", episode=36_720))
    assert cleared.added
    assert cleared.alarm.episode == 36_000
    assert not (await script.add(_alarm("cleared", episode=36_000))).added
    assert [(a.episode, a.transition) for a in await _alarms_in(client)] == [
        (36_000, "raised"),
        (36_721, "raised"),
        (36_000, "cleared"),
    ]


async def test_samples_counted_anew_under_an_old_boot_number_hide_no_alarm(client: Any) -> None:
    """An onset in the span of an old alarm is that alarm where it began with it, and another where it began later."""
    script, now = AlarmScript(client), time.time()
    await script.add(_alarm(episode=1000, at=now - 5.0))
    over = msgspec.structs.replace(_alarm("cleared", episode=1000, at=now), known_sample=200_000)
    assert (await script.add(over)).outcome == "added"
    late = await script.add(_alarm(episode=20_000, at=now - 3.0))
    assert (late.outcome, late.alarm.episode) == ("known", 1000)
    new = await script.add(_alarm(episode=30_000, at=now + 3600.0))
    assert (new.outcome, new.alarm.episode) == ("added", 30_000)


async def test_an_end_without_its_raise_is_told_all_the_same(client: Any) -> None:
    """A server that has forgotten the raise still takes the end: nothing is hidden."""
    script = AlarmScript(client)
    assert (await script.add(_alarm("cleared"))).added
    assert not (await script.add(_alarm("cleared"))).added


async def test_the_script_is_loaded_again_and_large_counters_are_exact(client: Any) -> None:
    """A server that lost its scripts gets them again; episodes up to 2**53 keep every digit."""
    script = AlarmScript(client)
    episode = 2**53 - 1
    assert (await script.add(_alarm(episode=episode))).added
    await client.script_flush()
    assert not (await script.add(_alarm(episode=episode))).added
    assert (await script.add(_alarm("cleared", episode=episode - 700))).alarm.episode == episode
    assert {a.episode for a in await _alarms_in(client)} == {episode}


async def test_what_the_script_knows_is_bounded(client: Any) -> None:
    """Every key by which transitions are recognised ends by itself."""
    await AlarmScript(client).add(_alarm())
    keys = await client.keys("strapwatch:alarms-seen:*")
    assert len(keys) == 1
    assert 0 < await client.ttl(keys[0]) <= 7 * 24 * 3600


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["raised", "escalated", "cleared"]), st.integers(0, 1)),
        max_size=25,
    )
)
async def test_any_resends_in_any_order_add_nothing_twice(
    redis_server: GuardedServer, sent: list[tuple[int, AlarmTransition, int]]
) -> None:
    """No identity and transition stands twice in the Stream, and no two raised episodes lie within 2 s."""
    client: Any = open_redis(redis_server.url)
    try:
        await client.flushall()
        scripts = [AlarmScript(client), AlarmScript(client)]
        for seconds, transition, which in sent:
            await scripts[which].add(_alarm(transition, episode=360 * seconds))
        alarms = await _alarms_in(client)
    finally:
        await client.aclose()
    told = [(a.identity, a.transition) for a in alarms]
    assert len(set(told)) == len(told)
    raised = sorted(a.episode for a in alarms if a.transition == "raised")
    assert all(later - earlier > 720 for earlier, later in pairwise(raised))


async def test_server_away_drops_what_is_about_now_and_keeps_beats_and_alarms(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """While the server is away: drops are counted by kind, beats and alarms wait, and go out in order, each once."""
    states: list[bool] = []
    with capture_logs() as logs:
        async with RedisSink(redis_server.url, outbox=outbox, on_connection=states.append) as sink:
            await sink.write(_full_batch())
            assert await sink.drained(5.0)
            redis_server.kill()
            kinds: list[RhythmKind] = ["pause", "asystole", "ventricular_run", "bigeminy"]
            for number, kind in enumerate(kinds):
                began = time.monotonic()
                later = [
                    msgspec.structs.replace(_beat(), r_sample=9_000 + 2 * number + each) for each in (0, 1)
                ]
                await sink.write(
                    SinkBatch(
                        beats=[("red", "anna", beat) for beat in later],
                        states=[_state()],
                        alarms=[_alarm("cleared", kind=kind)],
                    )
                )
                assert time.monotonic() - began < 1.0
            assert not sink.connected
            assert await sink.watched() == set()
            assert sink.outbox_waiting == 4
            assert dict(sink.dropped) == {"states": 4}
            redis_server.start()
            assert await sink.drained(15.0)
            await sink.write(
                SinkBatch(beats=[("red", "anna", msgspec.structs.replace(_beat(), r_sample=9_008))])
            )
            assert sink.dropped["beats"] == 0
        told = [each.r_sample for each in await _beats_in(client)]
        assert told[-9:] == list(range(9_000, 9_009))
        assert [a.kind for a in await _alarms_in(client)] == ["pause", *kinds]
    assert states == [True, False, True, False]
    assert any("lost" in line["event"] for line in logs)
    assert any("no Redis" in line["event"] and line["wait_s"] > 0 for line in logs)


async def test_a_server_that_answers_too_late_has_each_beat_once(
    redis_server: GuardedServer, client: Any, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took what was under way when it stood still, and nobody was told: those beats are not written again."""
    monkeypatch.setattr("monitor.sinks.connection.SOCKET_TIMEOUT_S", 0.3)
    process: int = (await client.info("server"))["process_id"]
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        await sink.write(SinkBatch(beats=[("red", "anna", _beat(0))]))
        os.kill(process, signal.SIGSTOP)
        try:
            await sink.write(SinkBatch(beats=[("red", "anna", _beat(1)), ("red", "anna", _beat(2))]))
            assert not sink.connected
            await sink.write(SinkBatch(beats=[("red", "anna", _beat(3))]))
        finally:
            os.kill(process, signal.SIGCONT)
        await _until(lambda: sink.connected)
        await sink.write(SinkBatch(beats=[("red", "anna", _beat(4))]))
        assert dict(sink.dropped) == {}
    assert await _beats_in(client) == [_beat(n) for n in range(5)]


async def test_server_that_is_not_there_yet(redis_server: GuardedServer, outbox: Outbox) -> None:
    """A sink starts without its server, waits for it, and leaves quickly when it never comes."""
    redis_server.stop()
    began = time.monotonic()
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        await sink.write(_full_batch())
        assert not sink.connected
    assert time.monotonic() - began < 2.0
    assert len(outbox) == 1
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        redis_server.start()
        assert await sink.drained(15.0)


async def test_full_server_keeps_alarms_waiting(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """A server without memory is said plainly and counted; alarms go out once it has room."""
    with capture_logs() as logs:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            await client.config_set("maxmemory", "1")
            await sink.write(_full_batch())
            assert sink.dropped["beats"] == 3
            assert sink.dropped["states"] == 1
            await asyncio.sleep(0.2)
            assert sink.outbox_waiting == 1
            await client.config_set("maxmemory", "0")
            assert await sink.drained(15.0)
            assert sink.connected
    assert await _alarms_in(client) == [_alarm()]
    assert any("refuses" in line["event"] for line in logs)


async def test_read_only_server_keeps_alarms_waiting(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """A server that has become a replica takes nothing; alarms go out once it takes writes again."""
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        await client.replicaof("127.0.0.1", "1")
        await sink.write(_full_batch())
        assert sink.dropped["beats"] == 3
        await asyncio.sleep(0.2)
        assert sink.outbox_waiting == 1
        await client.replicaof("NO", "ONE")
        assert await sink.drained(15.0)
    assert await _alarms_in(client) == [_alarm()]


async def test_a_new_master_at_the_same_address_gets_what_waits(
    redis_server: GuardedServer, client: Any, embedded_server: EmbeddedServer, outbox: Outbox
) -> None:
    """A master that lives on as a replica keeps its connections: a refusal is enough to go and look again."""
    old: Any = open_redis(embedded_server.url)
    states: list[bool] = []
    with capture_logs() as logs:
        async with (
            Address(embedded_server.port) as address,
            RedisSink(address.url, outbox=outbox, on_connection=states.append) as sink,
        ):
            await sink.write(SinkBatch(alarms=[_alarm()]))
            assert await sink.drained(5.0)
            address.leads_to = redis_server.port
            await old.replicaof("127.0.0.1", redis_server.port)
            await sink.write(SinkBatch(alarms=[_alarm(kind="asystole")]))
            assert await sink.drained(15.0)
            assert sink.connected
    await old.aclose()
    assert [a.kind for a in await _alarms_in(client)] == ["asystole"]
    assert states == [True, False, True, False]
    assert any("lost" in line["event"] and "read only" in line["reason"] for line in logs)


async def test_beats_find_a_new_master_without_an_alarm(
    redis_server: GuardedServer, client: Any, embedded_server: EmbeddedServer, outbox: Outbox
) -> None:
    """What is about now is refused once and counted; what comes then reaches the new master."""
    old: Any = open_redis(embedded_server.url)
    async with Address(embedded_server.port) as address, RedisSink(address.url, outbox=outbox) as sink:
        await sink.write(SinkBatch(beats=[("red", "anna", _beat(0))]))
        address.leads_to = redis_server.port
        await old.replicaof("127.0.0.1", redis_server.port)
        await sink.write(SinkBatch(beats=[("red", "anna", _beat(1))], states=[_state()]))
        assert dict(sink.dropped) == {"beats": 1, "states": 1}
        await _until(lambda: sink.connected)
        await sink.write(SinkBatch(beats=[("red", "anna", _beat(2))]))
    await old.aclose()
    assert await _beats_in(client) == [_beat(2)]


async def test_a_server_that_only_reads_is_no_connection(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """A sink that finds a replica says so and looks again; beats and alarms wait until there is a master."""
    await client.replicaof("127.0.0.1", "1")
    with capture_logs() as logs:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            assert not sink.connected
            await sink.write(SinkBatch(beats=[("red", "anna", _beat())], alarms=[_alarm()]))
            await client.replicaof("NO", "ONE")
            assert await sink.drained(15.0)
            assert dict(sink.dropped) == {}
    assert await _beats_in(client) == [_beat()]
    assert any("no Redis" in line["event"] and "read only" in line["reason"] for line in logs)


@pytest.mark.parametrize("key", [alarms_key("red"), known_key(Identity("red", "anna", "", 1, "pause", 0))])
async def test_one_damaged_key_holds_up_only_its_team(
    redis_server: GuardedServer, client: Any, outbox: Outbox, key: str
) -> None:
    """A key of the wrong type holds up that team's alarms, all of them and in order, and nobody else's."""
    await client.set(key, "of another type")
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        await sink.write(SinkBatch(alarms=[_alarm(), _alarm(kind="asystole"), _alarm(team="blue")]))
        await _until(lambda: sink.alarms_added == 1)
        assert [a.team for a in await _alarms_in(client, "blue")] == ["blue"]
        assert sink.outbox_waiting == 2
        await client.delete(key)
        assert await sink.drained(15.0)
    assert [a.kind for a in await _alarms_in(client)] == ["pause", "asystole"]


async def test_acknowledging_adds_once_and_reaches_the_monitor(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """An acknowledgement copies the raised alarm without its strip, counts once, and the monitor hears it."""
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        news: list[Alarm] = []

        async def listen() -> None:
            async for alarm in sink.acknowledgements():
                news.append(alarm)  # noqa: PERF401 - it never ends, and is looked at while it runs

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.2)
        await sink.write(SinkBatch(alarms=[_alarm(), _alarm("cleared")]))
        assert await sink.drained(5.0)
        before = time.time()
        first = await acknowledge(client, _alarm().identity, "Dr Who")
        assert first.added
        assert not (await acknowledge(client, _alarm().identity, "someone else")).added
        expected = msgspec.structs.replace(
            _alarm(), transition="acknowledged", by="Dr Who", strip=None, at=first.alarm.at
        )
        assert first.alarm == expected
        assert before <= first.alarm.at <= time.time()
        await _until(lambda: len(news) == 1)
        assert news == [expected]
        assert (await _alarms_in(client))[-1] == expected
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_an_alarm_that_has_escalated_is_acknowledged_anew(client: Any) -> None:
    """An acknowledgement of the lesser alarm does not stand for the escalated one; the second one does, once."""
    script = AlarmScript(client)
    await script.add(_alarm())
    assert (await acknowledge(client, _alarm().identity, "first")).added
    await script.add(_alarm("escalated"))
    assert (await acknowledge(client, _alarm().identity, "second")).added
    assert not (await acknowledge(client, _alarm().identity, "third")).added
    told = [(alarm.transition, alarm.by) for alarm in await _alarms_in(client)]
    assert told == [("raised", ""), ("acknowledged", "first"), ("escalated", ""), ("acknowledged", "second")]


async def test_a_restart_hears_of_acknowledgements_that_still_stand(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """Of those given meanwhile, one whose alarm has escalated since is not among them; later ones follow."""
    await client.sadd(TEAMS_KEY, "red")
    script = AlarmScript(client)
    kinds: tuple[RhythmKind, ...] = ("pause", "asystole")
    for kind in kinds:
        await script.add(_alarm(kind=kind))
        await acknowledge(client, _alarm(kind=kind).identity, "early")
    await script.add(_alarm("escalated", kind="asystole"))
    heard: list[tuple[str, str]] = []
    async with RedisSink(redis_server.url, outbox=outbox) as sink:

        async def listen() -> None:
            async for alarm in sink.acknowledgements(since=0.0):
                heard.append((alarm.kind, alarm.by))  # noqa: PERF401 - it never ends, and is looked at while it runs

        listening = asyncio.create_task(listen())
        await _until(lambda: len(heard) == 1)
        await acknowledge(client, _alarm(kind="asystole").identity, "late")
        await _until(lambda: len(heard) == 2)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert heard == [("pause", "early"), ("asystole", "late")]


async def test_acknowledgements_among_many_strips_are_heard_over_a_line_that_breaks(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """What was told meanwhile is read bit by bit: a line that carries 4 MB at a time, of 7.5, is enough."""
    await client.sadd(TEAMS_KEY, "red")
    script = AlarmScript(client)
    await script.add(_alarm())
    strip = Strip(first_sample=0, rate_hz=360.0, microvolts=bytes(25_000), beats=[])
    large = msgspec.msgpack.encode(msgspec.structs.replace(_alarm(kind="asystole"), strip=strip))
    pipeline = client.pipeline(transaction=False)
    for _ in range(300):
        pipeline.xadd(alarms_key("red"), {"alarm": large})
    await pipeline.execute()
    await acknowledge(client, _alarm().identity, "early")

    async def first_heard(sink: RedisSink) -> str:
        async for alarm in sink.acknowledgements(since=0.0):
            return alarm.by
        return "nothing"

    async with (
        Address(redis_server.port, breaks_after=4_000_000) as address,
        RedisSink(address.url, outbox=outbox) as sink,
    ):
        assert await asyncio.wait_for(first_heard(sink), 15.0) == "early"


async def test_an_episode_known_under_another_sample_can_be_acknowledged(client: Any) -> None:
    """Acknowledging the resend's identity acknowledges the one alarm there is."""
    script = AlarmScript(client)
    await script.add(_alarm(episode=36_000))
    await script.add(_alarm(episode=36_300))
    done = await acknowledge(client, _alarm(episode=36_300).identity, "Dr Who")
    assert done.added
    assert done.alarm.episode == 36_000


async def test_following_survives_the_server(redis_server: GuardedServer, client: Any) -> None:
    """A follower misses nothing that the server kept over a restart, and tells nothing twice."""
    heard: list[str] = []

    async def listen() -> None:
        async for alarm in follow_alarms(own, since=0.0):
            heard.append(alarm.kind)  # noqa: PERF401 - it never ends, and is looked at while it runs

    own = open_redis(redis_server.url)
    await client.sadd(TEAMS_KEY, "red")
    listening = asyncio.create_task(listen())
    script = AlarmScript(client)
    await script.add(_alarm(kind="pause"))
    await _until(lambda: heard == ["pause"])
    redis_server.stop()
    await asyncio.sleep(0.2)
    redis_server.start()
    await client.connection_pool.disconnect()
    await script.add(_alarm(kind="asystole"))
    await _until(lambda: heard == ["pause", "asystole"])
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await own.aclose()


async def test_a_cancelled_reader_ends_whenever_it_is_cancelled(client: Any) -> None:
    """A task that asks the server for ever ends when told to, at whichever step, and leaves no reply behind."""

    async def ask_for_ever() -> None:
        while True:
            assert await client.echo("mine") == b"mine"

    for steps in range(60):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        _, still_asking = await asyncio.wait((asking,), timeout=2.0)
        for task in still_asking:
            task.cancel()
        assert not still_asking, f"cancelled after {steps} steps, it goes on"
        assert asking.cancelled()
        assert await client.echo("other") == b"other"


async def test_a_cancelled_task_may_still_write_its_farewell(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """A task that cleans up after its cancellation is not cancelled once more by the sink."""
    begun = asyncio.Event()

    async def work() -> None:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            try:
                begun.set()
                await asyncio.sleep(60)
            finally:
                await sink.write(_full_batch())

    working = asyncio.create_task(work())
    await begun.wait()
    working.cancel()
    await asyncio.wait((working,), timeout=5.0)
    assert working.cancelled()
    assert await _alarms_in(client) == [_alarm()]
    assert await client.xlen(beats_key("red", "anna")) == 3


@pytest.mark.parametrize(
    ("identity", "by", "error", "names"),
    [
        ("red.anna.1.pause.36001x", "Who", UsageError, "team.athlete.strap.boot.kind.episode"),
        ("red.anna", "Who", UsageError, "red.anna"),
        ("red.anna.1.pause.36000", " ", UsageError, "64"),
        ("red.anna.1.pause.46000", "Who", StrapwatchError, "red.anna.1.pause.36000"),
        ("red.bea.1.pause.36000", "Who", StrapwatchError, "did you mean red.anna.1.pause.36000"),
        ("blue.anna.1.pause.36000", "Who", StrapwatchError, "teams seen: red"),
    ],
)
async def test_what_cannot_be_acknowledged_is_refused_in_one_line(
    client: Any, identity: str, by: str, error: type[StrapwatchError], names: str
) -> None:
    """An unknown identity adds nothing and names what there is instead."""
    await client.sadd(TEAMS_KEY, "red")
    await AlarmScript(client).add(_alarm())
    with pytest.raises(error) as caught:
        await acknowledge(client, identity, by)
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(await _alarms_in(client)) == 1


async def test_acknowledging_without_a_server_is_a_server_error(
    redis_server: GuardedServer, client: Any
) -> None:
    """A server that is away is one line, no traceback of the client's."""
    redis_server.stop()
    with pytest.raises(ServerError, match=r"127\.0\.0\.1"):
        await acknowledge(client, _alarm().identity, "Who")


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://me:hunter2@x", "redis://", "redis://me:hunter2@x:port", "redis://x:0"]
)
def test_bad_redis_url_is_refused_without_repeating_the_password(url: str) -> None:
    """One line that shows the form wanted, and no secret."""
    with pytest.raises(SettingsError, match="redis://") as caught:
        open_redis(url)
    assert "hunter2" not in str(caught.value)


async def test_password_is_used_and_never_shown(
    redis_server: GuardedServer, client: Any, outbox: Outbox
) -> None:
    """A wrong password keeps trying without printing it; the right one connects."""
    await client.config_set("requirepass", "hunter2")
    url = f"redis://:hunter2@127.0.0.1:{redis_server.port}"
    with capture_logs() as logs:
        async with RedisSink(url.replace("hunter2", "hunter3"), outbox=outbox) as sink:
            assert not sink.connected
        async with RedisSink(url, outbox=outbox) as sink:
            await sink.write(_full_batch())
            assert await sink.drained(5.0)
    assert "hunter" not in str(logs)
