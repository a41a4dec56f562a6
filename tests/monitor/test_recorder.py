"""The recorder: what straps sent comes back sample for sample, beat for beat, whatever happens to the disk."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from monitor.assembly import ReorderLimits
from monitor.contract import LABELS
from monitor.errors import RecordError
from monitor.record_file import INVALID_COUNT, RecordFile, RecordHead, finish, is_unfinished
from monitor.recorder import LINGER_S, RETRY_S, Recorder, RecordingLimits
from monitor.wire import SamplePacket, Topic, encode
from simulators.records import read_record

_ANNA: Final = Topic("red", "anna", "samples")
_BOOT: Final = 1_700_000_000
_N: Final = 90
_FREE: Final = RecordingLimits(keep_free_bytes=0, segment_s=40.0)


def _packets(
    counts: NDArray[np.int16], *, boot: int = _BOOT, microvolts: float = 5.0, lead: str = "MLII"
) -> list[SamplePacket]:
    return [
        SamplePacket(
            version=1, strap="s1", boot=boot, sequence=first // _N, first_sample=first, rate_hz=360.0,
            microvolts_per_count=microvolts, lead=lead, lead_off=False,
            sent_at=1e9 + first / 360, samples=counts[first : first + _N].astype("<i2").tobytes(),
        )
        for first in range(0, len(counts) - _N + 1, _N)
    ]  # fmt: skip


def _noise(seconds: float, seed: int = 1) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-900, 900, round(seconds * 360)).astype(np.int16)


def _record(recorder: Recorder, packets: list[SamplePacket], *, from_s: float = 1e9) -> float:
    now = from_s
    for packet in packets:
        now += _N / 360
        recorder.receive(_ANNA, encode(packet), now)
        recorder.tick(now)
    return now


def _wholes(folder: Path) -> list[Path]:
    """Return the recordings, oldest first, without their segments."""
    headers = [h for h in folder.rglob("*.hea") if not h.stem[-5:].startswith("_")]
    return [header.with_suffix("") for header in sorted(headers)]


def _counts(stem: Path) -> NDArray[np.int16]:
    record = wfdb.rdrecord(str(stem), physical=False)
    counts: NDArray[np.int16] = record.d_signal[:, 0]
    return counts


def test_a_recording_replayed_gives_the_same_beats(tmp_path: Path) -> None:
    """Lost packets, lead-off and rotation included, a recording brings the beats that were live, with their classes."""
    from models.runtime import load_classifier
    from monitor.evaluation import run_line
    from monitor.watch import Watch
    from simulators.excerpt import read_excerpt
    from simulators.strap import Strap

    excerpt = read_excerpt()
    counts = excerpt.counts[: 150 * 360]
    packets = _packets(counts, microvolts=excerpt.microvolts_per_count)
    packets[100] = replace_off(packets[100])
    del packets[301], packets[200:204]
    packets[20], packets[21] = packets[21], packets[20]
    classifier = load_classifier(None, threads=1)
    watch = Watch(classifier=classifier, reorder=ReorderLimits(packets=2))
    recorder = Recorder(tmp_path, limits=_FREE, reorder=ReorderLimits(packets=2))
    live: list[tuple[int, str]] = []
    now = 1e9
    for packet in [*packets, None]:
        now += _N / 360
        if packet is not None:
            watch.receive(_ANNA, encode(packet), now)
            recorder.receive(_ANNA, encode(packet), now)
        for team, athlete, beat in watch.tick(now).beats:
            recorder.beat(team, athlete, beat)
            live.append((beat.r_sample, beat.label))
        recorder.tick(now)
    recorder.close(now)
    (whole,) = _wholes(tmp_path)
    assert len(list(tmp_path.rglob("*_000?.dat"))) >= 4
    replayed = read_record(whole)
    assert len(replayed) == packets[-1].end_sample
    assert (~replayed.valid).sum() == 6 * _N
    as_strap = Watch(classifier=classifier)
    strap = Strap(record=replayed, team="red", athlete="anna", strap="s1", boot=1, packet_s=0.3)
    simulated: list[tuple[int, str]] = []
    for index, scheduled in enumerate(strap.packets(start_at=0.0)):
        as_strap.receive(_ANNA, encode(scheduled.packet), 1e9 + index)
        simulated += [(beat.r_sample, beat.label) for _, _, beat in as_strap.tick(1e9 + index).beats]
    (announced,) = run_line([replayed], classifier=classifier)
    again = dict(zip(announced.r_sample.tolist(), (LABELS[k] for k in announced.label), strict=True))
    assert len(live) > 140
    assert simulated[: len(live)] == live
    assert all(again[sample] == label for sample, label in live)
    # Live, beats whose window was open at the end are still to come.
    assert not [sample for sample in again if sample < live[-1][0] and sample not in dict(live)]
    notes = wfdb.rdann(str(whole), "strapwatch")
    of_beats = [
        (sample, "unsure" if symbol == "?" else symbol)
        for sample, symbol in zip(notes.sample.tolist(), notes.symbol, strict=True)
        if symbol != "~"
    ]
    assert of_beats == live
    gaps = [
        (sample, note.rstrip("\0"))
        for sample, symbol, note in zip(notes.sample.tolist(), notes.symbol, notes.aux_note, strict=True)
        if symbol == "~"
    ]
    assert gaps == [(9000, "lead off"), (18000, "gap of 360 samples"), (27090, "gap of 90 samples")]


def replace_off(packet: SamplePacket) -> SamplePacket:
    """Return the packet with the electrodes off."""
    fields = {name: getattr(packet, name) for name in packet.__struct_fields__}
    return SamplePacket(**{**fields, "lead_off": True})


def test_samples_come_back_as_they_were_sent(tmp_path: Path) -> None:
    """Counts are exact in every segment and in the whole; only the one that means "none" moves by one."""
    counts = _noise(100)
    counts[500], counts[501] = -32768, 32767
    recorder = Recorder(tmp_path, limits=_FREE)
    recorder.close(_record(recorder, _packets(counts, microvolts=2.441)))
    (whole,) = _wholes(tmp_path)
    expected = counts.copy()
    expected[500] = -32767
    np.testing.assert_array_equal(_counts(whole), expected)
    parts = sorted(tmp_path.rglob("*_000?.dat"))
    read = [read_record(part.with_suffix("")) for part in parts]
    np.testing.assert_array_equal(np.concatenate([part.counts for part in read]), expected)
    assert {(part.lead, part.rate_hz) for part in read} == {("MLII", 360.0)}
    assert all(part.microvolts_per_count == pytest.approx(2.441, rel=1e-12) for part in read)
    assert not list(tmp_path.rglob("*.journal"))
    assert {file.stat().st_mode & 0o077 for file in tmp_path.rglob("*.*")} == {0}


def test_a_growing_record_can_be_read(tmp_path: Path) -> None:
    """At any moment, what is on disk is a record of its own."""
    recorder = Recorder(tmp_path, limits=replace(_FREE, segment_s=1000.0))
    counts = _noise(20)
    _record(recorder, _packets(counts))
    (segment,) = tmp_path.rglob("*_0001.hea")
    seen = read_record(segment.with_suffix("")).counts
    assert len(seen) >= (20 - 2.5) * 360
    np.testing.assert_array_equal(seen, counts[: len(seen)])


def test_what_a_crash_leaves_is_finished(tmp_path: Path) -> None:
    """Killed at any moment, even within a sample or a line, all that had been flushed is a whole record afterwards."""
    counts = _noise(20)
    recorder = Recorder(tmp_path, limits=replace(_FREE, segment_s=1000.0))
    _record(recorder, _packets(counts))
    os.close(recorder._lock)  # a crash gives the lock back
    del recorder
    (signal,) = tmp_path.rglob("*.dat")
    flushed = signal.stat().st_size // 2
    with signal.open("ab") as opened:
        opened.write(b"\x01")
    with signal.with_suffix(".journal").open("a") as opened:
        opened.write("120 N \n360 V ")
    Recorder(tmp_path, limits=_FREE).close(2e9)
    (whole,) = _wholes(tmp_path)
    np.testing.assert_array_equal(_counts(whole), counts[:flushed])
    assert wfdb.rdann(str(whole), "strapwatch").sample.tolist() == [120]
    assert signal.stat().st_size == 2 * flushed
    assert not is_unfinished(signal.with_suffix(""))


def test_another_boot_lead_or_count_begins_another_recording(tmp_path: Path) -> None:
    """What belongs together only is in one record; a long gap parts it too."""
    counts = _noise(10)
    recorder = Recorder(tmp_path, limits=_FREE)
    now = _record(recorder, _packets(counts))
    now = _record(recorder, _packets(counts, boot=_BOOT + 1), from_s=now)
    later = _packets(_noise(90), boot=_BOOT + 1)
    now = _record(recorder, later[-40:], from_s=now)
    longer = _noise(95)
    now = _record(recorder, _packets(longer, boot=_BOOT + 1, microvolts=4.0)[-20:], from_s=now)
    recorder.close(now + 2.0)
    assert [len(_counts(whole)) for whole in _wholes(tmp_path)] == [3600, 3600, 3600, 1800]


def test_the_oldest_make_room(tmp_path: Path) -> None:
    """All recordings together stay within their bound; the whole then begins with the oldest segment left."""
    counts = _noise(400)
    recorder = Recorder(
        tmp_path, limits=RecordingLimits(segment_s=20.0, most_bytes=100_000, keep_free_bytes=0)
    )
    recorder.close(_record(recorder, _packets(counts)))
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.*")) < 110_000
    assert recorder.counters.removed_segments > 10
    (whole,) = _wholes(tmp_path)
    left = _counts(whole)
    assert 0 < len(left) < len(counts)
    np.testing.assert_array_equal(left, counts[-len(left) :])


def test_too_little_free_space_suspends(tmp_path: Path) -> None:
    """Below the space to be kept free nothing is written, and what is not is counted."""
    recorder = Recorder(tmp_path, limits=RecordingLimits(keep_free_bytes=10**18))
    recorder.close(_record(recorder, _packets(_noise(30))))
    assert recorder.counters.dropped_samples == 30 * 360
    assert list(tmp_path.rglob("*.dat")) == []


def test_a_full_disk_does_no_harm(tmp_path: Path) -> None:
    """Files that cannot grow cost what came meanwhile; with room again it goes on, and what was there is whole."""
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_recorder import _FREE, _noise, _packets, _record, Recorder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recorder = Recorder(Path({str(tmp_path)!r}), limits=_FREE)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
packets = _packets(_noise(120))
now = _record(recorder, packets[:80])
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, hard))
now = _record(recorder, packets[80:240], from_s=now)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
now = _record(recorder, packets[240:], from_s=now)
recorder.close(now)
print(recorder.counters.dropped_samples)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    dropped = int(ran.stdout.splitlines()[-1])
    assert dropped > 0
    assert "recording is suspended" in ran.stdout + ran.stderr
    read = np.concatenate([_counts(whole) for whole in _wholes(tmp_path)])
    sent = _noise(120)
    assert not np.any(read == INVALID_COUNT)
    assert len(read) > len(sent) // 2
    assert len(read) + dropped <= len(sent)
    for whole in _wholes(tmp_path):
        part = _counts(whole)
        windows = np.lib.stride_tricks.sliding_window_view(sent, 16)
        (at,) = np.flatnonzero((windows == part[:16]).all(axis=1))
        np.testing.assert_array_equal(part, sent[at : at + len(part)])
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 9_000


def test_beats_that_come_late_find_their_segment(tmp_path: Path) -> None:
    """A beat of a segment that is over is written into it for a while; later ones are counted."""
    from monitor.live_state import BeatEntry

    def beat(sample: int) -> BeatEntry:
        return BeatEntry(
            boot=_BOOT, r_sample=sample, known_sample=sample + 300, label="V", probabilities=(), quality=1.0,
            rr_s=None, due_at=0.0,
        )  # fmt: skip

    recorder = Recorder(tmp_path, limits=_FREE)
    packets = _packets(_noise(140))
    now = _record(recorder, packets[:164])
    first = len(list(tmp_path.rglob("*_000?.dat")))
    assert first == 2
    recorder.beat("red", "anna", beat(200))
    now = _record(recorder, packets[164:], from_s=now)
    assert now > LINGER_S
    recorder.beat("red", "anna", beat(300))
    recorder.tick(now)
    recorder.close(now)
    (whole,) = _wholes(tmp_path)
    assert wfdb.rdann(str(whole), "strapwatch").sample.tolist() == [200]
    assert recorder.counters.unplaced_beats == 1


def test_rubbish_is_counted(tmp_path: Path) -> None:
    """What is no packet changes nothing but a counter."""
    recorder = Recorder(tmp_path, limits=_FREE)
    recorder.receive(_ANNA, b"rubbish", 1.0)
    recorder.receive(Topic("red", "anna", "status"), b"rubbish", 1.0)
    recorder.close(2.0)
    assert recorder.counters.refused_packets == 1
    assert list(tmp_path.iterdir()) == []


def test_two_recorders_do_not_mix(tmp_path: Path) -> None:
    """A second one is sent to another folder."""
    first = Recorder(tmp_path, limits=_FREE)
    with pytest.raises(RecordError, match="another recorder writes there"):
        Recorder(tmp_path, limits=_FREE)
    first.close(1.0)
    Recorder(tmp_path, limits=_FREE).close(1.0)


def test_an_empty_record_is_none(tmp_path: Path) -> None:
    """A record that never got a sample leaves no file."""
    RecordFile(tmp_path / "a", RecordHead(rate_hz=360.0, microvolts_per_count=5.0, lead=""), 0)
    assert finish(tmp_path / "a") == 0
    assert list(tmp_path.iterdir()) == []
    assert RETRY_S > 0
