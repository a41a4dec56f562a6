"""The folder of recordings: one recorder at a time, what a crash left finished, the oldest removed to make room."""

import fcntl
import os
import shutil
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import structlog

from monitor.errors import RecordError
from monitor.record_file import finish, is_unfinished, remove, room_of, size_of, unfinished, write_joined

_SEGMENT: Final = "_[0-9][0-9][0-9][0-9]"

_log = structlog.stdlib.get_logger(__name__)


def hold(folder: Path) -> int:
    """Have `folder` for oneself until the file descriptor that is returned is closed.

    Raises
    ------
    RecordError
        If another recorder has it.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise RecordError(f"{folder}: another recorder writes there; choose another folder") from error
    return lock


def join(whole: Path) -> None:
    """Write the header and the annotations of a recording, without a suffix, from its finished segments."""
    headers = sorted(whole.parent.glob(f"{whole.name}{_SEGMENT}.hea"))
    segments = [header.with_suffix("") for header in headers]
    write_joined(whole, [segment for segment in segments if not is_unfinished(segment)])


def make_room(
    folder: Path, *, most_bytes: int, keep_free_bytes: int, growing: AbstractSet[Path] = frozenset()
) -> int:
    """Finish what a crash or a full disk left, remove the oldest segments until the rest fits, and return how many.

    Parameters
    ----------
    folder : Path
        Where recordings are.
    most_bytes : int
        What they may take.
    keep_free_bytes : int
        What must stay free on the disk.
    growing : set of Path
        Segments that are being written, without suffixes: they are left alone.

    Raises
    ------
    OSError
        If too little is free, what grows alone takes more than it may, or the disk fails.
    """
    free = shutil.disk_usage(folder).free
    if free < keep_free_bytes:
        raise OSError(0, f"only {free / 1e9:.1f} GB of the disk are free", str(folder))
    for stem in unfinished(folder):
        if stem not in growing:
            samples = finish(stem)
            join(_whole_of(stem))
            _log.info("finished a record that had been left", record=stem.name, samples=samples)
    segments = {header.with_suffix("") for header in folder.rglob(f"*{_SEGMENT}.hea")}
    total = sum(room_of(file) for file in folder.rglob("*.*"))
    removed = 0
    for stem in sorted(segments - growing, key=_finished_at):
        if total <= most_bytes:
            break
        total -= size_of(stem)
        remove(stem)
        removed += 1
        whole = _whole_of(stem)
        if whole.with_name(f"{whole.name}.hea").exists():
            join(whole)
    if total > most_bytes:
        raise OSError(0, "what is being recorded takes more room than it may", str(folder))
    return removed


def _whole_of(segment: Path) -> Path:
    return segment.with_name(segment.name.rpartition("_")[0])


def _finished_at(stem: Path) -> tuple[float, Path]:
    return stem.with_suffix(".hea").stat().st_mtime, stem
