"""Reference annotations: which beat lies where and what class it has, read from WFDB annotation files.

The grouping of MIT-BIH symbols into five classes is ANSI/AAMI EC57's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, IntArray
from monitor.errors import RecordError

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

_FLUTTER_BEGINS = "["
_FLUTTER_ENDS = "]"


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
        Ventricular flutter, in which no beat is scored: first sample, and first after.
    rate_hz : float
        Rate of the clock in which the samples are counted.
    """

    r_samples: IntArray
    classes: NDArray[np.int8]
    unscored: IntArray
    rate_hz: float

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
        )

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
    return _truth(position, list(annotation.symbol), rate_hz, samples)


def _truth(position: IntArray, symbols: list[str], rate_hz: float, samples: int | None) -> Truth:
    end = samples if samples is not None else int(position.max(initial=-1)) + 1
    codes = np.array([CLASS_OF_SYMBOL.get(symbol, -1) for symbol in symbols], np.int8)
    beats = np.flatnonzero((codes >= 0) & (position >= 0) & (position < end))
    beats = beats[np.argsort(position[beats], kind="stable")]
    return Truth(
        r_samples=position[beats],
        classes=codes[beats],
        unscored=_flutter(position, symbols, end),
        rate_hz=rate_hz,
    )


def _flutter(position: IntArray, symbols: list[str], end: int) -> IntArray:
    intervals: list[tuple[int, int]] = []
    began: int | None = None
    for sample, symbol in zip(position.tolist(), symbols, strict=True):
        if symbol == _FLUTTER_BEGINS and began is None:
            began = sample
        elif symbol == _FLUTTER_ENDS:
            # A record that begins in flutter has only its end marked.
            intervals.append((0 if began is None else began, sample))
            began = None
    if began is not None:
        intervals.append((began, end))
    return np.array(intervals, np.int64).reshape(-1, 2)
