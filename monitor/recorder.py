"""The recorder: what straps sent, and the monitor's beats beside it, as WFDB records of bounded size.

    recordings/red/anna-20261122T143000Z.hea         the whole, as segments that follow one another
    recordings/red/anna-20261122T143000Z_0001.dat    samples as counts, with .hea and .strapwatch beside them

A recording is one boot of one strap with one lead and one size of a count; its segments rotate, and the oldest are
removed when all take more room than they may. Samples that never came are invalid, with a note; after a gap of more
than a minute another recording begins. Nothing that happens to the disk stops the recorder: what cannot be written is
counted as dropped, and tried again later.
"""

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from monitor.annotation_writer import UNSURE_SYMBOL
from monitor.assembly import Piece, ReorderLimits, StrapAssembly
from monitor.contract import UNSURE
from monitor.errors import PacketError
from monitor.live_state import BeatEntry
from monitor.record_file import RecordFile, RecordHead
from monitor.record_shelf import hold, join, make_room
from monitor.wire import Topic, decode_samples

FILL_S: Final = 60.0
"""A longer gap ends a recording."""
LINGER_S: Final = 10.0
"""How long beats of a segment that is over are waited for."""
RETRY_S: Final = 10.0
"""How long the disk is left alone after it failed."""
MAX_ATHLETES: Final = 5000
SILENT_S: Final = 600.0
"""A strap that has sent nothing for this long is forgotten, and its recording is over."""
_TIDY_S: Final = 30.0
_PENDING: Final = 256
_HEADS_KEPT: Final = 1024

_log = structlog.stdlib.get_logger(__name__)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingLimits:
    """How much is kept, and how it is cut.

    Attributes
    ----------
    segment_s : float
        Seconds of signal in a segment; a strap's first is shorter by up to a half, so that not all end at once.
    most_bytes : int
        What all recordings may take together.
    keep_free_bytes : int
        What must stay free on the disk; below it nothing is recorded.
    flush_s : float
        How often samples are written: so much is lost in a crash.
    """

    segment_s: float = 1800.0
    most_bytes: int = 10 * 10**9
    keep_free_bytes: int = 10**9
    flush_s: float = 2.0


@dataclass(slots=True)
class RecorderCounters:
    """Totals since the recorder began.

    Attributes
    ----------
    samples, invalid_samples : int
        Written: as sent, and in gaps.
    dropped_samples : int
        Not written because the disk was full or failed.
    beats, unplaced_beats : int
        Written, and too late for their segment.
    segments, removed_segments : int
        Finished, and removed to make room.
    refused_packets : int
        That could not be read, or came from more athletes than there can be.
    """

    samples: int = 0
    invalid_samples: int = 0
    dropped_samples: int = 0
    beats: int = 0
    unplaced_beats: int = 0
    segments: int = 0
    removed_segments: int = 0
    refused_packets: int = 0


@dataclass(slots=True)
class _Recording:
    """One boot of one strap with one head: the segment that grows, and those that wait for their last beats."""

    stem: Path
    head: RecordHead
    strap: str
    boot: int
    segment_samples: int
    number: int = 1
    growing: RecordFile | None = None
    lingering: deque[tuple[RecordFile, float]] = field(default_factory=deque)

    def files(self) -> Iterator[RecordFile]:
        """Return the segments that are not finished."""
        yield from (file for file, _ in self.lingering)
        if self.growing is not None:
            yield self.growing


@dataclass(slots=True)
class _Wearer:
    """What is remembered of one athlete."""

    assembly: StrapAssembly
    # Microvolts per count and lead of the packets that wait, by boot and end.
    heads: dict[tuple[int, int], tuple[float, str]] = field(default_factory=dict)
    recordings: list[_Recording] = field(default_factory=list)
    pending: deque[BeatEntry] = field(default_factory=lambda: deque(maxlen=_PENDING))
    heard_at: float = 0.0


class Recorder:
    """Writes records; it belongs to one thread at a time.

    Parameters
    ----------
    folder : Path
        Where recordings go; records that a crash left unfinished there are finished first.
    limits : RecordingLimits
        How much is kept.
    reorder : ReorderLimits
        How long packets wait for those before them, as in the monitor.

    Raises
    ------
    OSError
        If the folder cannot be made.
    RecordError
        If another recorder writes there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: RecordingLimits | None = None,
        reorder: ReorderLimits | None = None,
    ) -> None:
        self._folder = folder
        self._limits = limits or RecordingLimits()
        self._reorder = reorder or ReorderLimits()
        self._wearers: dict[Key, _Wearer] = {}
        self._suspended = False
        self._retry_at = float("-inf")
        self._flushed_at = float("-inf")
        self._tidied_at = float("-inf")
        self.counters = RecorderCounters()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = hold(folder)
        self._try(self._make_room, float("-inf"))

    @property
    def athletes(self) -> list[Key]:
        """Whose samples have come, and whose beats are therefore wanted."""
        return list(self._wearers)

    def receive(self, topic: Topic, payload: bytes, now: float) -> None:
        """Take what arrived on a topic; what is no packet of samples is counted and dropped.

        Parameters
        ----------
        topic : Topic
            Where it arrived.
        payload : bytes
            Untrusted.
        now : float
            Unix time, in seconds, on a clock that only moves forward.
        """
        if topic.channel != "samples":
            return
        try:
            packet = decode_samples(payload)
        except PacketError:
            self.counters.refused_packets += 1
            return
        key = (topic.team, topic.athlete)
        wearer = self._wearers.get(key)
        if wearer is None:
            if len(self._wearers) >= MAX_ATHLETES:
                self.counters.refused_packets += 1
                return
            wearer = self._wearers[key] = _Wearer(StrapAssembly(self._reorder))
        wearer.heard_at = now
        wearer.heads[packet.boot, packet.end_sample] = (packet.microvolts_per_count, packet.lead)
        while len(wearer.heads) > _HEADS_KEPT:
            del wearer.heads[next(iter(wearer.heads))]
        self._take(key, wearer, wearer.assembly.push(packet, now), now)

    def beat(self, team: str, athlete: str, beat: BeatEntry) -> None:
        """Take a beat of the monitor's; it is written when its samples are."""
        wearer = self._wearers.get((team, athlete))
        if wearer is not None:
            self.counters.unplaced_beats += len(wearer.pending) == _PENDING
            wearer.pending.append(beat)

    def tick(self, now: float) -> None:
        """Let time pass: packets that have waited long enough, beats, segments that are over, room on the disk."""
        for key, wearer in list(self._wearers.items()):
            if wearer.assembly.waiting:
                self._take(key, wearer, wearer.assembly.tick(now), now)
            self._place_beats(wearer)
            if now - wearer.heard_at > SILENT_S:
                self._end(wearer, now)
                del self._wearers[key]
                self._try(partial(self._finish_all, wearer), now)
        if self._suspended and now >= self._retry_at:
            self._suspended = False
            self._tidied_at = now
            self._try(self._make_room, now)
        if now - self._flushed_at >= self._limits.flush_s:
            self._flushed_at = now
            self._try(self._flush, now)
        if now - self._tidied_at >= _TIDY_S:
            self._tidied_at = now
            self._try(self._make_room, now)

    def close(self, now: float) -> None:
        """Finish everything."""
        for key, wearer in self._wearers.items():
            self._take(key, wearer, wearer.assembly.flush(now), now)
            self._place_beats(wearer)
            self._end(wearer, now)
            self._try(partial(self._finish_all, wearer), now)
        self._wearers.clear()
        self._try(self._make_room, now)
        os.close(self._lock)

    def _take(self, key: Key, wearer: _Wearer, pieces: list[Piece], now: float) -> None:
        for piece in pieces:
            size, lead = wearer.heads.pop((piece.boot, piece.due_sample), (0.0, ""))
            length = piece.end_sample - piece.first_sample
            if self._suspended or not size:
                self.counters.dropped_samples += length
                continue
            try:
                self._write(key, wearer, piece, (size, lead), now)
            except OSError as error:
                self.counters.dropped_samples += length
                self._suspend(error, now)

    def _write(
        self, key: Key, wearer: _Wearer, piece: Piece, size_and_lead: tuple[float, str], now: float
    ) -> None:
        size, lead = size_and_lead
        recording = wearer.recordings[-1] if wearer.recordings else None
        if recording is None or not self._goes_on(recording, piece, size, lead):
            self._end(wearer, now)
            recording = self._begin(key, piece, size, lead, now)
            wearer.recordings.append(recording)
        file = recording.growing
        if file is None or file.end_sample - file.first_sample >= recording.segment_samples:
            file = self._rotate(recording, file, piece.first_sample, now)
        missing = piece.first_sample - file.end_sample
        if missing > 0:
            file.add_gap(missing, f"gap of {missing} samples")
            self.counters.invalid_samples += missing
        if piece.lead_off:
            length = piece.end_sample - piece.first_sample
            file.add_gap(length, "lead off")
            self.counters.invalid_samples += length
            return
        counts = np.rint(piece.millivolts.astype(np.float64) * 1e3 / size)
        file.add(np.clip(counts, -32768, 32767).astype(np.int16))
        self.counters.samples += len(counts)

    @staticmethod
    def _goes_on(recording: _Recording, piece: Piece, size: float, lead: str) -> bool:
        head, file = recording.head, recording.growing
        same = (
            (piece.boot, piece.strap, piece.rate_hz) == (recording.boot, recording.strap, head.rate_hz)
            and not piece.begins
            and (size, lead) == (head.microvolts_per_count, head.lead)
        )
        if file is None or not same:
            return False
        return 0 <= piece.first_sample - file.end_sample <= FILL_S * head.rate_hz

    def _begin(self, key: Key, piece: Piece, size: float, lead: str, now: float) -> _Recording:
        team, athlete = key
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        stem = self._folder / team / f"{athlete}-{stamp}"
        again = 1
        while stem.with_name(f"{stem.name}_0001.dat").exists():
            again += 1
            stem = self._folder / team / f"{athlete}-{stamp}-{again}"
        remarks = (
            f"team {team}, athlete {athlete}, strap {piece.strap}, boot {piece.boot}",
            f"first sample {piece.first_sample} since boot, recorded from {stamp}",
            "beats (annotator strapwatch) are the monitor's, not a reference",
        )
        # The same share for an athlete each time, and another one for each athlete.
        share = 1.0 - 0.5 * (zlib.crc32("/".join(key).encode()) % 1000) / 1000
        return _Recording(
            stem=stem,
            head=RecordHead(rate_hz=piece.rate_hz, microvolts_per_count=size, lead=lead, remarks=remarks),
            strap=piece.strap,
            boot=piece.boot,
            segment_samples=max(1, round(self._limits.segment_s * share * piece.rate_hz)),
        )

    def _rotate(
        self, recording: _Recording, file: RecordFile | None, first_sample: int, now: float
    ) -> RecordFile:
        if file is not None:
            recording.lingering.append((file, now))
            recording.growing = None
            recording.number += 1
            recording.segment_samples = round(self._limits.segment_s * recording.head.rate_hz)
            first_sample = file.end_sample
        stem = recording.stem.with_name(f"{recording.stem.name}_{recording.number:04d}")
        recording.growing = RecordFile(stem, recording.head, first_sample)
        return recording.growing

    def _place_beats(self, wearer: _Wearer) -> None:
        waiting: deque[BeatEntry] = deque(maxlen=_PENDING)
        for beat in wearer.pending:
            files = [f for r in wearer.recordings if r.boot == beat.boot for f in r.files()]
            file = next((f for f in files if f.first_sample <= beat.r_sample < f.end_sample), None)
            if file is not None:
                file.note(beat.r_sample, UNSURE_SYMBOL if beat.label == UNSURE else beat.label)
                self.counters.beats += 1
            elif beat.boot >= wearer.assembly.boot and all(beat.r_sample >= f.end_sample for f in files):
                waiting.append(beat)  # its samples are still to come
            else:
                self.counters.unplaced_beats += 1
        wearer.pending = waiting

    def _end(self, wearer: _Wearer, now: float) -> None:
        """Let an athlete's recordings come to their end; the last beats are waited for."""
        for recording in wearer.recordings:
            if recording.growing is not None:
                recording.lingering.append((recording.growing, now))
                recording.growing = None

    def _flush(self, now: float) -> None:
        for wearer in self._wearers.values():
            for recording in list(wearer.recordings):
                for file in recording.files():
                    file.flush()
                while recording.lingering and now - recording.lingering[0][1] >= LINGER_S:
                    self._finish(recording)
                if recording.growing is None and not recording.lingering:
                    wearer.recordings.remove(recording)

    def _finish_all(self, wearer: _Wearer, _now: float) -> None:
        for recording in wearer.recordings:
            while recording.lingering:
                self._finish(recording)

    def _finish(self, recording: _Recording) -> None:
        file, _ = recording.lingering.popleft()
        file.finish()
        self.counters.segments += 1
        if recording.growing is None and not recording.lingering:
            # Only now: joined after each segment, a long session would be read again and again.
            join(recording.stem)

    def _make_room(self, _now: float) -> None:
        ours = {file.stem for w in self._wearers.values() for r in w.recordings for file in r.files()}
        self.counters.removed_segments += make_room(
            self._folder,
            most_bytes=self._limits.most_bytes,
            keep_free_bytes=self._limits.keep_free_bytes,
            growing=ours,
        )

    def _try(self, work: Callable[[float], None], now: float) -> None:
        if self._suspended:
            return
        try:
            work(now)
        except OSError as error:
            self._suspend(error, now)

    def _suspend(self, error: OSError, now: float) -> None:
        """Leave the disk alone for a while; what was growing is finished when it can be."""
        _log.error("recording is suspended", folder=str(self._folder), reason=error.strerror or str(error))
        self._suspended = True
        self._retry_at = now + RETRY_S
        for wearer in self._wearers.values():
            wearer.recordings.clear()
