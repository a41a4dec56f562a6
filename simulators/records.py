"""WFDB records as one lead of millivolts, refused with one line where they are damaged or unsupported."""

import os
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import BoolArray, FloatArray
from monitor.errors import RecordError
from monitor.wire import MAX_RATE_HZ, MIN_RATE_HZ
from simulators.annotations import Truth, read_truth
from simulators.databases import DATABASES

DATA_VARIABLE: Final = "STRAPWATCH_DATA"
USUAL_LEAD: Final = "MLII"

_MILLIVOLT_OF_UNIT = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6}
_BYTES_PER_SAMPLE = {
    **dict.fromkeys(("8", "80"), Fraction(1)),
    "212": Fraction(3, 2),
    **dict.fromkeys(("16", "61", "160"), Fraction(2)),
    "24": Fraction(3),
    "32": Fraction(4),
}
_COUNT_LIMIT = 32767
_MIN_MICROVOLTS_PER_COUNT = 1e-3
_MAX_MICROVOLTS_PER_COUNT = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One lead of a recording, as a strap would have measured it.

    Attributes
    ----------
    name : str
        Folder and name, such as ``"mitdb/208"``.
    rate_hz : float
        Sampling rate.
    lead : str
        Name of the lead.
    millivolts : ndarray of float32, shape ``[n]``
        The signal, exactly what `counts` say; NaN where the recording holds no valid sample.
    counts : ndarray of int16, shape ``[n]``
        The signal as a strap sends it; 0 where it is not valid.
    microvolts_per_count : float
        Size of one count.
    truth : Truth or None
        The reference annotations, where there are any.
    excerpt_from : int or None
        Where this is an excerpt: the sample of the whole recording at which it begins.
    """

    name: str
    rate_hz: float
    lead: str
    millivolts: FloatArray
    counts: NDArray[np.int16]
    microvolts_per_count: float
    truth: Truth | None
    excerpt_from: int | None = None

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(self.counts)

    @property
    def valid(self) -> BoolArray:
        """Where the recording holds a valid sample, shape ``[n]``."""
        finite: BoolArray = np.isfinite(self.millivolts)
        return finite


def data_folder() -> Path:
    """Return the folder with the databases: ``STRAPWATCH_DATA``, else the user's own data folder."""
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("strapwatch"))


def check_folder(folder: Path, *, named: str) -> None:
    """Refuse a folder of recordings that is none.

    Parameters
    ----------
    folder : Path
        Where recordings are looked for.
    named : str
        The option or the variable that names it.

    Raises
    ------
    RecordError
        If there is nothing by that name, or no folder.
    """
    if not folder.expanduser().is_dir():
        what = "not a folder" if folder.expanduser().exists() else "no such folder"
        raise RecordError(f"{named} {folder}: {what}; name the folder that holds the databases")


def find_record(name_or_path: str | Path, *, database: Path | None = None) -> Path:
    """Return where a record lies, without a suffix.

    Parameters
    ----------
    name_or_path : str or Path
        A name such as ``"mitdb/208"``, looked up in `database` (or `data_folder`), or the path of a record.
    database : Path, optional
        Folder with databases, or one database.

    Raises
    ------
    RecordError
        If there is no such record.
    """
    wanted = Path(name_or_path).expanduser()
    if wanted.suffix in {".hea", ".dat", ".atr"}:
        wanted = wanted.with_suffix("")
    if not wanted.name:
        raise RecordError(f"{str(name_or_path)!r}: no record's name; use one such as mitdb/208, or its path")
    folder = data_folder() if database is None else database.expanduser()
    # An absolute path replaces the folder before it. Database "mitdb" with record "mitdb/208" is clear enough.
    inside = [folder.parent / wanted] if folder.name == wanted.parent.name else []
    for stem in (folder / wanted, *inside, wanted):
        if _header_file(stem).is_file():
            return stem
    if (folder / wanted).is_dir():
        raise RecordError(f"{name_or_path}: a folder, not a record; name one of the records in it")
    # Where an absolute path is looked for depends on nothing that could be set.
    elsewhere = database is None and not wanted.is_absolute()
    advice = [f"set {DATA_VARIABLE} to the folder of databases"] if elsewhere else []
    if wanted.parent.name in DATABASES:
        advice.append(f"strapwatch records fetch {wanted.parent.name} {wanted.name} downloads it")
    missing = f"{name_or_path}: no such record ({_header_file(folder / wanted)} is missing)"
    raise RecordError("; ".join([missing, *advice]))


def records_in(database_dir: Path) -> tuple[Path, ...]:
    """Return the records of one database, without suffixes, sorted.

    Raises
    ------
    RecordError
        If the folder is missing or holds no record.
    """
    if not database_dir.is_dir():
        raise RecordError(f"{database_dir}: no such folder")
    records = tuple(sorted(header.with_suffix("") for header in database_dir.glob("*.hea")))
    if not records:
        raise RecordError(f"{database_dir}: holds no record (no .hea file)")
    return records


def list_leads(name_or_path: str | Path, *, database: Path | None = None) -> tuple[str, ...]:
    """Return the names of a record's leads, in the order of its header.

    Raises
    ------
    RecordError
        If the record is missing or its header damaged.
    """
    stem = find_record(name_or_path, database=database)
    return _lead_names(stem, read_header(stem))


def read_record(
    name_or_path: str | Path, *, database: Path | None = None, lead: str | int | None = None
) -> Record:
    """Read one lead of a WFDB record with its reference annotations.

    Parameters
    ----------
    name_or_path : str or Path
        See `find_record`.
    database : Path, optional
        See `find_record`.
    lead : str or int, optional
        Name or index (from 0) of the lead; without it MLII where the record has it, else the first.

    Raises
    ------
    RecordError
        If the record is missing, damaged (length and checksum are compared with the header), empty, flat,
        without one valid sample, outside 100 to 1,000 Hz, or has no such lead.
    """
    stem = find_record(name_or_path, database=database)
    header_file = _header_file(stem)
    header = read_header(stem)
    names = _lead_names(stem, header)
    index = _choose_lead(header_file, names, lead)
    rate_hz = float(header.fs) * _samples_per_frame(header, index)
    # Written so that NaN fails too.
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise RecordError(
            f"{header_file}: sampling rate is {rate_hz:g} Hz; "
            f"{MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz are supported"
        )
    if header.is_segmented:
        physical = _read_segments(stem, index)
        counts, microvolts_per_count = quantise(physical, file=header_file)
        valid = np.isfinite(physical)
    else:
        _check_length(stem, header)
        counts, microvolts_per_count, valid = _read_single(stem, index)
    if not valid.any():
        raise RecordError(f"{header_file}: lead {names[index]} holds no valid sample")
    seen = counts[valid]
    if seen.min() == seen.max():
        raise RecordError(f"{header_file}: lead {names[index]} is flat: every sample has the same value")
    has_truth = stem.with_name(f"{stem.name}.atr").is_file()
    return record_of_counts(
        name=f"{stem.resolve().parent.name}/{stem.name}",
        rate_hz=rate_hz,
        lead=names[index],
        counts=counts,
        microvolts_per_count=microvolts_per_count,
        valid=valid,
        truth=read_truth(stem, rate_hz=rate_hz, samples=len(counts)) if has_truth else None,
    )


def record_of_counts(
    *,
    name: str,
    rate_hz: float,
    lead: str,
    counts: NDArray[np.int16],
    microvolts_per_count: float,
    valid: BoolArray | None = None,
    truth: Truth | None = None,
) -> Record:
    """Return a record whose millivolts are exactly what its counts say on the wire.

    Parameters
    ----------
    name, rate_hz, lead, counts, microvolts_per_count, truth
        See `Record`.
    valid : ndarray of bool, shape ``[n]``, optional
        Where the samples mean anything; everywhere by default.
    """
    millivolts = counts.astype(np.float32) * np.float32(microvolts_per_count / 1000.0)
    if valid is not None and not valid.all():
        counts = np.where(valid, counts, np.int16(0)).astype(np.int16)
        millivolts[~valid] = np.nan
    return Record(
        name=name,
        rate_hz=rate_hz,
        lead=lead,
        millivolts=millivolts,
        counts=counts,
        microvolts_per_count=microvolts_per_count,
        truth=truth,
    )


def quantise(millivolts: NDArray[np.floating[Any]], *, file: Path | str) -> tuple[NDArray[np.int16], float]:
    """Return a signal as int16 counts, as fine as its range allows, and the microvolts of one count.

    The median is taken away first where it would cost resolution: direct-coupled amplifiers add hundreds of
    millivolts that mean nothing, and every path through the monitor begins with a high-pass.

    Parameters
    ----------
    millivolts : ndarray of float, shape ``[n]``
        NaN where not valid.
    file : Path or str
        Named in the error.

    Raises
    ------
    RecordError
        If the signal's range is not one of an ECG.
    """
    finite = np.isfinite(millivolts)
    microvolts = np.where(finite, millivolts, 0.0).astype(np.float64) * 1e3
    if not finite.any():
        return np.zeros(len(microvolts), np.int16), 1.0
    offset = float(np.median(microvolts[finite]))
    if np.abs(microvolts[finite] - offset).max() * 2 < np.abs(microvolts[finite]).max():
        microvolts = np.where(finite, microvolts - offset, 0.0)
    step = float(np.abs(microvolts).max()) / _COUNT_LIMIT
    if not step <= _MAX_MICROVOLTS_PER_COUNT:
        raise RecordError(f"{file}: signal reaches {np.abs(microvolts).max() / 1e3:g} mV; that is no ECG")
    step = max(step, _MIN_MICROVOLTS_PER_COUNT)
    return np.rint(microvolts / step).astype(np.int16), step


def _header_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.hea")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_header(stem: Path) -> Any:
    """Return wfdb's header of a record, with ``is_segmented``: whether it consists of segments, be it of one.

    Raises
    ------
    RecordError
        If it is damaged, or names no lead, no sample or no sampling rate.
    """
    import wfdb

    file = _header_file(stem)
    try:
        header = wfdb.rdheader(str(stem), rd_segments=True)
    except Exception as error:  # wfdb raises plain Exception, and whatever its parser stumbles over
        is_empty = file.is_file() and file.stat().st_size == 0
        why = "the file is empty" if is_empty else f"damaged header: {_one_line(error)}"
        raise RecordError(f"{file}: {why}") from error
    header.is_segmented = isinstance(header, wfdb.MultiRecord)
    if not header.n_sig:
        raise RecordError(f"{file}: empty record, the header names no lead")
    if header.sig_len == 0:
        raise RecordError(f"{file}: empty record, the header promises no sample")
    if not header.fs:
        raise RecordError(f"{file}: the header names no sampling rate")
    return header


def _lead_names(stem: Path, header: Any) -> tuple[str, ...]:
    names = header.sig_name
    if not names or len(names) != header.n_sig:
        raise RecordError(
            f"{_header_file(stem)}: header promises {header.n_sig} leads and describes {len(names or ())}"
        )
    return tuple(name or f"lead{index}" for index, name in enumerate(names))


def _choose_lead(file: Path, names: tuple[str, ...], lead: str | int | None) -> int:
    if lead is None:
        return names.index(USUAL_LEAD) if USUAL_LEAD in names else 0
    if isinstance(lead, str):
        folded = [name.casefold() for name in names]
        if lead in names:
            return names.index(lead)
        if lead.casefold() in folded:
            return folded.index(lead.casefold())
    if (isinstance(lead, int) or lead.isdecimal()) and 0 <= int(lead) < len(names):
        return int(lead)
    there = ", ".join(f"{index} {name}" for index, name in enumerate(names))
    raise RecordError(f"{file}: no lead {lead!r}; there are {there}")


def _samples_per_frame(header: Any, index: int) -> int:
    per_frame = getattr(header, "samps_per_frame", None)
    return int(per_frame[index]) if per_frame else 1


def _check_length(stem: Path, header: Any) -> None:
    """Compare the size of every signal file with what the header promises."""
    per_frame: dict[str, int] = defaultdict(int)
    format_of: dict[str, str] = {}
    skip: dict[str, int] = {}
    for index, name in enumerate(header.file_name):
        per_frame[name] += _samples_per_frame(header, index)
        format_of[name] = header.fmt[index]
        skip[name] = header.byte_offset[index] or 0
    for name, frame in per_frame.items():
        file = stem.with_name(name)
        if not file.is_file():
            raise RecordError(f"{file}: missing, though {_header_file(stem).name} names it")
        size = file.stat().st_size
        if size == 0:
            raise RecordError(f"{file}: empty record, the file holds no byte")
        width = _BYTES_PER_SAMPLE.get(format_of[name])
        if width is None or not header.sig_len:
            continue
        promised = skip[name] + -(-header.sig_len * frame * width // 1)
        if size < promised:
            raise RecordError(f"{file}: truncated, {size} bytes where the header promises {promised}")
        if size >= promised + frame * width:
            raise RecordError(f"{file}: header and data disagree, {size} bytes where {promised} are promised")


def _read_single(stem: Path, index: int) -> tuple[NDArray[np.int16], float, BoolArray]:
    import wfdb

    try:
        # Unsmoothed, so that a lead sampled several times a frame keeps its own rate.
        record = wfdb.rdrecord(str(stem), channels=[index], physical=False, smooth_frames=False)
        (physical,) = record.dac(expanded=True)
    except Exception as error:
        raise RecordError(f"{stem}: cannot be read: {_one_line(error)}") from error
    digital = np.asarray(record.e_d_signal[0], np.int64)
    file = stem.with_name(record.file_name[0])
    if len(digital) == 0:
        raise RecordError(f"{file}: empty record, no sample")
    checksum, first = record.checksum[0], record.init_value[0]
    if checksum is not None and (int(digital.sum()) - checksum) % 2**16:
        raise RecordError(
            f"{file}: header and data disagree, the checksum of {record.sig_name[0]} is not the header's"
        )
    if checksum is not None and first is not None and digital[0] != first:
        raise RecordError(f"{file}: header and data disagree, the first sample is {digital[0]}, not {first}")
    valid: BoolArray = np.isfinite(physical)
    scale = _millivolts_per_unit(_header_file(stem), record.units[0])
    counts = np.where(valid, digital - int(record.baseline[0]), 0)
    microvolts_per_count = 1e3 * scale / float(record.adc_gain[0])
    fits = counts.min() >= -_COUNT_LIMIT - 1 and counts.max() <= _COUNT_LIMIT
    if fits and _MIN_MICROVOLTS_PER_COUNT <= microvolts_per_count <= _MAX_MICROVOLTS_PER_COUNT:
        return counts.astype(np.int16), microvolts_per_count, valid
    rescaled, step = quantise(np.asarray(physical, np.float64) * scale, file=file)
    return rescaled, step, valid


def _read_segments(stem: Path, index: int) -> NDArray[np.float64]:
    import wfdb

    try:
        record = wfdb.rdrecord(str(stem), channels=[index])
    except Exception as error:
        raise RecordError(f"{stem}: cannot be read: {_one_line(error)}") from error
    scale = _millivolts_per_unit(_header_file(stem), record.units[0])
    return np.asarray(record.p_signal[:, 0], np.float64) * scale


def _millivolts_per_unit(file: Path, unit: str) -> float:
    scale = _MILLIVOLT_OF_UNIT.get(unit.casefold())
    if scale is None:
        raise RecordError(f"{file}: unit {unit!r} of the lead is no voltage; V, mV, uV and nV are supported")
    return scale
