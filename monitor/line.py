"""The line: all stages from raw samples to rhythm events, for one bank (all straps of one rate).

    samples ─┬─ classifier path ── history ──────────────┐
             └─ detector path ── R peaks ── quality ── beats ── classifier ── sequence ── rhythm

Live, offline and in tests this is the one code path. It is split where live use splits it: `sense` runs what needs
the samples, `conclude` what needs the classes, so that one classifier call can serve the beats of all banks.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor import beats as beats_stage
from monitor.beat_sequence import SequenceBank
from monitor.beats import BeatBank
from monitor.classifier import BeatClassifier, classify
from monitor.contract import (
    Beats,
    Block,
    FloatArray,
    IntArray,
    Peaks,
    QualityCategory,
    RhythmEvent,
    RowState,
)
from monitor.filters import FilterBank, classifier_sections, detector_sections
from monitor.history import History
from monitor.pacer_spikes import SpikeBank
from monitor.quality import QualityBank
from monitor.rhythm import AthleteLimits, BlockedBank, FibrillationBank, RhythmBank
from monitor.rows import RowStage, number_in
from monitor.rpeaks import RPeakBank
from monitor.template import TemplateBank
from monitor.trace import Trace
from monitor.usual_beats import UsualBeats

MAX_BLOCK_S: Final = 1.0
"""Longer blocks are taken in parts: the history must still hold what the oldest waiting beat needs."""
_SELF: Final = "line"


@dataclass(frozen=True, kw_only=True)
class LineConfig:
    """What decides, apart from the classifier.

    Attributes
    ----------
    mains_hz : float or None
        Mains frequency to notch out of the classifier's path.
    limits : AthleteLimits
        Limits of an athlete who has none of their own.
    """

    mains_hz: float | None = None
    limits: AthleteLimits = field(default_factory=AthleteLimits)

    def version(self) -> str:
        """Return a short hash of these settings and of the classifier's input path."""
        described = json.dumps([asdict(self), beats_stage.input_path_version()], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class LineOutput:
    """What a call of the line brought.

    Attributes
    ----------
    peaks : Peaks
        New R peaks.
    beats : Beats
        Beats whose window closed; classified where there is a classifier.
    events : list of RhythmEvent
        Rhythm and technical events, per row in the order in which they became known.
    filtered : ndarray of float32, shape ``[rows, n]``
        The classifier path of the block, millivolt.
    """

    peaks: Peaks
    beats: Beats
    events: list[RhythmEvent]
    filtered: FloatArray


class Line:
    """All stages for the straps of one sampling rate.

    Parameters
    ----------
    rate_hz : float
        Sampling rate, 100 to 1,000 Hz.
    config : LineConfig, optional
        What decides.
    classifier : BeatClassifier, optional
        Without one every beat is "unsure".
    capacity : int
        Rows to begin with; the bank grows by itself.
    """

    def __init__(
        self,
        *,
        rate_hz: float,
        config: LineConfig | None = None,
        classifier: BeatClassifier | None = None,
        capacity: int = 8,
    ) -> None:
        self.rate_hz = rate_hz
        self.config = config or LineConfig()
        self.classifier = classifier
        self._max_block = int(MAX_BLOCK_S * rate_hz)
        self._capacity = capacity
        self._free = list(range(capacity - 1, -1, -1))
        self._eye = FilterBank(classifier_sections(rate_hz, self.config.mains_hz), capacity=capacity)
        self._ear = FilterBank(detector_sections(rate_hz), capacity=capacity)
        self._detector = RPeakBank(rate_hz, capacity=capacity)
        self._spikes = SpikeBank(rate_hz, capacity=capacity)
        self._beats = BeatBank(rate_hz, capacity=capacity)
        self._template = TemplateBank(rate_hz, capacity=capacity)
        network = classifier.sequence if classifier is not None else None
        self._sequence = SequenceBank(rate_hz, capacity=capacity, network=network)
        self.history = History(rate_hz, capacity=capacity)
        self.trace = Trace(rate_hz, capacity=capacity)
        self.quality = QualityBank(rate_hz, capacity=capacity)
        self._fibrillation = FibrillationBank(rate_hz, capacity=capacity)
        self._blocked = BlockedBank(rate_hz, capacity=capacity)
        self.rhythm = RhythmBank(rate_hz, capacity=capacity)
        self.usual = UsualBeats(capacity=capacity)
        self.denoise_all = True
        """False leaves windows that resemble the athlete's usual beat as they are, see `monitor.overload`."""

    def claim(self, first_sample: int = 0, limits: AthleteLimits | None = None) -> int:
        """Take a row for a strap whose first sample has this index."""
        if not self._free:
            self._grow(max(2 * self._capacity, 1))
        row = self._free.pop()
        rows, first = np.array([row]), np.array([first_sample])
        self._eye.restart(rows)
        self._ear.restart(rows)
        self._detector.forget(rows)
        self._spikes.begin(rows, first)
        self._beats.forget(rows)
        self._template.forget(rows)
        self._sequence.forget(rows)
        self.usual.forget(rows)
        self.history.claim(rows, first)
        self.trace.restart(rows, first)
        self.quality.begin(rows, first)
        self._fibrillation.begin(rows)
        self._blocked.restart(rows)
        self.rhythm.begin(rows, first, limits or self.config.limits)
        return row

    def release(self, row: int) -> None:
        """Give a row back."""
        if row in self._free:
            raise ValueError(f"row {row} is free already")
        if not 0 <= row < self._capacity:
            raise ValueError(f"there is no row {row}; rows are 0 to {self._capacity - 1}")
        self._free.append(row)

    def process(self, block: Block) -> LineOutput:
        """Run all stages over a block of any length."""
        parts = []
        for begin in range(0, block.samples.shape[1], self._max_block):
            part = slice(begin, begin + self._max_block)
            sensed = self.sense(
                Block(block.rows, block.first_sample + begin, block.samples[:, part], block.trusted[:, part])
            )
            beats = self.place(classify(self.classifier, sensed.beats))
            ends = self.history.end[block.rows]
            events = self.conclude(block.rows, ends, sensed.peaks, beats)
            # Stable, so that signal comes before rhythm where both are known at once, however long the block.
            events = sorted(sensed.events + events, key=lambda event: event.known_sample)
            parts.append(LineOutput(sensed.peaks, beats, events, sensed.filtered))
        return _join(parts, len(block.rows))

    def sense(self, block: Block) -> LineOutput:
        """Run the stages that need the samples, over a block of at most `MAX_BLOCK_S`.

        Returns
        -------
        LineOutput
            With beats that are not classified yet, and technical events only.

        Raises
        ------
        ValueError
            If the block is too long, does not begin where its rows stand, holds samples that are not trusted, or
            holds NaN or infinity, which would stay in the filters for ever; nothing is changed then, in no row.
        """
        if block.samples.shape[1] > self._max_block:
            raise ValueError(
                f"a block of {block.samples.shape[1]} samples; at most {self._max_block} are taken at once"
            )
        expected = self.history.end[block.rows]
        if not np.array_equal(expected, block.first_sample):
            raise ValueError(
                f"block begins at {block.first_sample}, but {expected} come next; restart the rows first"
            )
        finite = np.isfinite(block.samples).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"rows {block.rows[~finite]} hold NaN or infinity; leave such samples out and restart the rows"
            )
        trusted = block.trusted.all(axis=1)
        if not trusted.all():
            raise ValueError(
                f"rows {block.rows[~trusted]} hold untrusted samples; leave such out and restart the rows"
            )
        filtered = self._eye.process(block)
        banded = self._ear.process(block)
        self._fibrillation.process(block.rows, block.first_sample, filtered)
        self._blocked.process(block.rows, block.first_sample, block.samples)
        self.history.append(block.rows, block.first_sample, filtered)
        shown = filtered.astype(np.float32)
        self.trace.append(block.rows, block.first_sample, shown)
        peaks = self._spikes.process(block, self._detector.process(block.rows, block.first_sample, banded))
        settled = self.quality.settled(peaks.rows, peaks.r_sample)
        if not settled.all():
            peaks = replace(
                peaks,
                # The correction for the filter's delay must not reach back over a gap.
                r_sample=np.maximum(peaks.r_sample, self.history.begin[peaks.rows]),
                quality=np.where(settled, peaks.quality, np.float32(0.0)),
            )
        events = self.quality.process(block, peaks)
        resembles = None if self.denoise_all else self._template.resembles
        beats = self._template.process(
            self._beats.process(block.rows, peaks, self.history, resembles=resembles)
        )
        return LineOutput(peaks, beats, events, shown)

    def place(self, beats: Beats) -> Beats:
        """Return `beats`, classified one by one, with the classes that they have among the athlete's last beats."""
        return self._sequence.process(beats)

    def correct(self, row: int, correction: FloatArray | None) -> None:
        """Let one row's classes be corrected, see `monitor.beat_sequence.SequenceBank.correct`; None for no longer.

        Raises
        ------
        ValueError
            If the correction is not one of this line's classifier.
        """
        self._sequence.correct(row, correction)

    def conclude(self, rows: IntArray, ends: IntArray, peaks: Peaks, beats: Beats) -> list[RhythmEvent]:
        """Read the rhythm once the beats have their classes.

        Parameters
        ----------
        rows, ends : ndarray of int64, shape ``[rows]``
            Rows that moved on, and the first sample of each that is not known yet.
        peaks : Peaks
            Their new R peaks.
        beats : Beats
            Their new beats, classified.
        """
        verdicts, blocked = self._fibrillation.take(rows), self._blocked.take(rows)
        return self.rhythm.process(rows, ends, peaks, beats, verdicts, blocked)

    def restart(self, rows: IntArray, first_sample: IntArray, *, lead_off: bool = False) -> LineOutput:
        """Let `rows` go on at `first_sample`: what lies between was lost, or seen with the lead off.

        Filters begin anew and are not trusted for `monitor.filters.SETTLING_S`; beats that wait for their window
        come out incomplete; the RR interval over the gap is void; a gap is neither pause nor asystole.

        Raises
        ------
        ValueError
            If a row would go back in time.
        """
        end = self.history.end[rows]
        if (first_sample < end).any():
            raise ValueError(f"rows {rows} stand at {end} and cannot go back to {first_sample}")
        return self._break_off(rows, first_sample, lead_off=lead_off)

    def finish(self, rows: IntArray) -> LineOutput:
        """End the signal of `rows`: beats that wait for their window come out incomplete, every episode ends."""
        return self._break_off(rows, self.history.end[rows], for_good=True)

    def _break_off(
        self, rows: IntArray, first_sample: IntArray, *, lead_off: bool = False, for_good: bool = False
    ) -> LineOutput:
        end = self.history.end[rows]
        beats = self._sequence.process(self._template.process(self._beats.cut_short(rows, self.history)))
        verdicts = self._fibrillation.restart(rows, end, first_sample, for_good=for_good)
        events = self.rhythm.process(rows, end, Peaks.empty(), beats, verdicts)
        events += self.rhythm.restart(rows, end, first_sample, for_good=for_good)
        events += self.quality.restart(rows, end, first_sample, lead_off=lead_off)
        self._eye.restart(rows)
        self._ear.restart(rows)
        self._blocked.restart(rows)
        self._detector.restart(rows)
        self._spikes.restart(rows, first_sample)
        self.history.restart(rows, first_sample)
        self.trace.restart(rows, first_sample)
        return LineOutput(Peaks.empty(), beats, events, np.empty((len(rows), 0), np.float32))

    def quality_of(self, row: int) -> tuple[float, QualityCategory, float]:
        """Return quality (0 to 1), category and coverage (0 to 1) of one row."""
        return self.quality.quality(row), self.quality.category(row), self.quality.coverage(row)

    def export_row(self, row: int) -> dict[str, RowState]:
        """Return one row's state, stage by stage."""
        state = {name: stage.export_row(row) for name, stage in self._stages().items()}
        return {_SELF: {"rate_hz": np.array(self.rate_hz)}, **state}

    def import_row(self, row: int, state: dict[str, RowState]) -> None:
        """Take over one row's state; the strap goes on bit for bit as if it had never moved.

        Raises
        ------
        ValueError
            If a stage is missing or has another version, or the sampling rate differs; nothing is changed then.
        """
        stages = self._stages()
        if set(state) != {_SELF, *stages}:
            raise ValueError(f"state holds stages {sorted(state)}, this line has {sorted((_SELF, *stages))}")
        rate_hz = number_in(state[_SELF], "rate_hz")
        if rate_hz != self.rate_hz:
            raise ValueError(f"state is one of {rate_hz} Hz, this line runs at {self.rate_hz:g} Hz")
        before = {name: stage.export_row(row) for name, stage in stages.items()}
        try:
            for name, stage in stages.items():
                stage.import_row(row, state[name])
        except ValueError:
            for name, stage in stages.items():
                stage.import_row(row, before[name])
            raise
        self._trace_from_history(row)
        self.usual.forget(row)

    @property
    def not_denoised(self) -> int:
        """Beats so far whose window was left as it was."""
        return self._beats.not_denoised

    def usual_beat(self, row: int) -> FloatArray:
        """Return the athlete's own usual beat, millivolt of shape ``[600]``; empty as long as there is none."""
        return self._template.usual_beat(row)

    def _trace_from_history(self, row: int) -> None:
        rows, first = np.array([row]), np.array([self.history.begin[row]])
        first[0], samples = self.history.stretch(row, int(first[0]), int(self.history.end[row]))
        self.trace.restart(rows, first)
        self.trace.append(rows, first, samples[np.newaxis])

    def _stages(self) -> dict[str, RowStage]:
        return {
            "eye": self._eye,
            "ear": self._ear,
            "detector": self._detector,
            "spikes": self._spikes,
            "beats": self._beats,
            "template": self._template,
            "sequence": self._sequence,
            "history": self.history,
            "quality": self.quality,
            "fibrillation": self._fibrillation,
            "blocked": self._blocked,
            "rhythm": self.rhythm,
        }

    def _grow(self, capacity: int) -> None:
        for stage in self._stages().values():
            stage.grow(capacity)
        self.trace.grow(capacity)
        self.usual.grow(capacity)
        self._free.extend(range(capacity - 1, self._capacity - 1, -1))
        self._capacity = capacity


def _join(parts: list[LineOutput], rows: int) -> LineOutput:
    if len(parts) == 1:
        return parts[0]
    filtered: list[NDArray[np.float32]] = [part.filtered for part in parts]
    return LineOutput(
        peaks=Peaks.join([part.peaks for part in parts]),
        beats=Beats.join([part.beats for part in parts]),
        events=[event for part in parts for event in part.events],
        filtered=np.concatenate(filtered, axis=1) if filtered else np.empty((rows, 0), np.float32),
    )
