"""`strapwatch record` as a process, between a real broker and a real server."""

import asyncio
import signal
import time
from pathlib import Path

import aiomqtt
import msgspec
import numpy as np
import pytest
import redis.asyncio
import wfdb

from monitor.cli.application import run
from monitor.embedded import EmbeddedBroker, EmbeddedServer
from monitor.errors import RecordError, SettingsError, StrapwatchError, UsageError
from monitor.live_state import BeatEntry, beats_key
from monitor.recorder import Recorder
from monitor.wire import SamplePacket, encode
from simulators.records import read_record
from tests.monitor.processes import Running, environment

_COUNTS = np.random.default_rng(2).integers(-500, 500, 20 * 90).astype("<i2")


def _packet(sequence: int) -> bytes:
    first = 90 * sequence
    return encode(
        SamplePacket(
            version=1, strap="s1", boot=7, sequence=sequence, first_sample=first, rate_hz=360.0,
            microvolts_per_count=5.0, lead="I", lead_off=False, sent_at=0.0,
            samples=_COUNTS[first : first + 90].tobytes(),
        )
    )  # fmt: skip


def _beat(sample: int, label: str) -> BeatEntry:
    return BeatEntry(
        boot=7, r_sample=sample, known_sample=sample + 300, label=label, probabilities=(), quality=1.0,
        rr_s=None, due_at=0.0,
    )  # fmt: skip


def _wait_for(folder: Path, pattern: str, *, size: int) -> None:
    deadline = time.monotonic() + 30
    while not any(file.stat().st_size >= size for file in folder.rglob(pattern)):
        assert time.monotonic() < deadline, f"{pattern} never came"
        time.sleep(0.05)


async def test_samples_and_beats_become_a_record(
    embedded_broker: EmbeddedBroker, embedded_server: EmbeddedServer, tmp_path: Path
) -> None:
    """What was published, and the beats of the server's Stream, are a record once SIGTERM has ended the command."""
    folder = tmp_path / "recordings"
    running = Running(
        *("record", str(folder), "--broker", embedded_broker.url, "--redis", embedded_server.url),
        *("--athlete", "red/anna", "--keep-free-gb", "0"),
        env=environment(tmp_path),
    )
    client = redis.asyncio.Redis.from_url(embedded_server.url)
    try:
        assert running.said("connected to the broker", within_s=30)
        async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as straps:
            for sequence in range(20):
                await straps.publish("ecg/red/anna/samples", _packet(sequence), qos=1)
                await straps.publish("ecg/red/bea/samples", _packet(sequence), qos=1)
        await asyncio.to_thread(_wait_for, folder, "*.dat", size=2 * len(_COUNTS))
        for beat in (_beat(400, "N"), _beat(700, "V"), _beat(1000, "unsure")):
            await client.xadd(beats_key("red", "anna"), {"beat": msgspec.msgpack.encode(beat)})
        code, _ = await asyncio.to_thread(running.end, signal.SIGTERM, within_s=30)
    finally:
        running.kill()
        await client.aclose()
    assert code == 0
    assert "1,800 samples and 3 beats" in running.stderr
    (whole,) = (header.with_suffix("") for header in folder.rglob("anna*Z.hea"))
    assert not list(folder.rglob("bea*"))
    np.testing.assert_array_equal(wfdb.rdrecord(str(whole), physical=False).d_signal[:, 0], _COUNTS)
    # One segment is a record of segments, too, and can be replayed.
    np.testing.assert_allclose(read_record(whole).millivolts, 0.005 * _COUNTS, atol=1e-4)
    beats = wfdb.rdann(str(whole), "strapwatch")
    assert (beats.sample.tolist(), beats.symbol) == ([400, 700, 1000], ["N", "V", "?"])


async def test_killed_it_has_recorded_all_the_same(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """After SIGKILL what was flushed is a record; the next start finishes it, and needs no server for samples."""
    folder = tmp_path / "recordings"
    command = ("record", str(folder), "--broker", embedded_broker.url, "--no-beats", "--keep-free-gb", "0")
    running = Running(*command, env=environment(tmp_path))
    try:
        assert running.said("connected to the broker", within_s=30)
        async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as straps:
            for sequence in range(20):
                await straps.publish("ecg/red/anna/samples", _packet(sequence), qos=1)
        await asyncio.to_thread(_wait_for, folder, "*.dat", size=2 * len(_COUNTS))
        await asyncio.to_thread(running.end, signal.SIGKILL, within_s=10)
    finally:
        running.kill()
    Recorder(folder).close(time.time())
    (whole,) = (header.with_suffix("") for header in folder.rglob("anna*Z.hea"))
    np.testing.assert_array_equal(wfdb.rdrecord(str(whole), physical=False).d_signal[:, 0], _COUNTS)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["/proc/recordings"], RecordError, "/proc/recordings cannot be written to"),
        (["{tmp}", "--athlete", "red/an na"], UsageError, "--athlete 'red/an na': use a team, or team/name"),
        (["{tmp}", "--broker", "nonsense"], SettingsError, "command line: broker.url: broker URL 'nonsense'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path, arguments: list[str], error: type[StrapwatchError], said: str
) -> None:
    """A folder, a name or an address that cannot be is refused before anything is opened."""
    with pytest.raises(error) as refused:
        run(["record", *(part.format(tmp=tmp_path) for part in arguments)])
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
