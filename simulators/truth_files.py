"""Records with their truth as WFDB files, so that the field's own tools and `simulators.records` read them alike.

Beats keep their MIT-BIH symbols; a change of rhythm is ``+`` with a note such as ``(AFIB`` or ``(VT``; fibrillation
and flutter of the ventricles stand between ``[`` and ``]``; a P wave that no QRS complex follows is ``p``; a phase of
effort is a comment, ``"`` with the note ``phase: maximum``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from monitor.errors import RecordError
from simulators.annotations import (
    COMMENT,
    FIRST_COMMENT,
    FLUTTER_BEGINS,
    FLUTTER_ENDS,
    LONE_P,
    PHASE_NOTE,
    RHYTHM_CHANGES,
    Truth,
)
from simulators.records import Record

_INVALID_COUNT: Final = -32768
_ADC_BITS: Final = 16


def write_record(record: Record, directory: Path, name: str, *, comments: Sequence[str] = ()) -> Path:
    """Write a record as ``<name>.hea``, ``<name>.dat`` and, where it has truth, ``<name>.atr``.

    Parameters
    ----------
    record : Record
        Its counts are written as they are; samples that are not valid, as the format's own mark for that.
    directory : Path
        Made if it is missing.
    name : str
        Letters, digits, ``-`` and ``_``.
    comments : sequence of str
        Lines for the header.

    Returns
    -------
    Path
        Where `simulators.records.read_record` finds it.

    Raises
    ------
    RecordError
        If a file cannot be written, or the name is none that the format allows.
    """
    import wfdb

    stem = directory / name
    try:
        directory.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            name,
            fs=record.rate_hz,
            units=["mV"],
            sig_name=[record.lead],
            d_signal=np.where(record.valid, record.counts, _INVALID_COUNT).astype(np.int64)[:, np.newaxis],
            fmt=["16"],
            adc_gain=[1e3 / record.microvolts_per_count],
            baseline=[0],
            comments=list(comments),
            write_dir=str(directory),
        )
    except (OSError, ValueError) as error:
        raise RecordError(f"{stem}.hea: cannot be written: {' '.join(str(error).split())}") from error
    if record.truth is not None:
        write_truth(record.truth, directory, name)
    return stem


def write_truth(truth: Truth, directory: Path, name: str, *, extension: str = "atr") -> Path | None:
    """Write truth as ``<name>.<extension>``, which `simulators.annotations.read_truth` reads back as it was.

    Returns
    -------
    Path or None
        The file; None where there is nothing to write, which the format cannot express.

    Raises
    ------
    RecordError
        If the file cannot be written.
    """
    import wfdb

    entries = sorted(_entries(truth), key=lambda entry: entry[0])
    if not entries:
        return None
    file = directory / f"{name}.{extension}"
    try:
        wfdb.wrann(
            name,
            extension,
            np.array([sample for sample, _, _ in entries], np.int64),
            symbol=[symbol for _, symbol, _ in entries],
            aux_note=[note for _, _, note in entries],
            fs=truth.rate_hz,
            write_dir=str(directory),
        )
    except (OSError, ValueError) as error:
        raise RecordError(f"{file}: cannot be written: {' '.join(str(error).split())}") from error
    return file


def _entries(truth: Truth) -> Iterator[tuple[int, str, str]]:
    """Yield what is to be written as (sample, symbol, note); of equal samples, what comes first is written first."""
    for span in truth.phases:
        yield max(span.onset_sample, FIRST_COMMENT), COMMENT, f"{PHASE_NOTE}{span.kind}"
    for span in truth.rhythms:
        yield span.onset_sample, RHYTHM_CHANGES, f"({span.kind}"
    for first, end in truth.unscored.tolist():
        yield first, FLUTTER_BEGINS, ""
        yield end, FLUTTER_ENDS, ""
    for sample in truth.lone_p_samples.tolist():
        yield sample, LONE_P, ""
    for sample, symbol in zip(truth.r_samples.tolist(), truth.beat_symbols, strict=True):
        yield sample, symbol, ""
