"""Reference annotations: which beat lies where, its class, and the rhythm around it, read from WFDB files.

The grouping of MIT-BIH symbols into five classes is ANSI/AAMI EC57's. `simulators.truth_files` writes what is read
here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, IntArray
from monitor.errors import RecordError
from simulators.episodes import Span, find_episodes, spans_of

AAMI_SYMBOLS: Final = {
    "N": ("N", "L", "R", "B", "e", "j", "n"),
    "S": ("A", "a", "J", "S"),
    "V": ("V", "E", "r"),
    "F": ("F",),
    "Q": ("/", "f", "Q", "?"),
}
"""Annotation symbols of each AAMI class; every other symbol is no beat."""

CLASS_OF_SYMBOL: Final = {
    symbol: AAMI_CLASSES.index(name) for name, symbols in AAMI_SYMBOLS.items() for symbol in symbols
}
"""Annotation symbol to index in `monitor.contract.AAMI_CLASSES`."""

PACED_RECORDS: Final = frozenset({"mitdb/102", "mitdb/104", "mitdb/107", "mitdb/217"})
"""Records of paced hearts, which EC57 leaves out of class totals."""

FLUTTER_BEGINS: Final = "["
FLUTTER_ENDS: Final = "]"
RHYTHM_CHANGES: Final = "+"
COMMENT: Final = '"'
LONE_P: Final = "p"
PHASE_NOTE: Final = "phase: "
"""How the comment begins that names a phase of effort."""
FIRST_COMMENT: Final = 1
"""Comments at sample 0 define the file itself; a phase that begins there is noted one sample later."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the reference says about a stretch of one record.

    Attributes
    ----------
    r_samples : ndarray of int64, shape ``[beats]``
        Positions of the beats, rising.
    classes : ndarray of int8, shape ``[beats]``
        Index in `monitor.contract.AAMI_CLASSES`.
    unscored : ndarray of int64, shape ``[intervals, 2]``
        Ventricular flutter or fibrillation, in which no beat is scored: first sample, and first after.
    rate_hz : float
        Rate of the clock in which the samples are counted.
    symbols : tuple of str
        MIT-BIH symbol of each beat; empty where only the classes are known.
    rhythms : tuple of Span
        Rhythms by their WFDB names without the bracket, in order, each up to the next; empty where none is known.
    phases : tuple of Span
        Phases of effort, in order; empty where none is known.
    lone_p_samples : ndarray of int64, shape ``[waves]``
        P waves that no QRS complex follows.
    """

    r_samples: IntArray
    classes: NDArray[np.int8]
    unscored: IntArray
    rate_hz: float
    symbols: tuple[str, ...] = ()
    rhythms: tuple[Span, ...] = ()
    phases: tuple[Span, ...] = ()
    lone_p_samples: IntArray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        """Return how many beats there are."""
        return len(self.r_samples)

    def between(self, first: int, end: int) -> "Truth":
        """Return what falls into the samples from `first` up to, not including, `end`."""
        begin, stop = np.searchsorted(self.r_samples, (first, end))
        overlapping = (self.unscored[:, 0] < end) & (self.unscored[:, 1] > first)
        return Truth(
            r_samples=self.r_samples[begin:stop],
            classes=self.classes[begin:stop],
            unscored=np.clip(self.unscored[overlapping], first, end),
            rate_hz=self.rate_hz,
            symbols=self.symbols[int(begin) : int(stop)],
            rhythms=_clipped(self.rhythms, first, end),
            phases=_clipped(self.phases, first, end),
            lone_p_samples=self.lone_p_samples[(self.lone_p_samples >= first) & (self.lone_p_samples < end)],
        )

    def episodes(self) -> tuple[Span, ...]:
        """Return pauses, couplets, runs, bigeminy, fibrillation and so on; see `simulators.episodes`."""
        return find_episodes(
            self.r_samples, self.classes, rhythms=self.rhythms, unscored=self.unscored, rate_hz=self.rate_hz
        )

    @property
    def beat_symbols(self) -> list[str]:
        """The beats' MIT-BIH symbols; where they are not known, their classes' names, which are symbols too."""
        return list(self.symbols) if self.symbols else self.class_names

    def is_scored(self, samples: IntArray) -> NDArray[np.bool_]:
        """Return which of `samples`, shape ``[n]``, lie outside every unscored interval."""
        inside = (samples[:, None] >= self.unscored[:, 0]) & (samples[:, None] < self.unscored[:, 1])
        scored: NDArray[np.bool_] = np.logical_not(np.any(inside, axis=1))
        return scored

    @property
    def class_names(self) -> list[str]:
        """The beats' AAMI classes by name."""
        return [AAMI_CLASSES[index] for index in self.classes]


def read_truth(
    path: Path, *, rate_hz: float | None = None, samples: int | None = None, extension: str = "atr"
) -> Truth:
    """Read the reference annotations of a record.

    Parameters
    ----------
    path : Path
        The record, without a suffix (its ``.atr`` is read) or with that suffix.
    rate_hz : float, optional
        Rate of the signal whose samples the result counts; without it, that of the annotation file.
    samples : int, optional
        Length of the signal: beats outside it are dropped, and flutter that is never closed ends there.
    extension : str
        Suffix of the annotation file.

    Raises
    ------
    RecordError
        If the file is missing or damaged.
    """
    import wfdb

    stem = path.with_suffix("") if path.suffix == f".{extension}" else path
    file = stem.with_name(f"{stem.name}.{extension}")
    if not file.is_file():
        raise RecordError(f"{file}: no such annotation file")
    try:
        annotation = wfdb.rdann(str(stem), extension)
    except Exception as error:  # wfdb raises plain Exception, and whatever its parser stumbles over
        reason = str(error) or type(error).__name__
        raise RecordError(f"{file}: damaged annotation file: {' '.join(reason.split())}") from error
    clock_hz = float(annotation.fs) if annotation.fs else rate_hz
    if clock_hz is None:
        raise RecordError(f"{file}: neither it nor a header names the sampling rate")
    rate_hz = clock_hz if rate_hz is None else rate_hz
    position = np.rint(np.asarray(annotation.sample, np.float64) * (rate_hz / clock_hz)).astype(np.int64)
    return _truth(position, list(annotation.symbol), list(annotation.aux_note), rate_hz, samples)


def _truth(
    position: IntArray, symbols: list[str], notes: list[str], rate_hz: float, samples: int | None
) -> Truth:
    end = samples if samples is not None else int(position.max(initial=-1)) + 1
    codes = np.array([CLASS_OF_SYMBOL.get(symbol, -1) for symbol in symbols], np.int8)
    beats = np.flatnonzero((codes >= 0) & (position >= 0) & (position < end))
    beats = beats[np.argsort(position[beats], kind="stable")]
    flutter = _flutter(position, symbols, end)
    lone = np.array([symbol == LONE_P for symbol in symbols], np.bool_)
    noted = [
        (sample, symbol, note.rstrip("\0"))
        for sample, symbol, note in zip(position.tolist(), symbols, notes, strict=True)
    ]
    rhythms = [
        (sample, note[1:]) for sample, symbol, note in noted if symbol == RHYTHM_CHANGES and note[:1] == "("
    ]
    phases = [
        (0 if sample == FIRST_COMMENT else sample, note.removeprefix(PHASE_NOTE))
        for sample, symbol, note in noted
        if symbol == COMMENT and note.startswith(PHASE_NOTE)
    ]
    return Truth(
        r_samples=position[beats],
        classes=codes[beats],
        unscored=flutter,
        rate_hz=rate_hz,
        symbols=tuple(symbols[index] for index in beats.tolist()),
        rhythms=spans_of(rhythms, end),
        phases=spans_of(phases, end),
        lone_p_samples=position[lone],
    )


def _clipped(spans: tuple[Span, ...], first: int, end: int) -> tuple[Span, ...]:
    return tuple(
        span._replace(onset_sample=max(span.onset_sample, first), end_sample=min(span.end_sample, end))
        for span in spans
        if span.onset_sample < end and span.end_sample > first
    )


def _flutter(position: IntArray, symbols: list[str], end: int) -> IntArray:
    intervals: list[tuple[int, int]] = []
    began: int | None = None
    for sample, symbol in zip(position.tolist(), symbols, strict=True):
        if symbol == FLUTTER_BEGINS and began is None:
            began = sample
        elif symbol == FLUTTER_ENDS:
            # A record that begins in flutter has only its end marked.
            intervals.append((0 if began is None else began, sample))
            began = None
    if began is not None:
        intervals.append((began, end))
    return np.array(intervals, np.int64).reshape(-1, 2)
