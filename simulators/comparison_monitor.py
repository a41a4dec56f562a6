"""What the monitor makes of recordings and of synthetic athletes, compared so that neither side has an advantage.

Positive predictivity depends on how many beats there are of a class: a hundred V among a thousand beats and three among
two thousand, told apart equally well, give figures far apart. So what is compared is sensitivity and how many of a
thousand *other* beats are called by the class; positive predictivity is given for one prevalence, that of the
recordings, on both sides. One judge serves both: the cross-fitted network, which has seen no patient of DS1. What it
makes of recordings is what it makes of new patients, as synthetic athletes are.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from monitor.classifier import BeatClassifier
from monitor.contract import AAMI_CLASSES
from monitor.scoring import ClassCounts, Score
from simulators.records import Record

COMPARED: Final = ("V", "S")
"""Classes that are told from all others."""
_OTHERS: Final = {"V": ("N", "S"), "S": ("N", "V", "F")}
"""Who is called by the class by mistake; EC57 forgives a fusion beat called V, and unknown beats called either."""
_LEAST_BEATS: Final = 10
_PERCENTILES: Final = (10, 50, 90)
_N: Final = AAMI_CLASSES.index("N")


class Side(NamedTuple):
    """One side of the comparison.

    Attributes
    ----------
    name : str
        What it is called.
    records : sequence of Record
        All of them; R peaks are compared on all.
    """

    name: str
    records: Sequence[Record]


def monitored(real: Sequence[Record], made: Sequence[Side]) -> dict[str, Any]:
    """Return what the monitor's own stages make of recordings and of synthetic athletes, ready for JSON."""
    from models.runtime import CROSSFIT_WEIGHTS, load_classifier

    judge = load_classifier(CROSSFIT_WEIGHTS, threads=1)
    shipped = load_classifier(threads=1)
    scores = {side.name: _scores(side.records, judge) for side in (Side("real", real), *made)}
    seen = frozenset(judge.training_records)
    of_classes = {
        name: [score for record, score in found if record not in seen] for name, found in scores.items()
    }
    total = _sum(of_classes["real"]).classes
    shares = {name: _share(total, name) for name in COMPARED}
    sides = {
        name: _answers([score for _, score in found], of_classes[name], shares)
        for name, found in scores.items()
    }
    return {
        "judge": judge.name,
        "shares": shares,
        "sides": sides,
        "shipped": {
            "name": shipped.name,
            "sides": {
                side.name: class_answers([score for _, score in _scores(side.records, shipped)], shares)
                for side in made
            },
        },
    }


def _scores(records: Sequence[Record], classifier: BeatClassifier) -> list[tuple[str, Score]]:
    from monitor.evaluation import run_line
    from monitor.evaluation_report import score_record

    scores = []
    for record, beats in zip(records, run_line(records, classifier=classifier), strict=True):
        if record.truth is None:
            continue
        scored = score_record(record.name, record.lead, len(record), record.truth, beats, classified=True)
        scores.append((record.name, scored.without_learning))
    return scores


def _answers(scores: list[Score], of_classes: list[Score], shares: dict[str, float]) -> dict[str, Any]:
    total = _sum(scores).qrs
    return {
        "beats": total.tp + total.fn,
        "qrs_se": _rounded(total.se),
        "qrs_ppv": _rounded(total.ppv),
        "qrs_se_records": _spread([score.qrs.se for score in scores]),
        "qrs_ppv_records": _spread([score.qrs.ppv for score in scores]),
        **class_answers(of_classes, shares),
    }


def class_answers(scores: list[Score], shares: dict[str, float]) -> dict[str, Any]:
    """Return how well classes are told apart, in all and by record, ready for JSON.

    Parameters
    ----------
    scores : list of Score
        One a record.
    shares : dict of str to float
        For each of `COMPARED`, the share of beats at which its positive predictivity is given.
    """
    total = _sum(scores).classes
    answers: dict[str, Any] = {
        "class_records": len(scores),
        "n_called_n": _rounded(_called_n(total)),
        "n_called_n_records": _spread([_called_n(score.classes) for score in scores]),
        "n_unsure": _rounded(_fraction(int(total.unsure[_N]), int(total.n[_N]))),
    }
    for name in COMPARED:
        key = name.lower()
        se, false = total.plain()[name].se, _false(total, name)
        enough = [score.classes for score in scores if score.classes.plain()[name].n >= _LEAST_BEATS]
        answers |= {
            key: total.plain()[name].n,
            f"{key}_se": _rounded(se),
            f"{key}_se_records": _spread([counts.plain()[name].se for counts in enough]),
            f"{key}_false": None if false is None else round(1e3 * false, 2),
            f"{key}_false_records": _spread(
                [1e3 * rate for score in scores if (rate := _false(score.classes, name)) is not None]
            ),
            f"{key}_ppv_alike": _rounded(_ppv_at(shares[name], se, false)),
        }
    return answers


def _sum(scores: list[Score]) -> Score:
    total = Score()
    for score in scores:
        total += score
    return total


def _share(counts: ClassCounts, name: str) -> float:
    """Return the share of a class among its beats and those that could be called by it by mistake."""
    own = int(counts.n[AAMI_CLASSES.index(name)])
    return own / max(own + sum(int(counts.n[AAMI_CLASSES.index(other)]) for other in _OTHERS[name]), 1)


def _false(counts: ClassCounts, name: str) -> float | None:
    """Return the share of other beats, or of what is none, called by a class."""
    rows = [AAMI_CLASSES.index(other) for other in _OTHERS[name]]
    column = AAMI_CLASSES.index(name)
    called = int(counts.confusion[rows, column].sum()) + int(counts.extra[column])
    return _fraction(called, int(counts.n[rows].sum()))


def _ppv_at(share: float, se: float | None, false: float | None) -> float | None:
    """Return the positive predictivity that sensitivity and false calls give where a class has this share."""
    if se is None or false is None or se + false == 0.0:
        return None
    return se * share / (se * share + false * (1.0 - share))


def _called_n(counts: ClassCounts) -> float | None:
    return _fraction(int(counts.confusion[_N, _N]), int(counts.n[_N]))


def _fraction(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _spread(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return [round(float(value), 4) for value in np.percentile(known, _PERCENTILES)] if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
