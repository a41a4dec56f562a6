"""How good the alarms are: episodes told against episodes that were, as counts that add up over records.

Ventricular couplets and runs are compared run by run as WFDB's ``rxr`` does, atrial and ventricular fibrillation
episode by episode and by duration as ``epicmp`` does (ANSI/AAMI EC57); other kinds by overlap. Sensitivity asks of each
reference episode whether it was told, positive predictivity of each told one whether it was there; one of either may
answer several of the other.

References
----------
ANSI/AAMI EC57, "Testing and reporting performance results of cardiac rhythm and ST segment measurement algorithms".
G. B. Moody, "Evaluating ECG Analyzers", WFDB Applications Guide.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np

from monitor.alarm_episodes import (
    LONGEST_RUN,
    SUSTAINED_S,
    Episode,
    high_runs,
    reference_episodes,
    told_episodes,
    ventricular_runs,
    ventricular_tachycardias,
)
from monitor.beat_matching import MATCH_WINDOW_S
from monitor.contract import BoolArray, RhythmEvent
from simulators.annotations import Truth

HIGH: Final = "high_priority"
"""All alarms of high priority together, beside the kinds."""


@dataclass(frozen=True, slots=True)
class AlarmCounts:
    """What became of the episodes of one kind.

    Attributes
    ----------
    tp, fn : int
        Reference episodes told and not told.
    right, fp : int
        Told episodes that were there and were not.
    reference_s, reference_told_s, told_s, told_right_s : float
        Durations of the reference, of what was told of it, of what was told, and of what was right of that.
    hours : float
        Signal in which the kind was looked for.
    latencies_s : tuple of float
        From the onset of each reference episode that was told to when it was known.
    """

    tp: int = 0
    fn: int = 0
    right: int = 0
    fp: int = 0
    reference_s: float = 0.0
    reference_told_s: float = 0.0
    told_s: float = 0.0
    told_right_s: float = 0.0
    hours: float = 0.0
    latencies_s: tuple[float, ...] = ()

    def __add__(self, other: Self) -> Self:
        """Return the counts of both together."""
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def figures(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON; what is undefined is None."""
        latencies = np.array(self.latencies_s)
        return {
            "n": self.tp + self.fn,
            "tp": self.tp,
            "fn": self.fn,
            "fp": self.fp,
            "told": self.right + self.fp,
            "se": _fraction(self.tp, self.tp + self.fn),
            "ppv": _fraction(self.right, self.right + self.fp),
            "false_per_hour": _fraction(self.fp, self.hours),
            "false_per_hour_upper95": poisson_upper(self.fp) / self.hours if self.hours else None,
            "hours": self.hours,
            "duration_se": _fraction(self.reference_told_s, self.reference_s),
            "duration_ppv": _fraction(self.told_right_s, self.told_s),
            "latency_s_median": float(np.median(latencies)) if len(latencies) else None,
            "latency_s_max": float(latencies.max()) if len(latencies) else None,
        }


def poisson_upper(count: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper confidence bound of the mean of a Poisson count (exact, after Garwood, 1936)."""
    from scipy.stats import chi2

    return float(chi2.ppf(confidence, 2 * (count + 1)) / 2.0)


def score_alarms(
    truth: Truth, events: Sequence[RhythmEvent], samples: int, *, start_sample: int = 0
) -> dict[str, AlarmCounts]:
    """Score the events that were told of one record.

    Parameters
    ----------
    truth : Truth
        Its reference annotations.
    events : sequence of RhythmEvent
        What was told of it, in order.
    samples : int
        Its length.
    start_sample : int
        End of the learning period: an episode counts if it ends after that.

    Returns
    -------
    dict of str to AlarmCounts
        By kind, runs by length too (``ventricular_run_3_5``, ``ventricular_run_6``), and `HIGH`.
    """
    told = told_episodes(events, samples, truth.rate_hz)
    reference = reference_episodes(truth, samples)
    flutter = [Episode(first, end) for first, end in truth.unscored.tolist()]
    runs = ventricular_runs(truth)
    compare = _Comparison(start_sample, samples, truth.rate_hz)

    fibrillation = [episode._replace(beats=LONGEST_RUN) for episode in told["ventricular_fibrillation"]]
    told_runs = told.of("ventricular_couplet", "ventricular_run", "idioventricular_rhythm") + fibrillation
    either = [run for run in told_runs if run.beats >= 3] + told["possible_ventricular_run"]
    scores = {
        "ventricular_couplet": compare.runs(runs, told_runs, 2, 2),
        "ventricular_run": compare.runs(runs, told_runs, 3, LONGEST_RUN),
        "ventricular_run_3_5": compare.runs(runs, told_runs, 3, LONGEST_RUN - 1),
        "ventricular_run_6": compare.runs(runs, told_runs, LONGEST_RUN, LONGEST_RUN),
        "ventricular_run_either_tier": compare.runs(runs, either, 3, LONGEST_RUN),
    }
    alone = [run for run in runs if run.beats == 1]
    scores["isolated_ventricular"] = compare.overlap(alone, told["isolated_ventricular"], by=_REACH_S)
    for kind in ("pause", "long_pause", "asystole", "bradycardia", "tachycardia", "rate_above_maximum"):
        scores[kind] = compare.overlap(reference[kind], told[kind], forgiven=flutter)
    for kind in ("bigeminy", "trigeminy", "supraventricular_run"):
        scores[kind] = compare.overlap(reference[kind], told[kind])
    scores["atrial_fibrillation"] = compare.overlap(
        reference["atrial_fibrillation"], told["atrial_fibrillation"], forgiven=reference["atrial_flutter"]
    )
    fast = [run for run in runs if run.beats >= LONGEST_RUN]
    scores["ventricular_fibrillation"] = compare.overlap(
        reference["ventricular_fibrillation"], told["ventricular_fibrillation"], forgiven=fast
    )
    urgent = told.of("sustained_ventricular_tachycardia", "ventricular_fibrillation")
    urgent += high_runs(events)
    scores["sustained_ventricular_tachycardia"] = compare.overlap(
        ventricular_tachycardias(truth, shortest_s=SUSTAINED_S),
        told["sustained_ventricular_tachycardia"],
        answers=urgent,
        forgiven=[*fast, *flutter],
    )
    # A shorter run that was taken for a long one is worth the physician's look, and no false alarm.
    scores[HIGH] = compare.overlap(
        [*reference["asystole"], *ventricular_tachycardias(truth), *flutter],
        [*urgent, *told["asystole"]],
        forgiven=[run for run in runs if run.beats >= 3],
    )
    return scores


_REACH_S: Final = MATCH_WINDOW_S


class _Comparison:
    """Compares episodes within one record, from the end of the learning period on."""

    def __init__(self, start_sample: int, samples: int, rate_hz: float) -> None:
        self._start = start_sample
        self._end = samples
        self._rate_hz = rate_hz
        self._hours = max(samples - start_sample, 0) / rate_hz / 3600.0

    def overlap(
        self,
        reference: Iterable[Episode],
        told: Iterable[Episode],
        *,
        answers: Iterable[Episode] | None = None,
        forgiven: Sequence[Episode] = (),
        by: float = 0.0,
    ) -> AlarmCounts:
        """Compare by overlap: `answers` may tell of a reference episode too, one in `forgiven` is not false."""
        reference, told = self._counted(reference), self._counted(told)
        answers = told if answers is None else self._counted(answers)
        reach = round(by * self._rate_hz)
        answered = [self._told_by(episode, answers, reach) for episode in reference]
        right = [any(_overlap(episode, other, reach) for other in reference) for episode in told]
        wrong = [
            not is_right and not any(_overlap(episode, other) for other in forgiven)
            for episode, is_right in zip(told, right, strict=True)
        ]
        latencies = tuple(
            max(by_known - episode.first, 0) / self._rate_hz
            for episode, by_known in zip(reference, answered, strict=True)
            if by_known is not None
        )
        in_reference, in_told = self._mask(reference), self._mask(told) & ~self._mask(forgiven)
        in_told |= self._mask(told) & in_reference
        return AlarmCounts(
            tp=len(latencies),
            fn=len(reference) - len(latencies),
            right=sum(right),
            fp=sum(wrong),
            reference_s=float(in_reference.sum()) / _MASK_HZ,
            reference_told_s=float((in_reference & self._mask(told)).sum()) / _MASK_HZ,
            told_s=float(in_told.sum()) / _MASK_HZ,
            told_right_s=float((in_told & in_reference).sum()) / _MASK_HZ,
            hours=self._hours,
            latencies_s=latencies,
        )

    def runs(
        self, reference: Iterable[Episode], told: Iterable[Episode], shortest: int, longest: int
    ) -> AlarmCounts:
        """Compare run by run: one of `shortest` to `longest` beats is answered by one of `shortest` or more."""
        reach = round(_REACH_S * self._rate_hz)
        reference, told = self._counted(reference), self._counted(told)
        asked = [run for run in reference if shortest <= run.beats <= longest]
        said = [run for run in told if shortest <= run.beats <= longest]
        enough_told = [run for run in told if run.beats >= shortest]
        enough = [run for run in reference if run.beats >= shortest]
        known = [self._told_by(run, enough_told, reach) for run in asked]
        latencies = tuple(
            max(at - run.first, 0) / self._rate_hz
            for run, at in zip(asked, known, strict=True)
            if at is not None
        )
        right = sum(any(_overlap(run, other, reach) for other in enough) for run in said)
        return AlarmCounts(
            tp=len(latencies),
            fn=len(asked) - len(latencies),
            right=right,
            fp=len(said) - right,
            hours=self._hours,
            latencies_s=latencies,
        )

    def _counted(self, episodes: Iterable[Episode]) -> list[Episode]:
        return [episode for episode in episodes if episode.end > self._start]

    @staticmethod
    def _told_by(episode: Episode, told: Sequence[Episode], reach: int) -> int | None:
        """Return when the first that overlaps was known; None where none does."""
        return min((other.known for other in told if _overlap(episode, other, reach)), default=None)

    def _mask(self, episodes: Iterable[Episode]) -> BoolArray:
        """Return which tenths of a second lie in one of the episodes."""
        mask = np.zeros(int(self._end / self._rate_hz * _MASK_HZ) + 1, np.bool_)
        for episode in episodes:
            first = max(episode.first, self._start)
            mask[int(first / self._rate_hz * _MASK_HZ) : int(episode.end / self._rate_hz * _MASK_HZ)] = True
        return mask


_MASK_HZ: Final = 10.0


def _overlap(one: Episode, other: Episode, reach: int = 0) -> bool:
    return one.first - reach < other.end and other.first - reach < one.end


def _fraction(part: float, whole: float) -> float | None:
    return part / whole if whole else None
