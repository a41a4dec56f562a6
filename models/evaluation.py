"""How a shipped classifier does on patients it has never seen: DS2, beat by beat, from the streaming line.

Every reference beat counts. One that the monitor did not announce, announced without a whole window, or called
"unsure" is wrong; a detection that is no beat counts against the class it was given. Whole records are scored, the
first five minutes included, as the inter-patient literature has it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.beat_set import BeatSet
from monitor.classifier import BeatClassifier
from monitor.contract import UNSURE_LABEL
from monitor.scoring import ClassCounts

HEAVIEST_S_RECORD = "mitdb/232"
"""Three quarters of all S beats of DS2 are this one patient's."""
SHARED_PATIENT_RECORD = "mitdb/202"
"""Its patient is record 201's, which served for validation."""


def announce(classifier: BeatClassifier, beats: BeatSet) -> NDArray[np.int8]:
    """Return the label of each beat as live use would give it, int8 of shape ``[beats]``."""
    label = np.full(len(beats), UNSURE_LABEL, np.int8)
    whole = np.flatnonzero(beats.complete)
    label[whole] = classifier.labels(
        classifier.probabilities(beats.window[whole], beats.template[whole], beats.context[whole])
    )
    return label


def evaluate(classifier: BeatClassifier, beats: BeatSet) -> dict[str, Any]:
    """Score `classifier` on all records of `beats` together, on each, and without those that need care.

    Returns
    -------
    dict
        ``gross``, ``without``.<record> for `HEAVIEST_S_RECORD` and `SHARED_PATIENT_RECORD` where present, and
        ``records``.<record>; each as `describe` gives it.
    """
    label = announce(classifier, beats)
    by_record = {
        name: beats.of(name).count(label[beats.record == place]) for place, name in enumerate(beats.names)
    }
    apart = [name for name in (HEAVIEST_S_RECORD, SHARED_PATIENT_RECORD) if name in by_record]
    return {
        "gross": describe(_total(by_record)),
        "without": {name: describe(_total(by_record, leave_out=name)) for name in apart},
        "records": {name: describe(counts) for name, counts in by_record.items()},
    }


def describe(counts: ClassCounts) -> dict[str, Any]:
    """Return counts as fractions from 0 to 1 with four digits (None where undefined), and the table itself.

    ``classes`` counts plainly, ``ec57`` by ANSI/AAMI EC57's rule for F and Q beats; ``baseline`` is the accuracy of
    calling every beat N, had each been detected.
    """
    beats = int(counts.n.sum())
    return {
        "beats": beats,
        "accuracy": _rounded(counts.accuracy),
        "baseline": _rounded(int(counts.n[0]) / beats if beats else None),
        "unsure": int(counts.unsure.sum()),
        "undetected": int(counts.undetected.sum()),
        "classes": {name: _fractions(asdict(value)) for name, value in counts.plain().items()},
        "ec57": {name: _fractions(asdict(value)) for name, value in counts.ec57().items()},
        "table": counts.table.tolist(),
    }


def append(log: Path, entry: dict[str, Any]) -> None:
    """Add one line to a log of evaluations; nothing in it is ever changed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _total(by_record: dict[str, ClassCounts], leave_out: str = "") -> ClassCounts:
    return sum((counts for name, counts in by_record.items() if name != leave_out), ClassCounts())


def _fractions(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _rounded(value) if key != "n" else value for key, value in values.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
