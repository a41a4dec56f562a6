"""What `strapwatch evaluate` reports: scores of each record, and which records enter which gross figure.

R peaks count every record. Classes leave out two kinds of record, which are reported apart: paced hearts, as
EC57 asks, and recordings the model was trained on.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final

import numpy as np

from monitor.beat_matching import MATCH_WINDOW_S
from monitor.contract import AAMI_CLASSES, LABELS, IntArray
from monitor.evaluation import Announced
from monitor.peak_timing import PeakTiming
from monitor.recordings import is_listed, recording_of
from monitor.scoring import LEARNING_S, ClassCounts, QrsCounts, Score, score_beats
from simulators.annotations import PACED_RECORDS, Truth

_SAME_PERSON: Final = {"202": "201"}
"""MIT-BIH records of a person who has another one."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordScore:
    """One record's scores.

    Attributes
    ----------
    name, lead : str
        What was scored.
    rate_hz, duration_s : float
        Sampling rate and length.
    without_learning, with_learning : Score
        Without and with the first five minutes.
    classified : bool
        Whether beats had classes at all.
    paced, trained_on : bool
        Why its classes stay out of the gross figures.
    note : str
        What else a reader should know.
    peaks : PeakTiming
        How far from the reference the peaks lie, and how long after them they were known.
    """

    name: str
    lead: str
    rate_hz: float
    duration_s: float
    without_learning: Score
    with_learning: Score
    classified: bool
    paced: bool
    trained_on: bool
    note: str = ""
    peaks: PeakTiming = field(default_factory=PeakTiming)

    def score(self, *, learning: bool) -> Score:
        """Return the score with or without the first five minutes."""
        return self.with_learning if learning else self.without_learning

    @property
    def in_gross_classes(self) -> bool:
        """Whether its classes enter the gross figures."""
        return self.classified and not self.paced and not self.trained_on


def score_record(
    name: str,
    lead: str,
    samples: int,
    truth: Truth,
    announced: Announced,
    *,
    classified: bool,
    training_records: Iterable[str] = (),
    window_s: float = MATCH_WINDOW_S,
) -> RecordScore:
    """Score what the line announced of one record.

    Parameters
    ----------
    name, lead : str
        Folder and name such as ``"mitdb/208"``, and the lead.
    samples : int
        Length of the record.
    truth : Truth
        Its reference annotations.
    announced : Announced
        What the line made of it.
    classified : bool
        Whether there was a classifier.
    training_records : iterable of str
        What that was trained on.
    window_s : float
        Farthest that a detection may lie from its beat.
    """
    with_learning, without_learning = (
        score_beats(
            truth.r_samples,
            truth.classes,
            announced.r_sample,
            announced.label,
            rate_hz=truth.rate_hz,
            unscored=truth.unscored,
            start_sample=start,
            window_s=window_s,
        )
        for start in (0, math.ceil(LEARNING_S * truth.rate_hz))
    )
    training = frozenset(training_records)
    relative = _SAME_PERSON.get(recording_of(name))
    return RecordScore(
        name=name,
        lead=lead,
        rate_hz=truth.rate_hz,
        duration_s=samples / truth.rate_hz,
        without_learning=without_learning,
        with_learning=with_learning,
        classified=classified,
        paced=is_listed(name, PACED_RECORDS),
        trained_on=is_listed(name, training),
        note=(
            f"same person as {relative}, trained on"
            if relative is not None and is_listed(relative, training)
            else ""
        ),
        peaks=PeakTiming.of(truth, announced.r_sample, announced.known_sample)
        if len(announced.known_sample) == len(announced.r_sample)
        else PeakTiming(),
    )


def gross(scores: Sequence[RecordScore], *, learning: bool) -> tuple[QrsCounts, ClassCounts]:
    """Sum up: R peaks of all records, classes of those that are neither paced nor trained on."""
    qrs = reduce(add, (record.score(learning=learning).qrs for record in scores), QrsCounts())
    return qrs, _classes((record for record in scores if record.in_gross_classes), learning=learning)


def report(scores: Sequence[RecordScore], *, learning: bool) -> dict[str, Any]:
    """Return records and gross figures as plain values for JSON; what is undefined is None.

    Parameters
    ----------
    scores : sequence of RecordScore
        The records.
    learning : bool
        Whether the figures include the first five minutes. Gross R peaks are given both ways.
    """
    classified = any(record.classified for record in scores)
    qrs, classes = gross(scores, learning=learning)
    apart = {
        "paced": [record for record in scores if record.classified and record.paced],
        "trained_on": [record for record in scores if record.classified and record.trained_on],
    }
    return {
        "learning_included": learning,
        "records": {record.name: _record(record, learning=learning) for record in scores},
        "gross": {
            **_figures(qrs, classes if classified else None),
            "records": [record.name for record in scores],
            "class_records": [record.name for record in scores if record.in_gross_classes],
        },
        "gross_qrs": {
            "without_learning": _qrs(gross(scores, learning=False)[0]),
            "with_learning": _qrs(gross(scores, learning=True)[0]),
        },
        "peaks": PeakTiming.join([record.peaks for record in scores]).figures(),
        "apart": {
            why: {
                "records": [record.name for record in group],
                **_of_classes(_classes(group, learning=learning)),
            }
            for why, group in apart.items()
        },
    }


def _record(record: RecordScore, *, learning: bool) -> dict[str, Any]:
    score = record.score(learning=learning)
    return {
        **_figures(score.qrs, score.classes if record.classified else None),
        "lead": record.lead,
        "rate_hz": record.rate_hz,
        "duration_s": record.duration_s,
        "paced": record.paced,
        "trained_on": record.trained_on,
        "note": record.note,
        "peaks": record.peaks.figures(),
    }


def _classes(records: Iterable[RecordScore], *, learning: bool) -> ClassCounts:
    return reduce(add, (record.score(learning=learning).classes for record in records), ClassCounts())


def _figures(qrs: QrsCounts, classes: ClassCounts | None) -> dict[str, Any]:
    nothing = dict.fromkeys(_of_classes(ClassCounts()))
    return {"qrs": _qrs(qrs), **(nothing if classes is None else _of_classes(classes))}


def _qrs(qrs: QrsCounts) -> dict[str, float | int | None]:
    return {"se": qrs.se, "ppv": qrs.ppv, "f1": qrs.f1, "tp": qrs.tp, "fp": qrs.fp, "fn": qrs.fn}


def _of_classes(classes: ClassCounts) -> dict[str, Any]:
    return {
        "classes": {name: asdict(score) for name, score in classes.plain().items()},
        "ec57": {name: asdict(score) for name, score in classes.ec57().items()},
        "confusion": classes.confusion.tolist(),
        "unsure": _named(classes.unsure),
        "undetected": _named(classes.undetected),
        "extra": _named(classes.extra),
        "accuracy": classes.accuracy,
        "baseline": classes.baseline,
    }


def _named(counts: IntArray) -> dict[str, int]:
    return dict(zip(LABELS, np.asarray(counts).tolist(), strict=False))


PROTOCOL: Final = {
    "rule": "ANSI/AAMI EC57 beat by beat, one to one, closest first",
    "window_s": 0.15,
    "learning_s": LEARNING_S,
    "unscored": "ventricular flutter as the reference marks it; nothing else is excused",
    "classes": "a label is right if it is the reference class; unsure and undetected beats are wrong",
    "ec57": "an F or Q called V is no false V, a Q called S is no false S",
    "confusion": f"rows: reference {' '.join(AAMI_CLASSES)}; columns: label in the same order",
    "gross": "qrs: all records; classes: neither paced records nor those the model was trained on",
}
"""How the figures are meant, for whoever reads the JSON."""
