"""Beats cut at the reference's R peaks: the protocol of the literature, beside the one from raw samples.

Filters, windows, template and context are the monitor's own, but each R peak is where an annotator put it, and known as
soon as its window asks. What is left out is everything that a detector does wrong. It answers how others' figures
compare, not what live use sees.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from models.beat_set import BeatSet
from monitor.beats import BeatBank
from monitor.contract import AAMI_CLASSES, Beats, Block, IntArray, Peaks
from monitor.errors import RecordError
from monitor.filters import FilterBank, classifier_sections
from monitor.history import History
from monitor.template import TemplateBank
from simulators.records import Record, read_record

_BLOCK_S: Final = 1.0
_KNOWN_AFTER_S: Final = 0.2


def load_reference_beats(
    names: Sequence[str],
    *,
    lead: int = 0,
    database: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> BeatSet:
    """Return the beats of some records, cut where the reference has them; nothing is kept on disk.

    Parameters
    ----------
    names : sequence of str
        Records, such as ``"mitdb/101"``.
    lead : int
        Which lead, counted from 0.
    database : Path, optional
        See `simulators.records.find_record`.
    report : callable
        Called with the name of each record as it is done.

    Raises
    ------
    RecordError
        If a record is missing, damaged, or has no reference annotations.
    """
    parts = []
    for name in names:
        parts.append(cut_at_reference(read_record(name, database=database, lead=lead), name))
        report(name)
    return BeatSet.join(parts)


def cut_at_reference(record: Record, name: str) -> BeatSet:
    """Return the beats of one record, which the set calls `name`; raises as `load_reference_beats` does."""
    if record.truth is None:
        raise RecordError(f"{record.name}: has no reference annotations (.atr), which a beat data set needs")
    scored = record.truth.is_scored(record.truth.r_samples)
    r_samples, classes = record.truth.r_samples[scored], record.truth.classes[scored]
    beats = _stream(record, r_samples)
    place = np.searchsorted(r_samples, beats.r_sample)
    return BeatSet(
        names=(name,),
        record=np.zeros(len(beats), np.int64),
        r_sample=beats.r_sample,
        window=beats.window,
        template=beats.template,
        context=beats.context,
        quality=beats.quality,
        complete=beats.complete,
        label=classes[place].astype(np.int8),
        missed=np.zeros((1, len(AAMI_CLASSES)), np.int64),
        rate_hz=np.array([record.rate_hz]),
    )


def _stream(record: Record, r_samples: IntArray) -> Beats:
    rate_hz = record.rate_hz
    eye = FilterBank(classifier_sections(rate_hz), capacity=1)
    history, bank = History(rate_hz, capacity=1), BeatBank(rate_hz, capacity=1)
    template = TemplateBank(rate_hz, capacity=1)
    row = np.array([0])
    eye.restart(row)
    history.restart(row, np.array([0]))
    step, late = int(_BLOCK_S * rate_hz), round(_KNOWN_AFTER_S * rate_hz)
    # Without a valid sample the signal stands still; the few places are noise to a beat, not the end of one.
    millivolts = np.where(np.isfinite(record.millivolts), record.millivolts, 0.0).astype(np.float32)
    parts = []
    for first in range(0, len(millivolts), step):
        samples = millivolts[np.newaxis, first : first + step]
        at = np.array([first])
        history.append(row, at, eye.process(Block(row, at, samples, np.ones(samples.shape, np.bool_))))
        known = r_samples + late
        here = r_samples[(known >= first) & (known < first + samples.shape[1])]
        peaks = Peaks(np.zeros(len(here), np.int64), here, here + late, np.ones(len(here), np.float32))
        parts.append(template.process(bank.process(row, peaks, history)))
    parts.append(template.process(bank.cut_short(row, history)))
    return Beats.join(parts)
