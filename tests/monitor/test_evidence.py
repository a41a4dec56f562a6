"""Evidence of alarms: the strip, what was known of the athlete, and that the alarm can be raised again from it."""

import asyncio
import errno
import random
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from redis.exceptions import RedisError

from monitor.contract import Alarm, Strip
from monitor.embedded import GuardedServer
from monitor.errors import StrapwatchError
from monitor.evidence import STRIP_BEFORE_S, STRIP_MOST_SAMPLES
from monitor.evidence_log import MOST_BYTES, PART, EvidenceLog, KeptEvidence, PackedEvidence, unpacked
from monitor.evidence_replay import replay
from monitor.evidence_strip import around_onset, known_lines, paper_strip, printed_strip, terminal_rows
from monitor.live_state import TEAMS_KEY
from monitor.row_encoding import encode_state
from monitor.scratch_file import Scratched, ScratchFile
from monitor.sinks import (
    Outbox,
    RedisSink,
    SinkBatch,
    evidence_key,
    open_redis,
    store_evidence,
    stored_evidence,
)
from monitor.sinks import evidence as evidence_sink
from monitor.sinks.evidence_shelf import EvidenceShelf
from monitor.watch import Watch
from monitor.wire import SamplePacket, Topic, encode
from tests.monitor.processes import environment, run

ME = Topic("red", "anna", "samples")
PACKET_S = 0.25
PAUSES_S = ((12.0, 14.5), (75.0, 77.6))
SECONDS = 90.0


def sent(begin_s: float, length_s: float, rate_hz: float, sequence: int) -> bytes:
    """Return a packet of a strap with a spike every 300 samples, except in the pauses."""
    first, length = round(begin_s * rate_hz), round(length_s * rate_hz)
    at = np.arange(first, first + length)
    samples = np.where(at % round(rate_hz / 1.2) == 0, 1000, 0)
    for begin, end in PAUSES_S:
        samples[(at > begin * rate_hz) & (at < end * rate_hz)] = 0
    packet = SamplePacket(
        version=1, strap="s", boot=1, sequence=sequence, first_sample=first, rate_hz=rate_hz,
        microvolts_per_count=1.0, lead="", lead_off=False, sent_at=1e9 + begin_s + length_s,
        samples=samples.astype("<i2").tobytes(),
    )  # fmt: skip
    return encode(packet)


def watched(rate_hz: float = 360.0, packet_s: float = PACKET_S, lost: Sequence[int] = ()) -> SinkBatch:
    """Return what a watch tells of a strap; packets in `lost` come three packets late."""
    watch = Watch(classifier=None, settings_hash="h")
    told = SinkBatch()
    numbers = [k for k in range(round(SECONDS / packet_s)) if k not in lost]
    for late in lost:
        numbers.insert(numbers.index(late + 3), late)
    for place, number in enumerate(numbers):
        now = 1e9 + place * packet_s
        watch.receive(ME, sent(number * packet_s, packet_s, rate_hz, number), now)
        batch = watch.tick(now)
        told.alarms += batch.alarms
        told.evidence += batch.evidence
    return told


@pytest.fixture(scope="module")
def told() -> SinkBatch:
    """Return alarms and evidence of a minute and a half with two pauses, some packets out of order."""
    return watched(lost=(8, 290, 298, 311))


def pauses(told: SinkBatch, transition: str) -> list[Alarm]:
    """Return the alarms of pauses."""
    return [alarm for alarm in told.alarms if (alarm.kind, alarm.transition) == ("pause", transition)]


def test_the_strip_is_there_at_once_and_completed_under_the_same_identity(told: SinkBatch) -> None:
    """It goes 30 s back from when the alarm was known, then 5 s further; it begins at the same sample."""
    raised, completed = pauses(told, "raised"), pauses(told, "completed")
    assert [alarm.identity for alarm in raised] == [alarm.identity for alarm in completed]
    first, last = raised[1].strip, completed[1].strip
    assert first is not None
    assert last is not None
    assert len(first.microvolts) == 2 * round(STRIP_BEFORE_S * 360.0)
    assert first.first_sample == last.first_sample
    assert last.microvolts.startswith(first.microvolts)
    assert len(last.microvolts) - len(first.microvolts) == 2 * 5 * 360
    assert {r for r, _, _ in first.beats} <= {r for r, _, _ in last.beats}
    shown = np.frombuffer(first.microvolts, "<i2")
    peaks = [int(np.abs(shown[max(r - first.first_sample - 20, 0) :][:40]).max()) for r, _, _ in first.beats]
    assert min(peaks) > 200


def test_a_strip_does_not_depend_on_how_samples_came(told: SinkBatch) -> None:
    """Packets of another length give the same strips with the same beats."""
    other = watched(packet_s=1.5)
    for transition in ("raised", "completed"):
        assert [a.strip for a in pauses(other, transition)] == [a.strip for a in pauses(told, transition)]


def test_a_strip_is_bounded_at_every_rate() -> None:
    """At 1,000 Hz it holds no more samples than elsewhere."""
    strips = [alarm.strip for alarm in watched(rate_hz=1000.0).alarms if alarm.strip is not None]
    assert strips
    assert max(len(strip.microvolts) for strip in strips) == 2 * STRIP_MOST_SAMPLES


def test_what_happened_before_is_told(told: SinkBatch) -> None:
    """The second pause knows of the first and when it began; both know the phase and the athlete's usual beat."""
    first, second = (alarm.evidence for alarm in pauses(told, "raised"))
    assert first is not None
    assert second is not None
    assert (first.times_before, first.last_before_at) == (0, 0.0)
    assert (second.times_before, second.last_before_at) == (1, pauses(told, "raised")[0].onset_at)
    later = pauses(told, "completed")[1].evidence
    assert later is not None
    assert (later.times_before, later.last_before_at) == (second.times_before, second.last_before_at)
    assert (second.phase, len(second.usual_microvolts)) == ("rest", 1200)
    assert "once before in this session" in known_lines(pauses(told, "raised")[1])[0]


def test_an_alarm_is_raised_again(told: SinkBatch) -> None:
    """From the first packet on or from a stored state, out of order or not: the identical alarm."""
    assert {found.before.state() is None for found in told.evidence} == {True, False}
    for found in told.evidence:
        replayed = replay(unpacked(found.packed().content), None)
        assert replayed.differences == ()
        assert replayed.alarm is not None
        assert replayed.alarm.strip is not None
        assert found.alarm.strip is not None
        assert found.alarm.strip.microvolts.endswith(replayed.alarm.strip.microvolts)


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_was_packed_is_the_same(told: SinkBatch, tmp_path: Path, *, on_disk: bool) -> None:
    """Whether state and packets were packed meanwhile, to disk or not, makes no difference to what is raised again."""
    found = next(found for found in told.evidence if found.before.state() is not None)
    state, taken = found.before.state() or {}, found.before.taken()
    assert len(taken) > 2
    scratch = ScratchFile(tmp_path) if on_disk else None
    log = EvidenceLog()
    log.keep(state, boot=1, end_sample=0, now=0.0)
    for packet in taken[:-1]:
        log.take(*packet)
    for kept in log.keep(state, boot=1, end_sample=found.alarm.episode + 1, now=1.0):
        kept.pack(scratch)
        kept.pack(scratch)
    log.take(*taken[-1])
    before = log.before(msgspec.structs.replace(found.alarm, boot=1))
    assert before is not None
    assert encode_state(before.state() or {}) == encode_state(state)
    assert before.taken() == taken
    assert scratch is None or scratch.size > 0
    if scratch is not None:
        scratch.close()


def test_a_scratch_file_gives_back_what_was_put_and_uses_places_again(tmp_path: Path) -> None:
    """Whatever is put comes back; what nobody holds makes room, so that it grows no further; nothing has a name."""
    scratch, chance = ScratchFile(tmp_path), random.Random(4)
    held: list[tuple[Scratched, bytes]] = []
    for _ in range(2_000):
        content = chance.randbytes(chance.choice((1, 5_000, 20_000)))
        place = scratch.put(content)
        assert place is not None
        held = [*held, (place, content)][-20:]
        del place
    assert all(place.read() == content for place, content in held)
    assert scratch.size <= 22 * (4_096 + 8_192 + 32_768)
    assert not list(tmp_path.iterdir())
    scratch.close()


def test_a_scratch_file_without_room_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk, or beyond its bound, what is packed stays in memory, and is the same."""

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    scratch, log = ScratchFile(tmp_path), EvidenceLog()
    with monkeypatch.context() as patched:
        patched.setattr("monitor.scratch_file.os.pwrite", refuse)
        assert scratch.put(b"x") is None
        log.take(1.0, b"packet")
        for kept in log.keep({}, boot=1, end_sample=5, now=1.0):
            kept.pack(scratch)
    before = log.before(msgspec.structs.replace(pauses(watched(), "raised")[0], boot=1, episode=0))
    assert before is not None
    assert (before.state(), before.taken()) == (None, ((1.0, b"packet"),))
    monkeypatch.setattr("monitor.scratch_file.MOST_BYTES", 3 * 4096)
    places = [scratch.put(b"x") for _ in range(4)]
    assert [place is None for place in places] == [False, False, False, True]
    scratch.close()


def test_another_alarm_is_told_from_it(told: SinkBatch) -> None:
    """A packet that was changed, a sentence or a beat: each difference is named."""
    stored = unpacked(told.evidence[-1].packed().content)
    changed = msgspec.structs.replace(stored, alarm=msgspec.structs.replace(stored.alarm, message="Nothing."))
    assert "message was 'Nothing.'" in replay(changed, None).differences[0]
    early = msgspec.structs.replace(stored, taken=stored.taken[:10])
    (difference,) = replay(early, None).differences
    assert difference == "it was not raised; raised were: none"
    strip = stored.alarm.strip
    assert strip is not None
    fewer = msgspec.structs.replace(strip, beats=strip.beats[:-1])
    alarm = msgspec.structs.replace(stored.alarm, strip=fewer)
    assert replay(msgspec.structs.replace(stored, alarm=alarm), None).differences[0].startswith("beats were")


def test_evidence_of_another_model_or_version_is_refused(told: SinkBatch) -> None:
    """No comparison is made with other weights, another layout of states, or damaged bytes."""
    stored = unpacked(told.evidence[-1].packed().content)
    other = msgspec.structs.replace(stored, alarm=msgspec.structs.replace(stored.alarm, model="grunet 9"))
    with pytest.raises(StrapwatchError, match="grunet 9"):
        replay(other, None)
    with pytest.raises(StrapwatchError, match="this version"):
        replay(msgspec.structs.replace(stored, state=b"\x81\xa1a\x80"), None)
    with pytest.raises(ValueError, match="damaged"):
        unpacked(told.evidence[-1].packed().content[:100])


def test_a_log_is_bounded() -> None:
    """However much a strap sends: packets behind the older state go, and too many of them end it until the next."""
    log = EvidenceLog()
    for k in range(10):
        for _ in range(5):
            log.take(float(k), bytes(1000))
        log.keep({}, boot=1, end_sample=k, now=float(k))
    alarm = pauses(watched(), "raised")[0]
    found = log.before(msgspec.structs.replace(alarm, episode=8))
    assert found is not None
    assert len(found.taken()) == 5
    log.take(11.0, bytes(MOST_BYTES))
    assert log.before(alarm) is None


@pytest.mark.parametrize("packets", [1, PART - 1, PART, PART + 1, 3 * PART + 7])
def test_few_packets_stay_in_memory(packets: int, tmp_path: Path) -> None:
    """A part that is full is put away at once, and all come back in order, wherever they lie."""
    log = EvidenceLog()
    handed_out = [log.take(0.5 * k, str(k).encode()) for k in range(packets)]
    assert sum(each is not None for each in handed_out) == packets // PART
    with closing(ScratchFile(tmp_path)) as scratch:
        for stretch in handed_out:
            if stretch is not None:
                stretch.pack(scratch)
        found = log.before(pauses(watched(), "raised")[0])
        assert found is not None
        assert found.taken() == tuple((0.5 * k, str(k).encode()) for k in range(packets))
        assert scratch.size == 4096 * (packets // PART)
    log.keep({}, boot=1, end_sample=1, now=0.5 * packets)
    log.keep({}, boot=1, end_sample=2, now=0.5 * packets + 1.0)
    assert not log.due(0.5 * packets + 100.0)


def test_the_inbox_shows_the_seconds_around_the_onset(told: SinkBatch) -> None:
    """Ten seconds that can be read, the onset in them; the whole strip goes on in rows."""
    alarm = pauses(told, "completed")[1]
    assert alarm.strip is not None
    shown = around_onset(alarm, alarm.strip)
    assert len(shown.microvolts) == 2 * 10 * 360
    assert shown.first_sample < alarm.episode < shown.first_sample + 10 * 360
    lines = terminal_rows(alarm, alarm.strip, 100)
    assert sum("|" in line and " s" in line for line in lines) >= 4
    assert max(map(len, lines)) <= 200


@pytest.mark.parametrize(("up_uv", "down_uv", "found"), [(1000, 0, 515), (0, -1000, 493), (800, -1000, 515)])
def test_a_mark_stands_on_the_peak_that_the_eye_sees(
    told: SinkBatch, up_uv: int, down_uv: int, found: int
) -> None:
    """A beat that the detector puts on its slope is marked where it is highest, or lowest if it goes down far more."""
    signal = np.zeros(1000, "<i2")
    signal[515], signal[493] = up_uv, down_uv
    signal[530] = 3000
    strip = Strip(
        first_sample=7000,
        rate_hz=250.0,
        microvolts=signal.tobytes(),
        beats=[(7500, "V", 0.9), (9000, "N", 0.9)],
    )
    near, outside = paper_strip(pauses(told, "raised")[0], strip).beats
    assert (near.sample, near.text, outside.sample) == (7000 + found, "V", 9000)


@pytest.fixture
async def stored(told: SinkBatch, redis_server: GuardedServer, tmp_path: Path) -> str:
    """Return the address of a server to which a sink has written the alarms and their evidence."""
    with closing(Outbox(tmp_path / "outbox.sqlite3")) as outbox:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            await sink.write(SinkBatch(alarms=told.alarms, evidence=told.evidence))
            assert await sink.drained(10.0)
    client: Any = open_redis(redis_server.url)
    await client.sadd(TEAMS_KEY, "red")
    await client.aclose()
    return redis_server.url


async def test_the_commands_draw_and_replay_what_the_server_holds(
    stored: str, told: SinkBatch, tmp_path: Path
) -> None:
    """The whole strip is drawn as SVG, PNG and text; the alarm is raised again; what is not kept is said in a line."""
    identity = pauses(told, "raised")[1].identity
    env = environment(tmp_path, STRAPWATCH_REDIS=stored)
    for suffix, begins in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        drawn = tmp_path / f"strip{suffix}"
        assert run("strip", identity, "--redis", stored, "--out", str(drawn), env=env).returncode == 0
        assert drawn.read_bytes().startswith(begins)
    assert "once before in this session" in printed_strip(*_with_strip(told)).caption
    text = run("strip", identity, "--redis", stored, "--width", "90", env=env).stdout
    assert "not complete" not in text
    assert "the athlete's usual beat" in text
    done = run("replay-alarm", identity, "--redis", stored, env=env)
    assert (done.returncode, done.stdout.startswith(f"identical: {identity}"), done.stderr) == (0, True, "")
    client: Any = open_redis(stored)
    evidence = await stored_evidence(client, identity)
    wrong = msgspec.structs.replace(evidence.alarm, known_sample=1)
    await client.delete(evidence_key("red", identity))
    kept = _with_alarm(next(e for e in told.evidence if e.alarm.identity == identity), wrong)
    await store_evidence(client, [kept.packed()])
    done = run("replay-alarm", identity, "--redis", stored, env=env)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1, f"different: known_sample was 1, is {pauses(told, 'raised')[1].known_sample}",
    )  # fmt: skip
    await client.delete(evidence_key("red", identity))
    await client.aclose()
    done = run("replay-alarm", identity, "--redis", stored, env=env)
    assert done.returncode == 1
    assert "was not kept" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _with_strip(told: SinkBatch) -> tuple[Alarm, Strip]:
    alarm = pauses(told, "completed")[1]
    assert alarm.strip is not None
    return alarm, alarm.strip


def _with_alarm(kept: KeptEvidence, alarm: Alarm) -> KeptEvidence:
    return KeptEvidence(
        alarm=alarm, input_path=kept.input_path, mains_hz=kept.mains_hz, limits=kept.limits, rules=kept.rules,
        before=kept.before,
    )  # fmt: skip


async def test_a_team_keeps_the_last_ones(
    redis_server: GuardedServer, told: SinkBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the oldest evidence of a team leaves the server, and each has a time to live."""
    monkeypatch.setattr(evidence_sink, "EVIDENCE_KEPT", 3)
    client: Any = open_redis(redis_server.url)
    kept = told.evidence[0]
    for at in range(6):
        alarm = msgspec.structs.replace(kept.alarm, episode=at, at=float(at))
        await store_evidence(client, [PackedEvidence("red", alarm.identity, alarm.at, b"x")])
    keys = sorted(await client.keys("strapwatch:evidence:*:*"))
    assert [key.decode().rpartition(".")[2] for key in keys] == ["3", "4", "5"]
    assert await client.zcard(evidence_key("red")) == 3
    assert await client.ttl(keys[0]) > 0
    await client.aclose()


async def test_evidence_waits_for_a_server_that_is_away(
    redis_server: GuardedServer, told: SinkBatch, tmp_path: Path
) -> None:
    """What was raised without a server is replayed once it is back, though the monitor was killed meanwhile."""
    at_first, later = told.evidence[0], told.evidence[1]
    path = tmp_path / "outbox.sqlite3"
    redis_server.kill()
    with closing(Outbox(path)) as outbox:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            await sink.write(SinkBatch(alarms=[at_first.alarm], evidence=[at_first]))
            assert not sink.dropped["evidence"]
    redis_server.start()
    with closing(Outbox(path)) as outbox:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            await _until_stored(redis_server.url, at_first.alarm.identity)
            redis_server.kill()
            await sink.write(SinkBatch(alarms=[later.alarm], evidence=[later]))
            redis_server.start()
            await _until_stored(redis_server.url, later.alarm.identity)
            assert await sink.drained(10.0)
            shelf = EvidenceShelf(tmp_path / "outbox-evidence")
            async with asyncio.timeout(10.0):
                while shelf.oldest() is not None:  # noqa: ASYNC110 - a file goes, nobody sets an event
                    await asyncio.sleep(0.01)
    client: Any = open_redis(redis_server.url)
    for kept in (at_first, later):
        replayed = replay(await stored_evidence(client, kept.alarm.identity), None)
        assert replayed.alarm is not None
        assert not replayed.differences
    await client.aclose()


async def _until_stored(url: str, identity: str) -> None:
    client: Any = open_redis(url)
    async with asyncio.timeout(20.0):
        while True:
            with suppress(RedisError, OSError):
                if await client.exists(evidence_key("red", identity)):
                    break
            await asyncio.sleep(0.05)
    await client.aclose()


def test_evidence_with_a_broken_character_is_damaged(tmp_path: Path, told: SinkBatch) -> None:
    """Text that is no UTF-8 is said of what is stored, and left out of what waits on disk."""
    packed = told.evidence[0].packed()
    whole = zlib.decompress(packed.content)
    assert b"anna" in whole
    with pytest.raises(ValueError, match="damaged"):
        unpacked(zlib.compress(whole.replace(b"anna", b"an\xff\xfe")))
    shelf = EvidenceShelf(tmp_path)
    shelf.put([PackedEvidence("red", "first", 1.0, b"x"), PackedEvidence("red", "second", 2.0, b"x")])
    first, _ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes().replace(b"first", b"fi\xff\xfet"))
    oldest = shelf.oldest()
    assert oldest is not None
    assert oldest[1].identity == "second"


def test_evidence_that_waits_is_bounded_and_survives_damage(tmp_path: Path) -> None:
    """The oldest leaves where there is too much, by number or size; a damaged file hides none behind it."""
    shelf = EvidenceShelf(tmp_path / "e", most_files=3, most_bytes=10_000)
    found = [PackedEvidence("red", f"i{k}", float(k), b"x" * 100) for k in range(5)]
    assert shelf.put(found) == 2
    oldest = shelf.oldest()
    assert oldest is not None
    assert oldest[1] == found[2]
    oldest[0].write_bytes(b"no evidence")
    after = EvidenceShelf(tmp_path / "e", most_files=3, most_bytes=10_000).oldest()
    assert after is not None
    assert after[1] == found[3]
    assert shelf.put([PackedEvidence("red", "large", 9.0, b"x" * 9_900)]) == 2
    assert len(list((tmp_path / "e").iterdir())) == 1
    (tmp_path / "file").write_text("no folder")
    assert EvidenceShelf(tmp_path / "file" / "e").put(found) == 5
