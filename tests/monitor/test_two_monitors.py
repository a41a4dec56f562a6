"""Two monitors over the same straps: whoever began when, there is one alarm, and one acknowledgement for both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.contract import Alarm, RhythmKind
from monitor.embedded import GuardedServer
from monitor.live_state import AthleteState, BeatEntry, athlete_key, beats_key, held_key
from monitor.sinks import AlarmScript, Outbox, RedisSink, acknowledge, known_alarms, open_redis
from monitor.sinks.live_writer import WRITER_S
from monitor.watch import Watch
from monitor.wire import Topic, encode
from simulators.ledger import Ledger
from simulators.radio import Radio, RadioSettings, Stretch
from simulators.strap import Strap
from simulators.synthetic import SyntheticAthlete, synthesize

SECONDS = 60.0


@pytest.fixture(scope="module")
def unworn() -> list[bytes]:
    """Return the packets of a strap that is worn loosely for most of a minute."""
    record = synthesize(SyntheticAthlete(), seconds=SECONDS, rate_hz=250.0, seed=1)
    strap = Strap(record=record, team="t", athlete="a", strap="s", boot=1)
    radio = Radio(
        RadioSettings(lead_off=(Stretch(8.0, 52.0),)), seed=1, team="t", athlete="a", ledger=Ledger()
    )
    return [encode(sent.scheduled.packet) for sent in radio.transmit(strap.packets(start_at=0.0))]


@pytest.fixture
async def client(redis_server: GuardedServer) -> AsyncIterator[Any]:
    """Return a client of the server."""
    client: Any = open_redis(redis_server.url)
    yield client
    await client.aclose()


@contextlib.asynccontextmanager
async def sinks(server: GuardedServer, folder: Path, count: int) -> AsyncIterator[list[RedisSink]]:
    """Return the sinks of some monitors, each with an outbox of its own."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for number in range(count):
            outbox = stack.enter_context(contextlib.closing(Outbox(folder / f"{number}.db")))
            made.append(await stack.enter_async_context(RedisSink(server.url, outbox=outbox)))
        yield made


def told_of(kind: RhythmKind) -> Alarm:
    """Return the raise of an alarm."""
    return Alarm(
        team="t", athlete="a", strap="s1", boot=1, kind=kind, episode=1000, transition="raised",
        priority="medium", technical=False, known_sample=2000, rate_hz=250.0, at=1.0, onset_at=1.0, rate_bpm=None,
        quality=1.0, message="", action="",
    )  # fmt: skip


def raised(alarms: list[Alarm]) -> list[Alarm]:
    """Return the raises among them."""
    return [alarm for alarm in alarms if alarm.transition == "raised"]


@pytest.mark.parametrize("later_s", [0.0, 20.0])
async def test_monitors_that_began_at_different_times_tell_one_alarm(
    redis_server: GuardedServer, client: Any, tmp_path: Path, unworn: list[bytes], later_s: float
) -> None:
    """A lead that was off before the second monitor began is one alarm, whose acknowledgement both take."""
    watches = [Watch(classifier=None) for _ in range(2)]
    told: list[list[Alarm]] = [[], []]
    topic = Topic("t", "a", "samples")
    async with sinks(redis_server, tmp_path, 2) as both:
        for number, payload in enumerate(unworn):
            now = number / 4.0
            for which, (watch, sink) in enumerate(zip(watches, both, strict=True)):
                if which == 1 and now < later_s:
                    continue
                watch.receive(topic, payload, now)
                batch = watch.tick(now)
                told[which] += batch.alarms
                await sink.write(batch)
                assert await sink.drained(5.0)
        assert [len(raised(alarms)) for alarms in told] == [1, 1]
        if later_s:
            assert raised(told[0])[0].identity != raised(told[1])[0].identity
        stream = await known_alarms(client, "t")
        (one,) = raised(stream)
        await acknowledge(client, one.identity, "Dr. Who")
        acknowledged = (await known_alarms(client, "t"))[0]
        for watch in watches:
            watch.acknowledge(acknowledged, SECONDS)
            (state,) = watch.tick(SECONDS).states
            assert [alarm.acknowledged_by for alarm in state.alarms] == ["Dr. Who"]


@pytest.fixture(scope="module")
def worn() -> list[bytes]:
    """Return the packets of a strap that is worn well for a minute, four a second."""
    record = synthesize(SyntheticAthlete(), seconds=SECONDS, rate_hz=250.0, seed=1)
    strap = Strap(record=record, team="t", athlete="a", strap="s", boot=1)
    return [encode(scheduled.packet) for scheduled in strap.packets(start_at=0.0)]


async def beats_told(client: Any) -> list[int]:
    """Return the R peaks in the athlete's Stream, in order."""
    entries = await client.xrange(beats_key("t", "a"))
    return [msgspec.msgpack.decode(fields[b"beat"], type=BeatEntry).r_sample for _, fields in entries]


async def beats_counted(client: Any) -> int:
    """Return how many beats the athlete has by the state that stands."""
    state = msgspec.msgpack.decode(await client.hget(athlete_key("t", "a"), "state"), type=AthleteState)
    return sum(state.counts.values())


async def test_of_two_monitors_one_writes_how_an_athlete_is(
    redis_server: GuardedServer, client: Any, tmp_path: Path, worn: list[bytes]
) -> None:
    """Counts never go to and fro, each beat is told once; where the writer stops the other goes on without a gap."""
    watches = [Watch(classifier=None) for _ in range(2)]
    topic = Topic("t", "a", "samples")
    counted = []
    async with sinks(redis_server, tmp_path, 2) as (first, second):
        for number, payload in enumerate(worn):
            now = number / 4.0
            for watch, sink, begin, end in ((watches[0], first, 0, 160), (watches[1], second, 100, 240)):
                if begin <= number < end:
                    watch.receive(topic, payload, now)
                    await sink.write(watch.tick(now))
            counted.append(await beats_counted(client))
            if number == 180:
                # The first is gone: by the server's clock it stays the writer a little longer.
                before = len(await beats_told(client))
                await asyncio.sleep(WRITER_S + 0.2)
        told = await beats_told(client)
        assert counted[:160] == sorted(counted[:160])
        assert counted[170] == counted[159]
        assert counted[-1] < counted[159]
        assert len(told) > before + 15
        assert told == sorted(set(told))
        rr = np.diff(told) / 250.0
        assert rr.max() < 1.3


async def test_a_monitor_that_hears_the_strap_becomes_the_writer_at_once(
    redis_server: GuardedServer, client: Any, tmp_path: Path, worn: list[bytes]
) -> None:
    """One whose broker is away goes on saying that the strap is silent; the one that hears it says how it is."""
    watches = [Watch(classifier=None) for _ in range(2)]
    topic = Topic("t", "a", "samples")
    async with sinks(redis_server, tmp_path, 2) as both:
        for number, payload in enumerate(worn[:120]):
            now = number / 4.0
            for which, (watch, sink) in enumerate(zip(watches, both, strict=True)):
                if which == 1 or number < 60:
                    watch.receive(topic, payload, now)
                await sink.write(watch.tick(now))
        raw = await client.hget(athlete_key("t", "a"), "state")
        state = msgspec.msgpack.decode(raw, type=AthleteState)
        # It is told once a second; the last packet came at 29.75 s.
        assert state.last_packet_at >= 28.75
        assert not state.alarms
        told = await beats_told(client)
        assert told == sorted(set(told))
        assert (np.diff(told) / 250.0).max() < 1.3


async def test_a_server_that_has_forgotten_the_script_is_given_it_again(
    redis_server: GuardedServer, client: Any, tmp_path: Path, worn: list[bytes]
) -> None:
    """No state is lost over it."""
    watch = Watch(classifier=None)
    async with sinks(redis_server, tmp_path, 1) as (sink,):
        for number, payload in enumerate(worn[:40]):
            await client.script_flush()
            watch.receive(Topic("t", "a", "samples"), payload, number / 4.0)
            batch = watch.tick(number / 4.0)
            await sink.write(batch)
            if batch.states:
                raw = await client.hget(athlete_key("t", "a"), "state")
                assert msgspec.msgpack.decode(raw, type=AthleteState) == batch.states[-1]
        assert not sink.dropped


async def test_an_alarm_that_no_monitor_sees_any_more_hides_nothing(client: Any) -> None:
    """The monitor that raised an alarm is gone and never cleared it: the next condition of that kind is told."""
    script = AlarmScript(client)
    alarm = told_of("tachycardia")
    later = msgspec.structs.replace(alarm, episode=100_000, known_sample=101_000)
    assert (await script.add(alarm)).added
    await client.set(held_key("t", alarm.identity), b"", ex=10)
    assert not (await script.add(later)).added
    await client.delete(held_key("t", alarm.identity))
    much_later = msgspec.structs.replace(alarm, episode=200_000, known_sample=201_000)
    assert (await script.add(much_later)).added


async def test_a_raise_from_within_an_alarm_that_is_over_adds_nothing(client: Any) -> None:
    """Packets looked at again after a crash bring what was told and cleared; what became known later is another one."""
    script = AlarmScript(client)
    alarm = told_of("bigeminy")
    await script.add(alarm)
    await script.add(msgspec.structs.replace(alarm, transition="cleared", known_sample=9000))
    assert not (await script.add(msgspec.structs.replace(alarm, episode=5000, known_sample=8000))).added
    assert (await script.add(msgspec.structs.replace(alarm, episode=8500, known_sample=9001))).added


async def test_who_acknowledged_before_a_monitor_began_has_answered_for_it_too(client: Any) -> None:
    """A monitor that does not know that somebody has acknowledged makes nothing unanswered of it, by any name."""
    script = AlarmScript(client)
    alarm = told_of("tachycardia")
    await script.add(alarm)
    await acknowledge(client, alarm.identity, "Dr. Who")
    later = msgspec.structs.replace(alarm, episode=1100, known_sample=2100)
    known = await script.add(later)
    assert known.outcome == "known"
    assert known.acknowledged is not None
    assert (known.acknowledged.by, known.acknowledged.identity) == ("Dr. Who", alarm.identity)
    unanswered = msgspec.structs.replace(later, transition="unanswered")
    assert (await script.add(unanswered)).outcome == "known"
    # What has become more urgent since nobody has seen.
    await script.add(msgspec.structs.replace(alarm, transition="escalated", priority="high"))
    assert (await script.add(later)).acknowledged is None
    assert (await script.add(unanswered)).added
    await acknowledge(client, alarm.identity, "Dr. No")
    acknowledged = (await script.add(later)).acknowledged
    assert acknowledged is not None
    assert acknowledged.by == "Dr. No"


async def test_a_monitor_without_a_past_hears_who_acknowledged_what_it_raises(
    redis_server: GuardedServer, client: Any, tmp_path: Path, unworn: list[bytes]
) -> None:
    """It began after the acknowledgement, and shows the alarm as acknowledged all the same."""
    first, second = Watch(classifier=None), Watch(classifier=None)
    topic = Topic("t", "a", "samples")
    async with sinks(redis_server, tmp_path, 2) as (one, other):
        for number, payload in enumerate(unworn[:120]):
            first.receive(topic, payload, number / 4.0)
            await one.write(first.tick(number / 4.0))
        assert await one.drained(5.0)
        (alarm,) = raised(await known_alarms(client, "t"))
        await acknowledge(client, alarm.identity, "Dr. Who")
        hearing = asyncio.ensure_future(anext(aiter(other.acknowledgements())))
        for number, payload in enumerate(unworn[120:], 120):
            second.receive(topic, payload, number / 4.0)
            first.receive(topic, payload, number / 4.0)
            await one.write(first.tick(number / 4.0))
            await other.write(second.tick(number / 4.0))
        async with asyncio.timeout(20.0):
            second.acknowledge(await hearing, 50.0)
        (state,) = second.tick(50.0).states
        assert [known.acknowledged_by for known in state.alarms] == ["Dr. Who"]


async def test_two_straps_with_the_same_boot_and_onset_are_two_alarms(client: Any) -> None:
    """A strap that replaces another and counts alike cannot hide behind the other's alarm."""
    script = AlarmScript(client)
    alarm = told_of("asystole")
    assert (await script.add(alarm)).added
    assert (await script.add(msgspec.structs.replace(alarm, strap="s2"))).added
