"""Beats as the paper cuts them: 300 samples each side of the reference's R peak, filtered one way.

Unlike the product's beat sets these rest on the reference's own positions, and no beat is missed. They are kept on
disk under a hash of everything that shapes them.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.beat_data import cache_folder
from models.reproduction.preprocessing import HALF, Direction, Step, cut, filtered
from monitor.contract import FloatArray
from simulators.records import find_record, read_record

_LAYOUT: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Beats of some records.

    Attributes
    ----------
    records : tuple of str
        Names.
    rate_hz : float
        Sampling rate of them all.
    window : ndarray of float32, shape ``[beats, 600]``, or ``[beats, leads, 600]`` of several leads
        Millivolt.
    label : ndarray of int64, shape ``[beats]``
        Index in `monitor.contract.AAMI_CLASSES`.
    record : ndarray of int64, shape ``[beats]``
        Index in `records`.
    r_sample : ndarray of int64, shape ``[beats]``
        The reference's R peak.
    too_near_an_end : int
        Beats without a whole window, left out.
    """

    records: tuple[str, ...]
    rate_hz: float
    window: FloatArray
    label: NDArray[np.int64]
    record: NDArray[np.int64]
    r_sample: NDArray[np.int64]
    too_near_an_end: int

    def __len__(self) -> int:
        """Return how many beats there are."""
        return len(self.label)


def load_windows(
    names: Sequence[str],
    steps: tuple[Step, ...],
    direction: Direction,
    *,
    leads: int = 1,
    cache: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Windows:
    """Return the beats of `names`, filtered and cut; read from disk where they were before.

    Raises
    ------
    RecordError
        If a record is missing, damaged, without reference annotations or without so many leads.
    ValueError
        If no record is named, or their sampling rates differ.
    """
    if not names:
        raise ValueError("no records to cut beats from: name at least one")
    described = {
        "layout": _LAYOUT,
        "code": _code(),
        "records": {name: _bytes_of(name) for name in names},
        "steps": steps,
        "direction": direction,
        "leads": leads,
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:24]
    path = (cache or cache_folder()) / "reproduction" / f"{digest}.npz"
    if not path.exists():
        built = _build(names, steps, direction, leads, report)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **built)
        partial.replace(path)
    with np.load(path, allow_pickle=False) as file:
        return Windows(
            records=tuple(names),
            rate_hz=float(file["rate_hz"]),
            window=file["window"],
            label=file["label"],
            record=file["record"],
            r_sample=file["r_sample"],
            too_near_an_end=int(file["too_near_an_end"]),
        )


def _build(
    names: Sequence[str],
    steps: tuple[Step, ...],
    direction: Direction,
    leads: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    windows, labels, owners, places = [], [], [], []
    rates: set[float] = set()
    dropped = 0
    for index, name in enumerate(names):
        record = read_record(name, lead=0)
        if record.truth is None:
            raise ValueError(f"{name}: has no reference annotations (.atr), which the reproduction needs")
        rates.add(record.rate_hz)
        r_samples = record.truth.r_samples.astype(np.int64)
        classes = record.truth.classes.astype(np.int64)
        whole = (r_samples >= HALF) & (r_samples <= len(record) - HALF)
        dropped += int((~whole).sum())
        r_samples, classes = r_samples[whole], classes[whole]
        signals = [record.millivolts, *(read_record(name, lead=lead).millivolts for lead in range(1, leads))]
        seen = [
            cut(filtered(signal, record.rate_hz, steps, direction), r_samples, steps, direction)
            for signal in signals
        ]
        windows.append(seen[0] if leads == 1 else np.stack(seen, axis=1))
        labels.append(classes)
        owners.append(np.full(len(classes), index, np.int64))
        places.append(r_samples)
        report(name)
    if len(rates) != 1:
        raise ValueError(
            f"records of different sampling rates ({sorted(rates)} Hz): take those of one database"
        )
    return {
        "rate_hz": np.array(rates.pop()),
        "window": np.concatenate(windows),
        "label": np.concatenate(labels),
        "record": np.concatenate(owners),
        "r_sample": np.concatenate(places),
        "too_near_an_end": np.array(dropped),
    }


def _bytes_of(name: str) -> str:
    stem = find_record(name)
    digest = hashlib.sha256()
    for file in sorted(stem.parent.glob(f"{stem.name}.*")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


@functools.cache
def _code() -> str:
    import monitor
    import simulators

    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in (
        here / "windows.py",
        here / "preprocessing.py",
        Path(monitor.__file__).parent / "denoise.py",
        Path(monitor.__file__).parent / "filters.py",
        Path(simulators.__file__).parent / "annotations.py",
    ):
        digest.update(file.read_bytes())
    return digest.hexdigest()
