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
from models.calibration import answered, expected_calibration_error, reliability
from models.sequencing import layers
from models.softmax import softmax
from monitor.classifier import BeatClassifier
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, FloatArray
from monitor.qrs_presence import lacks_qrs
from monitor.scoring import ClassCounts

HEAVIEST_S_RECORD = "mitdb/232"
"""Three quarters of all S beats of DS2 are this one patient's."""
SHARED_PATIENT_RECORD = "mitdb/202"
"""Its patient is record 201's, which took part in choosing."""
_DRAWS = 1000


def announce(classifier: BeatClassifier, beats: BeatSet) -> NDArray[np.int8]:
    """Return the label of each beat as live use would give it, int8 of shape ``[beats]``."""
    return _announce(classifier, beats)[0]


def _announce(classifier: BeatClassifier, beats: BeatSet) -> tuple[NDArray[np.int8], FloatArray]:
    label = np.full(len(beats), UNSURE_LABEL, np.int8)
    probabilities = np.zeros((len(beats), len(AAMI_CLASSES)), np.float32)
    whole = np.flatnonzero(beats.complete)
    probabilities[whole] = classifier.probabilities(
        beats.window[whole], beats.template[whole], beats.context[whole]
    )
    label[whole] = classifier.labels(probabilities[whole])
    network = classifier.sequence
    if network is not None:
        probabilities = softmax(layers(network, beats, probabilities)[1])
        probabilities[~beats.complete] = 0.0
        label = network.labels(probabilities, beats.quality, lacks_qrs(beats.window, beats.template))
    return label, probabilities


def evaluate(classifier: BeatClassifier, beats: BeatSet) -> dict[str, Any]:
    """Score `classifier` on all records of `beats` together, on each, and without those that need care.

    Returns
    -------
    dict
        ``gross``, ``without``.<record> for `HEAVIEST_S_RECORD` and `SHARED_PATIENT_RECORD` where present, and
        ``records``.<record>; each as `describe` gives it. ``medians`` over the records that have a class, ``intervals``
        (95 %, bootstrap over records), and ``calibration`` of the reference beats with a whole window.
    """
    label, probabilities = _announce(classifier, beats)
    by_record = {
        name: beats.of(name).count(label[beats.record == place]) for place, name in enumerate(beats.names)
    }
    care = (HEAVIEST_S_RECORD, SHARED_PATIENT_RECORD)
    apart = sorted((n for n in by_record if n.partition("#")[0] in care), reverse=True)
    return {
        "gross": describe(_total(by_record)),
        "without": {name: describe(_total(by_record, leave_out=name)) for name in apart},
        "records": {name: describe(counts) for name, counts in by_record.items()},
        "medians": _medians(by_record),
        "intervals": _intervals(list(by_record.values())),
        "calibration": _calibration(beats, probabilities),
    }


def _medians(by_record: dict[str, ClassCounts]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name in ("S", "V"):
        scores = [counts.plain()[name] for counts in by_record.values()]
        there = [score for score in scores if score.n]
        ppv = [score.ppv for score in there if score.ppv is not None]
        answer[name] = {
            "records": len(there),
            "se": _rounded(float(np.median([score.se or 0.0 for score in there])) if there else None),
            "ppv": _rounded(float(np.median(ppv)) if ppv else None),
        }
    return answer


def _intervals(parts: list[ClassCounts]) -> dict[str, list[float | None]]:
    """Return what 95 of 100 draws of as many records, with replacement, give."""
    random = np.random.default_rng(0)
    tables = np.stack([part.table for part in parts])
    drawn: dict[str, list[float]] = {}
    for _ in range(_DRAWS):
        counts = ClassCounts(tables[random.integers(len(parts), size=len(parts))].sum(axis=0))
        values = {"accuracy": counts.accuracy}
        for name in ("S", "V"):
            score = counts.plain()[name]
            values |= {f"{name} se": score.se, f"{name} ppv": score.ppv}
        for key, value in values.items():
            if value is not None:
                drawn.setdefault(key, []).append(value)
    return {
        key: [_rounded(float(edge)) for edge in np.quantile(values, (0.025, 0.975))]
        for key, values in drawn.items()
    }


def _calibration(beats: BeatSet, probabilities: FloatArray) -> dict[str, Any]:
    judged = beats.complete & (beats.label >= 0)
    likely = probabilities[judged]
    right = likely.argmax(axis=1) == beats.label[judged]
    curve = reliability(likely, right)
    return {
        "error": _rounded(expected_calibration_error(curve)),
        "reliability": [{key: _rounded(value) for key, value in part.items()} for part in curve],
        "answered": [
            {key: _rounded(value) for key, value in part.items()} for part in answered(likely, right)
        ],
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
