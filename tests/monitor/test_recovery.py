"""What survives the death of a monitor: every packet, every athlete's state, every alarm."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.contract import Alarm, RowState
from monitor.embedded import GuardedServer
from monitor.errors import SettingsError
from monitor.live_state import alarms_key, monitor_key
from monitor.recovery import rows, segments
from monitor.recovery.alarm_recording import recorded_segments, replayed
from monitor.recovery.folder import RecoveryFolder
from monitor.recovery.packets import PacketJournal
from monitor.recovery.resume import resume
from monitor.recovery.rows import RowStore, Snapshot
from monitor.sinks import decode_alarm, open_redis
from monitor.watch import Watch
from monitor.wire import WIRE_VERSION, StatusMessage, Topic, encode
from simulators.ledger import Ledger
from simulators.radio import Radio, RadioSettings, Stretch
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team

TOPIC = Topic("t", "a", "samples")
Arrived = tuple[float, Topic, bytes]


def team(athletes: int, seconds: float) -> list[Arrived]:
    """Return what the straps of a team publish, in order of time: leads come off, packets are lost."""
    found: list[Arrived] = []
    for k, record in enumerate(synthetic_team(athletes, seconds=seconds, seed=5)):
        strap = Strap(record=record, team="t", athlete=f"a{k}", strap=f"s{k}", boot=1)
        off = tuple(Stretch(float(at), float(at) + 3.0) for at in range(5 + 2 * k, int(seconds) - 4, 25))
        radio = Radio(
            RadioSettings(lead_off=off, loss=0.01), seed=k, team="t", athlete=f"a{k}", ledger=Ledger()
        )
        for transmission in radio.transmit(strap.packets(start_at=0.0)):
            packet = transmission.scheduled.packet
            found.append((transmission.at_s, Topic("t", f"a{k}", "samples"), encode(packet)))
    return sorted(found, key=lambda arrived: arrived[0])


def told(alarms: list[Alarm]) -> list[tuple[str, str]]:
    """Return who was told what, without what depends on the time of arrival."""
    return [(alarm.identity, alarm.transition) for alarm in alarms if alarm.kind != "strap_silent"]


def test_the_journal_gives_back_what_it_took(tmp_path: Path) -> None:
    """Packets come back in order, behind any position; a new journal goes on counting."""
    journal = PacketJournal(tmp_path)
    for k in range(5):
        assert journal.append(TOPIC, bytes([k]), float(k)) == k
    journal.close()
    journal = PacketJournal(tmp_path)
    assert journal.append(TOPIC, b"more", 5.0) == 5
    journal.close()
    found = list(PacketJournal(tmp_path).read(after=1))
    assert [(r.position, r.payload) for r in found] == [(2, b"\2"), (3, b"\3"), (4, b"\4"), (5, b"more")]
    assert found[0][1:5] == (2.0, "t", "a", "samples")


def test_a_journal_that_was_cut_short_ends_there(tmp_path: Path) -> None:
    """However many of the last bytes are missing or wrong: all packets before are read, and no other is made up."""
    journal = PacketJournal(tmp_path)
    for k in range(3):
        journal.append(TOPIC, bytes([k]) * 20, 0.0)
    journal.close()
    (segment,) = tmp_path.glob("packets-*")
    whole = segment.read_bytes()
    for missing in range(1, len(whole) // 3):
        segment.write_bytes(whole[:-missing])
        assert [r.position for r in PacketJournal(tmp_path).read()] == [0, 1]
    segment.write_bytes(whole[:-5] + b"\xff" + whole[-4:])
    assert [r.position for r in PacketJournal(tmp_path).read()] == [0, 1]


def test_a_journal_with_a_broken_character_goes_on_behind_it(tmp_path: Path) -> None:
    """A record whose text is no UTF-8 is said and left out, however sound its checksum."""
    journal = PacketJournal(tmp_path)
    journal.append(TOPIC, b"first", 0.0)
    broken = msgspec.msgpack.encode((1, 0.0, "team", "a", "samples", b"")).replace(b"team", b"te\xff\xfe")
    assert journal._records.append(broken)
    journal.append(TOPIC, b"last", 0.0)
    journal.close()
    with capture_logs() as logs:
        assert [r.payload for r in PacketJournal(tmp_path).read()] == [b"first", b"last"]
    assert {line["log_level"] for line in logs} == {"error"}


def test_a_journal_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest segments go: at once beyond the size, and once they are older than needed."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1_000)
    journal = PacketJournal(tmp_path, max_bytes=5_000)
    for _ in range(200):
        journal.append(TOPIC, b"x" * 100, 0.0)
    assert sum(path.stat().st_size for path in tmp_path.glob("packets-*")) <= 6_000
    assert [r.position for r in journal.read()][-1] == 199
    journal.close()
    journal = PacketJournal(tmp_path, kept_s=-1.0)
    for _ in range(30):
        journal.append(TOPIC, b"x" * 100, 0.0)
    assert len(list(tmp_path.glob("packets-*"))) <= 2
    journal.close()


def test_a_journal_without_a_disk_counts_and_goes_on(tmp_path: Path) -> None:
    """Where nothing can be written, packets are counted as unsaved and the monitor lives."""
    folder = tmp_path / "gone"
    folder.mkdir()
    journal = PacketJournal(folder)
    folder.rmdir()
    with capture_logs() as logs:
        journal.append(TOPIC, b"x", 0.0)
        journal.append(TOPIC, b"x", 0.0)
    assert journal.unsaved == 2
    assert ["cannot be written" in line["event"] for line in logs] == [True]


def test_snapshots_come_back_bit_for_bit(tmp_path: Path) -> None:
    """Every array has its values, type and shape; the newest of each athlete stands; old and foreign ones do not."""
    state: dict[str, RowState] = {
        "s": {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "n": np.array(np.nan), "e": np.empty((0, 2))}
    }
    store = RowStore(tmp_path / "rows.db")
    assert store.save([Snapshot("t", "a", 1, 100.0, {}), Snapshot("t", "old", 1, 1.0, state)])
    assert store.save([Snapshot("t", "a", 7, 101.0, state), Snapshot("t", "b", 8, 101.0, state)])
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.db")) as connection, connection:
        connection.execute("UPDATE rows SET version = 99 WHERE athlete = 'b'")
    store = RowStore(tmp_path / "rows.db")
    with capture_logs() as logs:
        (found,) = store.load(rows.KEPT_S + 50.0)
    assert (found.team, found.athlete, found.position, found.at) == ("t", "a", 7, 101.0)
    for name, array in state["s"].items():
        np.testing.assert_array_equal(found.state["s"][name], array)
        assert found.state["s"][name].dtype == array.dtype
    assert ["cannot be used" in line["event"] for line in logs] == [True]
    store.close()


def test_damaged_snapshots_are_set_aside(tmp_path: Path) -> None:
    """A file that is none lets athletes begin anew, and is kept for whoever wants to look."""
    path = tmp_path / "rows.db"
    path.write_bytes(b"no database at all" * 100)
    store = RowStore(path)
    assert store.load(0.0) == []
    assert path.with_name("rows.db.damaged").exists()
    store.close()


def test_two_monitors_cannot_share_a_folder(tmp_path: Path) -> None:
    """The second is told so in one line; the folder is free again when the first has ended."""
    with RecoveryFolder(tmp_path), pytest.raises(SettingsError, match="--id"):
        RecoveryFolder(tmp_path)
    RecoveryFolder(tmp_path).close()


@pytest.fixture(scope="module")
def arrived() -> list[Arrived]:
    """Return half a minute of two straps."""
    return team(2, 32.0)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_watch_that_dies_anywhere_goes_on_as_if_it_had_not(
    tmp_path_factory: pytest.TempPathFactory, arrived: list[Arrived], data: st.DataObject
) -> None:
    """Killed between any two packets, with snapshots from anywhere before, it tells what one that lived has told."""
    alive = Watch(classifier=None)
    expected = run(alive, arrived)
    folder = tmp_path_factory.mktemp("recovery")
    deaths = sorted(data.draw(st.lists(st.integers(0, len(arrived)), min_size=1, max_size=3)))
    alarms: list[Alarm] = []
    for begin, end in pairwise([0, *deaths, len(arrived)]):
        with RecoveryFolder(folder) as recovery:
            watch = Watch(classifier=None)
            alarms += resume(watch, recovery.rows, recovery.journal, arrived[begin - 1][0]).batch.alarms
            every = data.draw(st.integers(1, 60))
            for number in range(begin, end):
                now, topic, payload = arrived[number]
                position = recovery.journal.append(topic, payload, now)
                watch.receive(topic, payload, now)
                alarms += watch.tick(now).alarms
                if number % every == 0:
                    due = watch.export_due(now, 2.0).items()
                    recovery.rows.save([Snapshot(*key, position, now, state) for key, state in due])
    assert set(told(alarms)) == set(told(expected))
    for k in range(2):
        before, after = (w.export_athlete("t", f"a{k}") for w in (alive, watch))
        for stage in before:
            if stage not in ("watch", "assembly", "alarms"):
                for name in before[stage]:
                    np.testing.assert_array_equal(after[stage][name], before[stage][name])


def run(watch: Watch, arrived: list[Arrived]) -> list[Alarm]:
    """Let a watch take packets one by one, and return its alarms."""
    alarms = []
    for now, topic, payload in arrived:
        watch.receive(topic, payload, now)
        alarms += watch.tick(now).alarms
    return alarms


def test_the_recorded_life_of_alarms_replays(tmp_path: Path, arrived: list[Arrived]) -> None:
    """What the machine took, read from disk, brings the same transitions at the same times, strips aside."""
    with RecoveryFolder(tmp_path) as recovery:
        watch = Watch(classifier=None, settings_hash="h")
        watch.record_alarms(recovery.alarms)
        alarms = run(watch, arrived)
    assert len(alarms) > 3
    assert len(list(recorded_segments(tmp_path))) == 1
    plain = [msgspec.structs.replace(alarm, strip=None, evidence=None) for alarm in alarms]
    assert [msgspec.structs.replace(alarm, strip=None) for alarm in replayed(tmp_path)] == plain


def test_what_was_never_seen_is_said(tmp_path: Path, arrived: list[Arrived]) -> None:
    """Packets that nobody kept while the monitor was away are told of, athlete by athlete, in seconds."""
    mine = [a for a in arrived if a[1].athlete == "a0"]
    away_s = 5.0
    with RecoveryFolder(tmp_path) as recovery:
        watch = Watch(classifier=None)
        for now, topic, payload in mine[:80]:
            recovery.journal.append(topic, payload, now)
            watch.receive(topic, payload, now)
            watch.tick(now)
        recovery.rows.save([Snapshot("t", "a0", 10, 1.0, watch.export_athlete("t", "a0"))])
    died_at = mine[79][0]
    rest = [a for a in mine[80:] if a[0] > died_at + away_s]
    with RecoveryFolder(tmp_path) as recovery:
        watch = Watch(classifier=None)
        resumption = resume(watch, recovery.rows, recovery.journal, died_at + away_s)
        assert "1 athletes went on" in resumption.sentence()
        assert f"{away_s:.1f} s" in resumption.sentence()
        run(watch, rest)
        (entry,) = resumption.missed(watch, 100.0, by="m")
        missed_s = float(entry.detail.split()[0])
        assert away_s - 0.5 <= missed_s <= away_s + 0.8


# --- a real process, killed ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def monitoring(broker: str, redis: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a monitor until the end of the block, or its death."""
    script = Path(__file__).with_name("bare_monitor.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(script), broker, redis, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def publish(broker: GuardedServer, arrived: list[Arrived], *, gap_s: float) -> None:
    """Publish what straps send, far faster than they do, and their farewell."""
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for number, (_, topic, payload) in enumerate(arrived):
            await client.publish(f"ecg/t/{topic.athlete}/samples", payload, qos=1)
            if number % 8 == 0:
                await asyncio.sleep(gap_s)
        for athlete in sorted({topic.athlete for _, topic, _ in arrived}):
            farewell = StatusMessage(
                version=WIRE_VERSION, strap=f"s{athlete[1:]}", boot=1, online=False, ended=True
            )
            await client.publish(f"ecg/t/{athlete}/status", encode(farewell), qos=1)


async def until_online(client: Any) -> None:
    """Wait for the heartbeat of a monitor that hears its broker."""
    async with asyncio.timeout(60.0):
        while True:
            beat = await client.get(monitor_key("m1"))
            if beat is not None and b"\xb0broker_connected\xc3" in beat:
                return
            await asyncio.sleep(0.05)


async def test_sigkill_at_any_instant_loses_no_alarm(
    mosquitto: GuardedServer, redis_server: GuardedServer, tmp_path: Path
) -> None:
    """9: a monitor killed at random while packets pour in; each alarm stands in the Stream, and once.

    ``TEST_KILLS=20`` kills it oftener.
    """
    arrived = team(2, 60.0)
    expected = {pair for pair in told(run(Watch(classifier=None), arrived)) if pair[1] == "raised"}
    assert len(expected) > 3
    client: Any = open_redis(redis_server.url)
    publishing: asyncio.Task[None] | None = None
    chance = random.Random()
    for _ in range(int(os.environ.get("TEST_KILLS", "2"))):
        with monitoring(mosquitto.url, redis_server.url, tmp_path):
            await client.delete(monitor_key("m1"))
            await until_online(client)
            if publishing is None:
                publishing = asyncio.create_task(publish(mosquitto, arrived, gap_s=0.04))
            await asyncio.sleep(chance.uniform(0.0, 1.5))
    assert publishing is not None
    with monitoring(mosquitto.url, redis_server.url, tmp_path):
        await publishing
        found: list[tuple[str, str]] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30.0):
                while not expected <= set(found):
                    await asyncio.sleep(0.1)
                    entries = await client.xrange(alarms_key("t"))
                    alarms = [a for _, fields in entries if (a := decode_alarm(fields)) is not None]
                    found = told(alarms)
    await client.aclose()
    assert expected <= set(found)
    assert {pair for pair in found if pair[1] == "raised"} == expected
    assert len(set(found)) == len(found)
