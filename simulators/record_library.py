"""What recordings there are on this machine, and what each of them holds."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monitor.contract import AAMI_CLASSES
from monitor.errors import RecordError
from simulators.annotations import CLASS_OF_SYMBOL
from simulators.databases import SUMS_FILE
from simulators.download import parse_sums, sha256_of
from simulators.episodes import Span
from simulators.records import data_folder, find_record, read_header, read_record, records_in

_FILES: Final = (".hea", ".dat", ".atr")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSummary:
    """What the header of a record says.

    Attributes
    ----------
    name : str
        Folder and name, such as ``"mitdb/208"``.
    rate_hz : float
        Sampling rate.
    seconds : float
        Length.
    leads : tuple of str
        Names of the leads, in order.
    annotated : bool
        Whether reference annotations lie beside it.
    bytes : int
        Size on disk.
    """

    name: str
    rate_hz: float
    seconds: float
    leads: tuple[str, ...]
    annotated: bool
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFolder:
    """A folder of records.

    Attributes
    ----------
    name : str
        Of the folder: the database.
    records : tuple of RecordSummary
        Those that can be read.
    damaged : dict of str to str
        Those that cannot, and why.
    """

    name: str
    records: tuple[RecordSummary, ...]
    damaged: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDetails:
    """All that can be told of one record without running the monitor over it.

    Attributes
    ----------
    summary : RecordSummary
        What its header says.
    folder : Path
        Where it lies.
    read_lead : str
        The lead that is read where none is asked for.
    invalid_s : float
        Seconds of that lead without a valid sample.
    comments : tuple of str
        The header's remarks (age, sex, medication).
    symbols : dict of str to int
        Annotations by symbol, most frequent first; empty without annotations.
    classes : dict of str to int
        Beats by AAMI class.
    rhythms : dict of str to float
        Seconds of each annotated rhythm.
    checksum : str
        ``"as listed"``, ``"not as listed"`` or ``"no list"``: its files beside the database's list of SHA-256.
    """

    summary: RecordSummary
    folder: Path
    read_lead: str
    invalid_s: float
    comments: tuple[str, ...]
    symbols: dict[str, int]
    classes: dict[str, int]
    rhythms: dict[str, float]
    checksum: str


def library(folder: Path | None = None) -> list[LibraryFolder]:
    """Return the folders with records in a folder of databases, sorted by name.

    Parameters
    ----------
    folder : Path, optional
        Where databases are; `simulators.records.data_folder` if left out.
    """
    root = data_folder() if folder is None else folder
    if not root.is_dir():
        return []
    found = []
    for database in sorted(path for path in root.iterdir() if path.is_dir()):
        if not any(database.glob("*.hea")):
            continue
        records, damaged = [], {}
        for stem in records_in(database):
            try:
                records.append(summarise(stem))
            except RecordError as error:
                damaged[stem.name] = str(error)
        found.append(LibraryFolder(name=database.name, records=tuple(records), damaged=damaged))
    return found


def summarise(stem: Path) -> RecordSummary:
    """Return what the header of a record says.

    Raises
    ------
    RecordError
        If it is damaged, or a signal file is missing.
    """
    header = read_header(stem)
    names = [name for name in getattr(header, "file_name", None) or [] if name and name != "~"]
    for name in names:
        if not stem.with_name(name).is_file():
            raise RecordError(f"{stem.with_name(name)}: missing, though {stem.name}.hea names it")
    files = {stem.with_name(stem.name + suffix) for suffix in _FILES} | {
        stem.with_name(name) for name in names
    }
    return RecordSummary(
        name=f"{stem.resolve().parent.name}/{stem.name}",
        rate_hz=float(header.fs),
        seconds=(header.sig_len or 0) / float(header.fs),
        leads=tuple(name or "?" for name in header.sig_name or ()),
        annotated=stem.with_name(f"{stem.name}.atr").is_file(),
        bytes=sum(file.stat().st_size for file in files if file.is_file()),
    )


def details(name_or_path: str | Path, *, lead: str | int | None = None) -> RecordDetails:
    """Return all that can be told of a record.

    Parameters
    ----------
    name_or_path : str or Path
        See `simulators.records.find_record`.
    lead : str or int, optional
        See `simulators.records.read_record`.

    Raises
    ------
    RecordError
        If there is no such record, or it is damaged.
    """
    stem = find_record(name_or_path)
    record = read_record(stem, lead=lead)
    truth = record.truth
    return RecordDetails(
        summary=summarise(stem),
        folder=stem.resolve().parent,
        read_lead=record.lead,
        invalid_s=float((~record.valid).sum()) / record.rate_hz,
        comments=tuple(comment.strip() for comment in read_header(stem).comments or ()),
        symbols=_symbols(stem) if truth is not None else {},
        classes={} if truth is None else _in_order(Counter(truth.class_names)),
        rhythms={} if truth is None else _rhythms(truth.rhythms, record.rate_hz),
        checksum=_checksum(stem),
    )


def _symbols(stem: Path) -> dict[str, int]:
    import wfdb

    counted = Counter(wfdb.rdann(str(stem), "atr").symbol)
    return dict(sorted(counted.items(), key=lambda item: (item[0] not in CLASS_OF_SYMBOL, -item[1])))


def _in_order(counted: Counter[str]) -> dict[str, int]:
    return {name: counted[name] for name in AAMI_CLASSES if counted[name]}


def _rhythms(spans: tuple[Span, ...], rate_hz: float) -> dict[str, float]:
    samples: Counter[str] = Counter()
    for span in spans:
        samples[span.kind] += span.end_sample - span.onset_sample
    return {name: count / rate_hz for name, count in samples.most_common()}


def _checksum(stem: Path) -> str:
    try:
        sums = parse_sums(stem.with_name(SUMS_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return "no list"
    files = [stem.with_name(stem.name + suffix) for suffix in _FILES]
    listed = [file for file in files if file.is_file() and file.name in sums]
    if not listed:
        return "no list"
    return "as listed" if all(sha256_of(file) == sums[file.name] for file in listed) else "not as listed"
