"""Beat data sets, cut by the monitor's own line: training sees the beats that live use would see.

Each record is streamed through `monitor.line.Line`; a beat that it announces takes the class of the reference beat
it pairs with (`monitor.beat_matching`, 150 ms), a detection without one stays as "no beat". What comes out is kept on
disk under a hash of the stages' source, the record's own bytes and the lead, so nothing stale is ever read.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.beat_set import NO_BEAT, BeatSet
from monitor.beat_matching import match_beats, window_samples
from monitor.contract import AAMI_CLASSES, Beats, Block
from monitor.errors import RecordError
from monitor.evaluation import valid_stretches
from monitor.line import Line
from simulators.records import Record, find_record, read_record

CACHE_VARIABLE: Final = "STRAPWATCH_CACHE"
_BLOCK_S: Final = 60.0
_FIELDS: Final = (
    *("r_sample", "window", "template", "context", "quality"),
    *("complete", "label", "missed", "rate_hz"),
)
_SHAPING: Final = (
    *("beat_matching.py", "beats.py", "denoise.py", "filters.py", "history.py", "line.py"),
    # The detector is several modules, and what it has learnt.
    *("quality.py", "rpeak*.py", "rpeak*.npz", "template.py"),
)


def cache_folder() -> Path:
    """Return where cut beats are kept: ``STRAPWATCH_CACHE``, else the user's own cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("strapwatch"))


def load_beats(
    names: Sequence[str],
    *,
    lead: int = 0,
    database: Path | None = None,
    cache: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> BeatSet:
    """Return the beats that the monitor announces in some records.

    Parameters
    ----------
    names : sequence of str
        Records, such as ``"mitdb/101"``.
    lead : int
        Which lead, counted from 0. Beats of another than the first are named ``"mitdb/101#1"``.
    database : Path, optional
        See `simulators.records.find_record`.
    cache : Path, optional
        Folder for cut beats; `cache_folder` by default.
    report : callable
        Called with the name of each record as it is done.

    Raises
    ------
    RecordError
        If a record is missing, damaged, or has no reference annotations.
    """
    parts = []
    for name in names:
        parts.append(_cached(name, lead, database, cache or cache_folder()))
        report(name)
    return BeatSet.join(parts)


def stream(record: Record, *, line: Line | None = None) -> Beats:
    """Return all beats of a record, as the streaming stages announce them; without a valid sample the lead is off.

    Parameters
    ----------
    record : Record
        Where the samples come from.
    line : Line, optional
        Has the classifier, if there is to be one; by default a new line without.
    """
    line = line or Line(rate_hz=record.rate_hz, capacity=1)
    stretches = valid_stretches(record).tolist()
    row = line.claim(stretches[0][0] if stretches else 0)
    rows = np.array([row])
    step = int(_BLOCK_S * record.rate_hz)
    parts = []
    for place, (begin, end) in enumerate(stretches):
        if place > 0:
            parts.append(line.restart(rows, np.array([begin]), lead_off=True).beats)
        for first in range(begin, end, step):
            samples = record.millivolts[np.newaxis, first : min(first + step, end)]
            block = Block(rows, np.array([first]), samples, np.ones(samples.shape, np.bool_))
            parts.append(line.process(block).beats)
    parts.append(line.finish(rows).beats)
    line.release(row)
    return Beats.join(parts)


def cut(record: Record, *, name: str | None = None) -> BeatSet:
    """Stream a record and give each beat its reference class.

    Parameters
    ----------
    record : Record
        With its reference annotations.
    name : str, optional
        What the set calls the record, if not by its own name.

    Raises
    ------
    RecordError
        If the record has no reference annotations.
    """
    if record.truth is None:
        raise RecordError(f"{record.name}: has no reference annotations (.atr), which a beat data set needs")
    truth = record.truth
    beats = stream(record)
    scored = truth.is_scored(truth.r_samples)
    reference, classes = truth.r_samples[scored], truth.classes[scored]
    # Within flutter the reference names no beats, so a detection there is neither right nor wrong.
    beats = beats.take(truth.is_scored(beats.r_sample))
    pairs = match_beats(reference, beats.r_sample, window=window_samples(record.rate_hz))
    label = np.full(len(beats), NO_BEAT, np.int8)
    label[pairs.detection] = classes[pairs.reference]
    return BeatSet(
        names=(name or record.name,),
        record=np.zeros(len(beats), np.int64),
        r_sample=beats.r_sample,
        window=beats.window,
        template=beats.template,
        context=beats.context,
        quality=beats.quality,
        complete=beats.complete,
        label=label,
        missed=np.bincount(classes[pairs.missed], minlength=len(AAMI_CLASSES))[np.newaxis].astype(np.int64),
        rate_hz=np.array([record.rate_hz]),
    )


@functools.cache
def stages_version() -> str:
    """Return a hash of the source of every module that shapes a beat or reads its record."""
    import monitor
    import simulators

    digest = hashlib.sha256()
    folder = Path(monitor.__file__).parent
    for pattern in _SHAPING:
        for path in sorted(folder.glob(pattern)):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    for name in ("annotations", "records"):
        digest.update((Path(simulators.__file__).parent / f"{name}.py").read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


def _cached(name: str, lead: int, database: Path | None, cache: Path) -> BeatSet:
    stem = find_record(name, database=database)
    digest = hashlib.sha256(f"{stages_version()} {lead}".encode())
    for file in sorted(stem.parent.glob(f"{stem.name}.*")):
        digest.update(file.read_bytes())
    title = name if lead == 0 else f"{name}#{lead}"
    path = cache / "beats" / f"{digest.hexdigest()[:24]}.npz"
    if path.exists():
        return _read(path, title)
    beats = cut(read_record(name, database=database, lead=lead), name=title)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and moved: two processes, or a crash, never leave half a file.
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, **{field: getattr(beats, field) for field in _FIELDS})
    partial.replace(path)
    return beats


def _read(path: Path, name: str) -> BeatSet:
    with np.load(path, allow_pickle=False) as file:
        arrays = {field: file[field] for field in _FIELDS}
    return BeatSet(names=(name,), record=np.zeros(len(arrays["label"]), np.int64), **arrays)
