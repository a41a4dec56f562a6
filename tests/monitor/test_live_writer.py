"""Of two monitors the one that becomes an athlete's writer tells what the other did not, whatever the server does."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from monitor.embedded import GuardedServer
from monitor.live_state import (
    ActiveAlarm,
    AthleteState,
    BeatEntry,
    athlete_key,
    beats_key,
    held_key,
)
from monitor.sinks import SinkBatch, open_redis
from monitor.sinks.live_writer import LiveWriter


def _beat(r_sample: int) -> BeatEntry:
    return BeatEntry(
        boot=1, r_sample=r_sample, known_sample=r_sample + 300, label="N", probabilities=(), quality=1.0,
        rr_s=None, due_at=0.0,
    )  # fmt: skip


def _batch(athletes: list[str], *r_samples: int) -> SinkBatch:
    states = [
        AthleteState(
            team="red", athlete=athlete, strap="s1", online=True, updated_at=1.0, last_packet_at=1.0, boot=1,
            last_sample=360, rate_hz=360.0, lead="I", source="", trained_on=False, rate_bpm=None, quality=1.0,
            quality_category="good", coverage=1.0, recent_labels=[], counts={}, packets_received=1, packets_lost=0,
            packets_duplicate=0, packets_refused=0, packets_late=0, packets_other=0, alarms=[],
        )
        for athlete in athletes
    ]  # fmt: skip
    return SinkBatch(
        beats=[("red", athlete, _beat(r)) for r in r_samples for athlete in athletes], states=states
    )


@pytest.fixture
async def client(redis_server: GuardedServer) -> AsyncIterator[Any]:
    """Return a client of the server."""
    client: Any = open_redis(redis_server.url)
    yield client
    await client.aclose()


async def _told(client: Any, athlete: str) -> list[int]:
    entries = await client.xrange(beats_key("red", athlete))
    return [msgspec.msgpack.decode(fields[b"beat"], type=BeatEntry).r_sample for _, fields in entries]


async def _second_of_two(client: Any, athletes: list[str]) -> LiveWriter:
    """Return a writer that has to keep back beats 2 and 3, of which the first has written number 2, and has gone."""
    first, second = LiveWriter(client, "first"), LiveWriter(client, "second")
    await first.write(_batch(athletes, 1))
    await second.write(_batch(athletes))
    await first.write(_batch(athletes, 2))
    assert await second.write(_batch(athletes, 2, 3)) == []
    assert not any(second.writes("red", athlete) for athlete in athletes)
    # By the server's clock it would take some seconds.
    await client.delete(*(athlete_key("red", athlete) for athlete in athletes))
    return second


async def test_the_next_writer_tells_what_the_first_did_not(client: Any) -> None:
    """Of more athletes than are told at once, each beat stands in the Stream once."""
    athletes = [f"a{n:02}" for n in range(40)]
    second = await _second_of_two(client, athletes)
    assert await second.write(_batch(athletes, 4)) == []
    for athlete in athletes:
        assert await _told(client, athlete) == [1, 2, 3, 4]
        assert second.writes("red", athlete)


async def test_a_server_that_goes_while_beats_are_told_gets_them_later(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch has arrived and is not written again; what was held back is told with the next state, once."""
    second = await _second_of_two(client, ["anna"])

    async def gone(*_athletes: Any) -> dict[tuple[str, str], BeatEntry]:
        raise RedisConnectionError("gone")

    with monkeypatch.context() as while_away:
        while_away.setattr(second, "last_beats", gone)
        assert await second.write(_batch(["anna"], 4)) == []
        assert await _told(client, "anna") == [1, 2]
    assert await second.write(_batch(["anna"], 5)) == []
    assert await _told(client, "anna") == [1, 2, 3, 4, 5]


async def test_a_batch_that_does_not_arrive_keeps_nothing_back(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes again whole: else its beats would be told twice, or push out those that wait longest."""
    second = await _second_of_two(client, ["anna"])
    unreachable: Any = open_redis("redis://127.0.0.1:1")
    with monkeypatch.context() as while_away:
        while_away.setattr(second, "_client", unreachable)
        for _ in range(100):
            with pytest.raises((RedisConnectionError, OSError)):
                await second.write(_batch(["anna"], 4))
    assert await second.write(_batch(["anna"], 4)) == []
    assert await _told(client, "anna") == [1, 2, 3, 4]


async def test_what_the_server_refuses_of_them_is_said(client: Any) -> None:
    """A Stream that is none costs its athlete the beats, which are counted, and nobody else anything."""
    second = await _second_of_two(client, ["anna", "ben"])
    await client.set(beats_key("red", "anna"), "no Stream")
    refused = await second.write(_batch(["anna", "ben"]))
    assert [name for name, _ in refused] == ["beats", "beats"]
    assert await _told(client, "ben") == [1, 2, 3]


async def test_a_beat_with_a_broken_character_is_said_and_left_out(client: Any) -> None:
    """Text that is no UTF-8 is damage like any other: the last beats of the others are found."""
    whole = msgspec.msgpack.encode(msgspec.structs.replace(_beat(1), label="unsure"))
    await client.xadd(beats_key("red", "anna"), {"beat": whole.replace(b"unsure", b"un\xff\xfere")})
    await client.xadd(beats_key("red", "ben"), {"beat": whole})
    with capture_logs() as logs:
        found = await LiveWriter(client, "first").last_beats([("red", "anna"), ("red", "ben")])
    assert list(found) == [("red", "ben")]
    assert [line["athlete"] for line in logs if "cannot be read" in line["event"]] == ["anna"]


async def test_what_is_seen_is_said_at_once_and_not_with_every_state(client: Any) -> None:
    """Another monitor reads it for ten seconds: said again too soon it costs a command; when it is back, at once."""
    writer, key = LiveWriter(client, "first"), held_key("red", "red.anna.s1.1.pause.360")
    seen = ActiveAlarm(
        identity="red.anna.s1.1.pause.360", kind="pause", priority="low", technical=False, message="", action="",
        raised_at=1.0,
    )  # fmt: skip

    async def said(*alarms: ActiveAlarm) -> bool:
        await client.delete(key)
        batch = _batch(["anna"])
        batch.states[0] = msgspec.structs.replace(batch.states[0], alarms=list(alarms))
        await writer.write(batch)
        return bool(await client.exists(key))

    assert await said(seen)
    assert not await said(seen)
    assert not await said(msgspec.structs.replace(seen, cleared=True))
    assert await said(seen)
    other = msgspec.structs.replace(seen, identity="red.anna.s1.1.pause.9000")
    assert not await said(seen, other)
