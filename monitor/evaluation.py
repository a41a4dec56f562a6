"""Run the line over whole records at full speed: what a monitor would have announced, had each been a strap.

Records of one rate share a bank, as straps do. They are fed together, block by block, in the clock of the
record; a record that is over leaves the block, and a stretch without valid samples is a gap with the lead
off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.classifier import BeatClassifier
from monitor.contract import UNSURE_LABEL, Block, FloatArray, IntArray, RhythmEvent
from monitor.line import Line, LineConfig, LineOutput
from simulators.records import Record

BLOCK_S: Final = 4.0
"""Seconds of signal handed to the line at once; the answer does not depend on it."""
BANK_ROWS: Final = 64
"""Records that share a bank at most: beyond that blocks leave the processor's cache and memory grows."""


def _no_samples() -> IntArray:
    return np.empty(0, np.int64)


def _no_quality() -> FloatArray:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Announced:
    """What the line announced of one record.

    Attributes
    ----------
    r_sample : ndarray of int64, shape ``[beats]``
        R peaks, rising.
    label : ndarray of int8, shape ``[beats]``
        Index in `monitor.contract.LABELS`; "unsure" too where a beat was not classified.
    events : tuple of RhythmEvent
        Rhythm and technical events.
    known_sample : ndarray of int64, shape ``[beats]``
        The last sample that each peak needed.
    quality : ndarray of float32, shape ``[beats]``
        How far each can be trusted, 0 to 1.
    """

    r_sample: IntArray
    label: NDArray[np.int8]
    events: tuple[RhythmEvent, ...] = ()
    known_sample: IntArray = field(default_factory=_no_samples)
    quality: FloatArray = field(default_factory=_no_quality)


@dataclass(slots=True)
class Timing:
    """Where the time went, in seconds of wall clock, and how much signal it was for.

    Attributes
    ----------
    samples : int
        Samples that went through the line.
    signal_s : float
        Seconds of signal that is.
    stages_s : float
        Time in the line, the classifier included.
    classifier_s : float
        Time in the classifier.
    """

    samples: int = 0
    signal_s: float = 0.0
    stages_s: float = 0.0
    classifier_s: float = 0.0


def run_line(
    records: Sequence[Record],
    *,
    config: LineConfig | None = None,
    classifier: BeatClassifier | None = None,
    block_s: float = BLOCK_S,
    timing: Timing | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Announced]:
    """Run the line over records at full speed.

    Parameters
    ----------
    records : sequence of Record
        Of any rates.
    config : LineConfig, optional
        The line's settings.
    classifier : BeatClassifier, optional
        Without one every beat is "unsure".
    block_s : float
        Seconds of signal per call of the line.
    timing : Timing, optional
        Where the time is added up.
    progress : callable, optional
        Called with the number of samples done since it was last called.

    Returns
    -------
    list of Announced
        In the order of `records`.
    """
    timing = timing if timing is not None else Timing()
    timed = _TimedClassifier(classifier, timing) if classifier is not None else None
    announced: dict[int, Announced] = {}
    for rate_hz in sorted({record.rate_hz for record in records}):
        of_rate = [index for index, record in enumerate(records) if record.rate_hz == rate_hz]
        for begin in range(0, len(of_rate), BANK_ROWS):
            share = of_rate[begin : begin + BANK_ROWS]
            bank = [records[index] for index in share]
            line = Line(rate_hz=rate_hz, config=config, classifier=timed, capacity=len(bank))
            block = max(1, round(block_s * rate_hz))
            answers = _run_bank(line, bank, block=block, timing=timing, progress=progress)
            announced.update(zip(share, answers, strict=True))
            timing.samples += sum(len(record) for record in bank)
            timing.signal_s += sum(len(record) for record in bank) / rate_hz
    return [announced[index] for index in range(len(records))]


@dataclass(slots=True)
class _Collected:
    peaks: list[IntArray] = field(default_factory=list)
    known: list[IntArray] = field(default_factory=list)
    quality: list[FloatArray] = field(default_factory=list)
    beats: list[IntArray] = field(default_factory=list)
    labels: list[NDArray[np.int8]] = field(default_factory=list)
    events: list[RhythmEvent] = field(default_factory=list)

    def announced(self) -> Announced:
        r_sample = _joined(self.peaks, np.int64)
        order = np.argsort(r_sample, kind="stable")
        r_sample = r_sample[order]
        beats, labels = _joined(self.beats, np.int64), _joined(self.labels, np.int8)
        label = np.full(len(r_sample), UNSURE_LABEL, np.int8)
        known = np.isin(beats, r_sample)
        label[np.searchsorted(r_sample, beats[known])] = labels[known]
        return Announced(
            r_sample,
            label,
            tuple(self.events),
            _joined(self.known, np.int64)[order],
            np.concatenate(self.quality)[order] if self.quality else _no_quality(),
        )


class _Collector:
    """Sorts what the line puts out by record."""

    def __init__(self, rows: IntArray) -> None:
        self._of_row = {int(row): _Collected() for row in rows}

    def take(self, output: LineOutput) -> None:
        for row in np.unique(output.peaks.rows).tolist():
            here = output.peaks.rows == row
            self._of_row[row].peaks.append(output.peaks.r_sample[here])
            self._of_row[row].known.append(output.peaks.known_sample[here])
            self._of_row[row].quality.append(output.peaks.quality[here])
        for row in np.unique(output.beats.rows).tolist():
            here = output.beats.rows == row
            self._of_row[row].beats.append(output.beats.r_sample[here])
            self._of_row[row].labels.append(output.beats.label[here])
        for event in output.events:
            self._of_row[event.row].events.append(event)

    def announced(self) -> list[Announced]:
        return [collected.announced() for collected in self._of_row.values()]


def _run_bank(
    line: Line,
    records: Sequence[Record],
    *,
    block: int,
    timing: Timing,
    progress: Callable[[int], None] | None,
) -> list[Announced]:
    stretches = [valid_stretches(record) for record in records]
    starts = [int(of_record[0, 0]) if len(of_record) else 0 for of_record in stretches]
    rows = np.array([line.claim(start) for start in starts], np.int64)
    collector = _Collector(rows)
    borders = np.unique(np.concatenate([of_record.ravel() for of_record in stretches]))
    position = int(borders[0]) if len(borders) else 0
    begins: list[set[int]] = [set(of_record[1:, 0].tolist()) for of_record in stretches]
    ends = [int(of_record[-1, 1]) if len(of_record) else 0 for of_record in stretches]
    while position < max(ends, default=0):
        following = borders[np.searchsorted(borders, position, side="right")]
        end = min(position + block, int(following))
        active = [
            index
            for index, of_record in enumerate(stretches)
            if np.any((of_record[:, 0] <= position) & (position < of_record[:, 1]))
        ]
        samples = _samples(records, active, position, end)
        began = perf_counter()
        resumed = [index for index in active if position in begins[index]]
        if resumed:
            at = np.full(len(resumed), position, np.int64)
            collector.take(line.restart(rows[resumed], at, lead_off=True))
        if active:
            first_sample = np.full(len(active), position, np.int64)
            trusted = np.ones(samples.shape, np.bool_)
            collector.take(line.process(Block(rows[active], first_sample, samples, trusted)))
        over = [index for index in active if ends[index] == end]
        if over:
            collector.take(line.finish(rows[over]))
        timing.stages_s += perf_counter() - began
        if progress is not None:
            progress(samples.size)
        position = end
    return collector.announced()


def _samples(records: Sequence[Record], active: Sequence[int], begin: int, end: int) -> FloatArray:
    samples = np.empty((len(active), end - begin), np.float32)
    for place, index in enumerate(active):
        samples[place] = records[index].millivolts[begin:end]
    return samples


def valid_stretches(record: Record) -> IntArray:
    """Return the stretches of valid samples: first sample and first after, shape ``[stretches, 2]``."""
    valid = np.concatenate([[False], record.valid, [False]])
    changes: IntArray = np.flatnonzero(valid[1:] != valid[:-1])
    return changes.reshape(-1, 2)


def _joined(
    parts: list[NDArray[np.signedinteger]], dtype: type[np.signedinteger]
) -> NDArray[np.signedinteger]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


class _TimedClassifier:
    """A classifier that adds up its time."""

    def __init__(self, classifier: BeatClassifier, timing: Timing) -> None:
        self._classifier = classifier
        self._timing = timing
        self.name = classifier.name
        self.input_path = classifier.input_path
        self.training_records = classifier.training_records
        self.sequence = classifier.sequence

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        began = perf_counter()
        answer = self._classifier.probabilities(window, template, context)
        self._timing.classifier_s += perf_counter() - began
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        return self._classifier.labels(probabilities)
