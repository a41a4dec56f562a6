"""One growing WFDB record: samples as they come, beats beside them, whole at every moment.

While it grows, the header names no length, which WFDB allows: whatever samples are in the file can be read. Beats wait
in a journal of text lines, because an annotation file is written as a whole. `finish` turns both into what other
tools expect, header with length and checksum and annotations; after a crash it does so from what is on disk.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.annotation_writer import EXTENSION

INVALID_COUNT: Final = -32768
"""What WFDB format 16 writes where there is no valid sample."""
JOURNAL: Final = ".journal"
NOTE_SYMBOL: Final = "~"
"""A change of signal quality; its note says which."""

_PRIVATE: Final = 0o600
_LEAD: Final = "# lead: "
_LINE: Final = re.compile(r"(\d{1,15}) (\S) (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHead:
    """What does not change within a record.

    Attributes
    ----------
    rate_hz : float
        Sampling rate.
    microvolts_per_count : float
        Size of one count.
    lead : str
        Name of the lead.
    remarks : tuple of str
        For the header.
    """

    rate_hz: float
    microvolts_per_count: float
    lead: str
    remarks: tuple[str, ...] = ()


class RecordFile:
    """A record that grows.

    Parameters
    ----------
    stem : Path
        Where, without a suffix; nothing may be there yet.
    head : RecordHead
        What it holds.
    first_sample : int
        Index since boot of its first sample.

    Raises
    ------
    OSError
        If it cannot be written; so do all methods.
    """

    def __init__(self, stem: Path, head: RecordHead, first_sample: int) -> None:
        self.stem = stem
        self.head = head
        self.first_sample = first_sample
        self.end_sample = first_sample
        self._samples: list[bytes] = []
        self._lines: list[str] = []
        self._gap: tuple[int, str] | None = None  # where the last gap ends, and why it is one
        stem.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The journal first: what has one is looked after if we do not come to an end.
        _append(_journal(stem), b"")
        _write_whole(_header(stem), _header_text(stem.name, head))
        _append(_signal(stem), b"")

    def add(self, counts: NDArray[np.int16]) -> None:
        """Add samples, shape ``[n]``; they are on disk after the next `flush`."""
        # The one count that means "no sample" is moved by one.
        valid = np.maximum(counts, INVALID_COUNT + 1).astype("<i2")
        self._samples.append(valid.tobytes())
        self.end_sample += len(counts)

    def add_gap(self, length: int, note: str) -> None:
        """Add `length` samples that are not valid, and say why; once for a stretch of one kind."""
        if self._gap != (self.end_sample, note):
            self.note(self.end_sample, NOTE_SYMBOL, note)
        self._gap = (self.end_sample + length, note)
        self._samples.append(np.full(length, INVALID_COUNT, "<i2").tobytes())
        self.end_sample += length

    def note(self, sample: int, symbol: str, text: str = "") -> None:
        """Add an annotation at `sample`, counted since boot."""
        self._lines.append(f"{sample - self.first_sample} {symbol} {text}\n")

    def flush(self) -> None:
        """Write what has gathered; it is dropped if that fails, since more will come."""
        samples, self._samples = b"".join(self._samples), []
        lines, self._lines = "".join(self._lines).encode(), []
        if samples:
            _append(_signal(self.stem), samples)
        if lines:
            _append(_journal(self.stem), lines)

    def finish(self) -> None:
        """Write the rest, the header with length and checksum, and the annotations."""
        self.flush()
        finish(self.stem)


def finish(stem: Path) -> int:
    """Finish a record from what is on disk, and return how many samples it has; one without any is removed.

    Raises
    ------
    OSError
        If it cannot be written or read.
    """
    signal = _signal(stem)
    size = signal.stat().st_size if signal.exists() else 0
    if size < 2 or not _header(stem).exists():
        remove(stem)
        return 0
    if size % 2:
        # A crash in the middle of a sample.
        os.truncate(signal, size - 1)
    counts = np.fromfile(signal, "<i2")
    lines = _header(stem).read_text(encoding="ascii").splitlines()
    record, growing, *remarks = lines
    name, leads, rate_hz, *_ = record.split()
    lead = next((line.removeprefix(_LEAD) for line in remarks if line.startswith(_LEAD)), "")
    signal_line = f"{' '.join(growing.split()[:5])} {counts[0]} {_checksum(counts)} 0 {lead}".rstrip()
    _write_annotations(stem, float(rate_hz), len(counts))
    text = [f"{name} {leads} {rate_hz} {len(counts)}", signal_line, *remarks]
    _write_whole(_header(stem), "\n".join(text) + "\n")
    _journal(stem).unlink(missing_ok=True)
    return len(counts)


def unfinished(folder: Path) -> list[Path]:
    """Return the records, without suffixes, that a crash left unfinished in `folder` and below."""
    return sorted(journal.with_suffix("") for journal in folder.rglob(f"*{JOURNAL}"))


def is_unfinished(stem: Path) -> bool:
    """Whether a record still grows, or a crash has left it so."""
    return _journal(stem).exists()


def remove(stem: Path) -> None:
    """Remove a record with all its files."""
    for suffix in (".hea", f".{EXTENSION}", ".dat", JOURNAL):
        stem.with_name(stem.name + suffix).unlink(missing_ok=True)


def size_of(stem: Path) -> int:
    """Return how many bytes of the disk a record takes."""
    files = (stem.with_name(stem.name + suffix) for suffix in (".hea", f".{EXTENSION}", ".dat", JOURNAL))
    return sum(room_of(file) for file in files if file.exists())


def room_of(file: Path) -> int:
    """Return how many bytes of the disk a file takes: a small one takes a block."""
    status = file.stat()
    return max(status.st_size, status.st_blocks * 512)


def write_joined(stem: Path, segments: Iterable[Path]) -> None:
    """Write a header that joins finished records, one after the other, to one, with their annotations.

    Parameters
    ----------
    stem : Path
        The whole, without a suffix; taken away where no segment is left.
    segments : iterable of Path
        Its parts, in order, each continuing the one before.
    """
    parts = list(segments)
    if not parts:
        remove(stem)
        return
    lengths: list[int] = []
    notes: list[tuple[int, str, str]] = []
    rate_hz, remarks = "", list[str]()
    for part in parts:
        record, _, *remarks = _header(part).read_text(encoding="ascii").splitlines()
        _, _, rate_hz, length = record.split()
        notes += [(sample + sum(lengths), symbol, text) for sample, symbol, text in _read_annotations(part)]
        lengths.append(int(length))
    lines = [f"{stem.name}/{len(parts)} 1 {rate_hz} {sum(lengths)}"]
    lines += [f"{part.name} {length}" for part, length in zip(parts, lengths, strict=True)]
    _write_whole(_header(stem), "\n".join([*lines, *remarks]) + "\n")
    _write_notes(stem, float(rate_hz), notes)


def _header_text(name: str, head: RecordHead) -> str:
    lead = head.lead.encode("ascii", "replace").decode()
    gain = 1e3 / head.microvolts_per_count
    remarks = [f"# {remark}".encode("ascii", "replace").decode() for remark in head.remarks]
    # Without length and checksum, which are not known yet, the lead cannot stand in its place either.
    growing = [f"{name} 1 {head.rate_hz!r}", f"{name}.dat 16 {gain!r}(0)/mV 16 0"]
    return "\n".join([*growing, f"{_LEAD}{lead}", *remarks]) + "\n"


def _write_annotations(stem: Path, rate_hz: float, length: int) -> None:
    # The last line may have been cut off by a crash.
    lines = _journal(stem).read_text(encoding="ascii", errors="replace").split("\n")[:-1]
    matches = [match for line in lines if (match := _LINE.fullmatch(line)) and int(match[1]) < length]
    _write_notes(stem, rate_hz, [(int(match[1]), match[2], match[3]) for match in matches])


def _write_notes(stem: Path, rate_hz: float, notes: list[tuple[int, str, str]]) -> None:
    import wfdb

    file = stem.with_name(f"{stem.name}.{EXTENSION}")
    if not notes:
        # The format cannot express a file without annotations.
        file.unlink(missing_ok=True)
        return
    notes.sort(key=lambda note: note[0])
    samples, symbols, texts = zip(*notes, strict=True)
    whole = stem.with_name(f"{stem.name}_part")
    wfdb.wrann(
        whole.name,
        EXTENSION,
        np.array(samples, np.int64),
        symbol=list(symbols),
        aux_note=list(texts),
        fs=rate_hz,
        write_dir=str(stem.parent),
    )
    written = whole.with_name(f"{whole.name}.{EXTENSION}")
    written.chmod(_PRIVATE)
    written.replace(file)


def _read_annotations(stem: Path) -> list[tuple[int, str, str]]:
    import wfdb

    if not stem.with_name(f"{stem.name}.{EXTENSION}").exists():
        return []
    read = wfdb.rdann(str(stem), EXTENSION)
    notes = [note.rstrip("\0") for note in read.aux_note]
    return list(zip(read.sample.tolist(), read.symbol, notes, strict=True))


def _checksum(counts: NDArray[np.int16]) -> int:
    """Return the sum of all samples as a signed 16-bit number, as WFDB has it."""
    total = int(counts.sum(dtype=np.int64)) % 2**16
    return total - 2**16 if total >= 2**15 else total


def _append(file: Path, content: bytes) -> None:
    # Opened for each write: a thousand straps would need more files open at once than a process may have.
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE), "ab") as opened:
        opened.write(content)


def _write_whole(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    _append(part, text.encode("ascii"))
    part.replace(file)


def _header(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.hea")


def _signal(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.dat")


def _journal(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}{JOURNAL}")
