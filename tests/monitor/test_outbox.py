"""The outbox: what was put is there after a crash, in order; what cannot be written is counted and sent anyway."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.contract import Alarm
from monitor.embedded import GuardedServer
from monitor.live_state import alarms_key
from monitor.sinks import Outbox, RedisSink, SinkBatch, open_redis

_WRITER = """
import sys
from pathlib import Path
from monitor.contract import Alarm
from monitor.sinks import Outbox

outbox = Outbox(Path(sys.argv[1]))
for n in range(100_000):
    outbox.put([Alarm(team="red", athlete="anna", boot=1, kind="pause", episode=n, transition="raised",
        priority="high", technical=False, known_sample=n, rate_hz=360.0, at=0.0, onset_at=0.0, rate_bpm=None,
        quality=1.0, message="", action="")])
    print(n, flush=True)
"""


def _alarm(episode: int) -> Alarm:
    return Alarm(
        team="red",
        athlete="anna",
        boot=1,
        kind="pause",
        episode=episode,
        transition="raised",
        priority="high",
        technical=False,
        known_sample=episode,
        rate_hz=360.0,
        at=0.0,
        onset_at=0.0,
        rate_bpm=None,
        quality=1.0,
        message="",
        action="",
    )


def _episodes(outbox: Outbox) -> list[int]:
    return [alarm.episode for _, alarm in outbox.oldest(10_000)]


def test_alarms_survive_a_kill(tmp_path: Path) -> None:
    """After SIGKILL every alarm whose put had returned is there, in order, none twice."""
    path = tmp_path / "outbox.sqlite3"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(40)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
    returned = int([line for line in lines if line.endswith("\n")][-1])
    outbox = Outbox(path)
    assert outbox.counts.found == len(outbox)
    found = _episodes(outbox)
    assert found == list(range(len(found)))
    assert len(found) in (returned + 1, returned + 2)
    outbox.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.integers(1, 5), st.just("sent"), st.just("restart")), max_size=12),
    st.integers(1, 9),
)
def test_order_and_accounts_hold(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str], capacity: int
) -> None:
    """Whatever is put, sent or restarted: what waits is the newest, in order, and everything is accounted for."""
    path = tmp_path_factory.mktemp("outbox") / "o.sqlite3"
    outbox = Outbox(path, capacity=capacity)
    model: list[int] = []
    count = 0
    for step in steps:
        if step == "restart":
            outbox.close()
            outbox = Outbox(path, capacity=capacity)
            assert outbox.counts.found == len(model)
        elif step == "sent":
            oldest = outbox.oldest(2)
            outbox.sent([waiting for waiting, _ in oldest])
            assert [alarm.episode for _, alarm in oldest] == model[:2]
            model = model[2:]
        else:
            outbox.put([_alarm(count + n) for n in range(int(step))])
            model = [*model, *range(count, count + int(step))][-capacity:]
            count += int(step)
        assert _episodes(outbox) == model
    counts = outbox.counts
    assert counts.put + counts.found == counts.sent + counts.dropped + len(outbox)
    assert counts.disk_errors == 0
    outbox.close()


def _limit_size(path: Path, pages: int) -> Outbox:
    outbox = Outbox(path)
    assert outbox._connection is not None
    outbox._connection.execute(f"PRAGMA max_page_count={pages}")
    return outbox


def test_full_disk_is_counted_and_alarms_wait_in_memory(tmp_path: Path) -> None:
    """When the file cannot grow: an error counted and logged, the order kept, all of them still to be sent."""
    outbox = _limit_size(tmp_path / "o.sqlite3", 8)
    with capture_logs() as logs:
        for n in range(300):
            outbox.put([_alarm(n)])
    assert outbox.counts.unsaved > 0
    assert outbox.counts.disk_errors == outbox.counts.unsaved
    assert len(outbox) == 300
    assert _episodes(outbox) == list(range(300))
    assert any("full" in line["reason"] for line in logs)
    outbox.sent([waiting for waiting, _ in outbox.oldest(200)])
    assert _episodes(outbox) == list(range(200, 300))
    outbox.close()


def test_memory_is_bounded_too(tmp_path: Path) -> None:
    """Without a disk the oldest in memory are lost beyond the bound, and counted."""
    (tmp_path / "file").touch()
    outbox = Outbox(tmp_path / "file" / "o.sqlite3", memory_capacity=5)
    for n in range(8):
        outbox.put([_alarm(n)])
    assert not outbox.on_disk
    assert outbox.counts.dropped == 3
    assert _episodes(outbox) == [3, 4, 5, 6, 7]


async def test_without_a_disk_alarms_still_reach_the_server(
    redis_server: GuardedServer, tmp_path: Path
) -> None:
    """A path that cannot be written is an error in the log and a count; the alarm goes out directly."""
    (tmp_path / "file").touch()
    with capture_logs() as logs:
        outbox = Outbox(tmp_path / "file" / "o.sqlite3")
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            await sink.write(SinkBatch(alarms=[_alarm(1)]))
            assert await sink.drained(5.0)
            assert sink.alarms_added == 1
    assert outbox.counts.unsaved == 1
    assert outbox.counts.disk_errors >= 1
    assert any(line["log_level"] == "error" and "outbox cannot be opened" in line["event"] for line in logs)


async def test_what_a_former_run_left_goes_out_first(redis_server: GuardedServer, tmp_path: Path) -> None:
    """A restart sends what waited before anything new."""
    path = tmp_path / "o.sqlite3"
    former = Outbox(path)
    former.put([_alarm(n * 10_000) for n in range(200)])
    former.close()
    outbox = Outbox(path)
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        await sink.write(SinkBatch(alarms=[_alarm(200 * 10_000)]))
        assert await sink.drained(10.0)
    outbox.close()
    client = open_redis(redis_server.url)
    entries = await client.xrange(alarms_key("red"))
    await client.aclose()
    assert entries is not None
    identities = [fields[b"identity"] for _, fields in entries if fields]
    assert identities == [_alarm(n * 10_000).identity.encode() for n in range(201)]
    with closing(Outbox(path)) as after:
        assert len(after) == 0


def test_read_only_file_is_counted(tmp_path: Path) -> None:
    """A file that may only be read: an error counted, the alarms wait in memory after those on disk."""
    path = tmp_path / "o.sqlite3"
    outbox = Outbox(path)
    outbox.put([_alarm(1)])
    assert outbox._connection is not None
    outbox._connection.execute("PRAGMA query_only=ON")
    outbox.put([_alarm(2)])
    assert outbox.counts.unsaved == 1
    assert outbox.counts.disk_errors == 1
    assert _episodes(outbox) == [1, 2]
    outbox._connection.execute("PRAGMA query_only=OFF")
    outbox.put([_alarm(3)])
    assert outbox.counts.unsaved == 1
    assert _episodes(outbox) == [1, 2, 3]
    outbox.close()


def test_what_makes_room_on_its_way_is_sent_all_the_same(tmp_path: Path) -> None:
    """An alarm dropped between `oldest` and `sent` counts once: as sent where the server took it, else as dropped."""
    outbox = Outbox(tmp_path / "o.sqlite3", capacity=3)
    outbox.put([_alarm(n) for n in range(3)])
    under_way = outbox.oldest(3)
    outbox.put([_alarm(3), _alarm(4)])
    assert outbox.counts.dropped == 2
    outbox.sent([waiting for waiting, _ in under_way if waiting is not under_way[1][0]])
    counts = outbox.counts
    assert (counts.put, counts.sent, counts.dropped) == (5, 2, 1)
    assert _episodes(outbox) == [3, 4]
    outbox.close()
    with closing(Outbox(tmp_path / "o.sqlite3")) as after:
        assert _episodes(after) == [3, 4]


def test_a_row_with_a_broken_character_is_left_out_too(tmp_path: Path) -> None:
    """Text that is no UTF-8 is damage like any other, not the end of the sink at every start."""
    path = tmp_path / "o.sqlite3"
    outbox = Outbox(path)
    outbox.put([_alarm(1), _alarm(2)])
    with sqlite3.connect(path) as other:
        (whole,) = other.execute("SELECT alarm FROM alarms WHERE id = 1").fetchone()
        other.execute("UPDATE alarms SET alarm = ? WHERE id = 1", (whole.replace(b"anna", b"an\xff\xfe"),))
    other.close()
    assert _episodes(outbox) == [2]
    assert outbox.counts.unreadable == 1
    outbox.close()


async def test_an_outbox_that_overflows_while_it_is_sent_ends_nothing(
    redis_server: GuardedServer, tmp_path: Path
) -> None:
    """With a server that is slow to take what waits, and more to come: writing goes on, and every alarm is counted."""
    outbox = Outbox(tmp_path / "o.sqlite3", capacity=4)
    outbox.put([_alarm(10_000 * n) for n in range(4)])
    client: Any = open_redis(redis_server.url)
    # Reads only are answered meanwhile, so the alarms are under way when others need their room.
    await client.execute_command("CLIENT", "PAUSE", 600, "WRITE")
    async with RedisSink(redis_server.url, outbox=outbox) as sink:
        await asyncio.sleep(0.1)
        await sink.write(SinkBatch(alarms=[_alarm(10_000 * n) for n in range(4, 6)]))
        assert await sink.drained(10.0)
        await sink.write(SinkBatch(alarms=[_alarm(60_000)]))
        assert await sink.drained(10.0)
        added = sink.alarms_added
    await client.aclose()
    counts = outbox.counts
    assert counts.sent == added
    assert (counts.put, counts.sent + counts.dropped) == (7, 7)
    outbox.close()


def test_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """A file that is no database is kept under another name, said loudly, and a new one begins."""
    path = tmp_path / "o.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    with capture_logs() as logs:
        outbox = Outbox(path)
    assert outbox.on_disk
    assert outbox.counts.disk_errors == 1
    assert [p.read_bytes()[:7] for p in tmp_path.glob("o.sqlite3.damaged-*")] == [b"this is"]
    assert logs[0]["log_level"] == "error"
    outbox.put([_alarm(1)])
    outbox.close()
    with closing(Outbox(path)) as after:
        assert _episodes(after) == [1]


def test_damaged_row_is_left_out_and_counted(tmp_path: Path) -> None:
    """A row that is no alarm does not hold up the ones behind it."""
    path = tmp_path / "o.sqlite3"
    outbox = Outbox(path)
    outbox.put([_alarm(1), _alarm(2), _alarm(3)])
    with sqlite3.connect(path) as other:
        other.execute("UPDATE alarms SET alarm = x'ff00' WHERE id = 2")
    other.close()
    assert _episodes(outbox) == [1, 3]
    assert outbox.counts.unreadable == 1
    assert len(outbox) == 2
    outbox.close()
