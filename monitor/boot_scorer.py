"""One boot of one strap on its way to a score: beats and truth wait here until both sides have covered them.

A cut is made only where no beat and no detection lies within the matching window, so that the sum over all cuts equals
a comparison of everything at once. Every beat at which both sides differ is told with what the ledger knows of it.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.beat_matching import Matching, inside, match_beats, window_samples
from monitor.contract import AAMI_CLASSES, LABELS, IntArray
from monitor.filters import SETTLING_S
from monitor.scoring import QrsCounts, Score, count_beats
from monitor.wire import TruthMessage

_PENDING_LIMIT: Final = 4_096
"""Beats kept of one athlete while one of the two sides is silent; the oldest go first, counted."""
_LONGEST_CHAIN_S: Final = 60.0
"""A detector that never falls quiet is cut anyway after this long: it must not escape its score."""
_NO_CLASS: Final = -1

RADIO_LOSSES: Final = frozenset({"lost", "lost_in_burst", "lost_in_dropout", "unsent"})
"""Causes by which samples never reach the monitor, as `simulators.ledger.Ledger` names them."""
BESIDE_LOSS: Final = "beside_loss"
"""The signal is there, but so near to where it was lost that filters and detector are not settled."""
AT_START: Final = "start"
"""So soon after the strap began that the detector is still learning."""
NO_MONITOR: Final = "no_monitor"
"""No monitor was there to hear it."""
UNEXPLAINED: Final = "unexplained"
"""Nothing that the ledger knows of: this is the monitor's own."""
START_S: Final = 4.0
_BEFORE_LOSS_S: Final = 0.25
_WITHOUT_SIGNAL: Final = frozenset(
    {"lead_off", "contact_lost", "samples_skipped", "dropout_lost", NO_MONITOR}
)

FindingKind = Literal["missed", "false", "misnamed"]


class Finding(NamedTuple):
    """One beat at which monitor and reference differ.

    Attributes
    ----------
    team, athlete : str
        Whose.
    boot, r_sample : int
        Where; of a beat that was found, the reference's place.
    kind : {'missed', 'false', 'misnamed'}
        Not found, found where there is none, or found and called by another class.
    reference, called : str
        Class by the reference and by the monitor; empty where there is none.
    cause : str
        A cause or trouble of the ledger, `BESIDE_LOSS`, `AT_START` or `UNEXPLAINED`.
    """

    team: str
    athlete: str
    boot: int
    r_sample: int
    kind: FindingKind
    reference: str
    called: str
    cause: str


@dataclass(frozen=True, slots=True)
class LiveScore:
    """What has been settled of one athlete so far.

    Attributes
    ----------
    score : Score
        The counts. Beats lost by radio are among the missed ones: they are in no way excused.
    lost_by_radio : QrsCounts
        Only ``fn``: how many of the missed beats lie in stretches that never arrived.
    scored_samples : int
        Samples of truth that this rests on.
    dropped : int
        Beats and reference beats forgotten unscored because the other side stayed silent for too long.
    missed_by_cause, false_by_cause : mapping of str to int
        Missed beats and false ones by `Finding.cause`; they add up to ``fn`` and ``fp``.
    """

    score: Score = field(default_factory=Score)
    lost_by_radio: QrsCounts = field(default_factory=QrsCounts)
    scored_samples: int = 0
    dropped: int = 0
    missed_by_cause: Mapping[str, int] = field(default_factory=dict)
    false_by_cause: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "LiveScore") -> "LiveScore":
        """Return the counts of both together."""
        return LiveScore(
            score=self.score + other.score,
            lost_by_radio=self.lost_by_radio + other.lost_by_radio,
            scored_samples=self.scored_samples + other.scored_samples,
            dropped=self.dropped + other.dropped,
            missed_by_cause=Counter(self.missed_by_cause) + Counter(other.missed_by_cause),
            false_by_cause=Counter(self.false_by_cause) + Counter(other.false_by_cause),
        )


class BootScorer:
    """What is waiting to be settled of one boot; every list is in order of samples.

    Parameters
    ----------
    team, athlete : str
        Whose.
    boot : int
        Which.
    """

    def __init__(self, team: str, athlete: str, boot: int) -> None:
        self._team = team
        self._athlete = athlete
        self.boot = boot
        self.rate_hz: float | None = None
        self.known_sample = -1
        self._troubles: list[tuple[int, int, str]] = []
        self._truth: list[tuple[int, int]] = []
        self._unscored: list[tuple[int, int]] = []
        self._reference: list[tuple[int, int]] = []
        self._beats: list[tuple[int, int]] = []
        self._settled_to = 0
        self._dropped = 0

    @property
    def truth_end(self) -> int:
        """First sample after the truth."""
        return self._truth[-1][1] if self._truth else self._settled_to

    def add_truth(self, message: TruthMessage) -> None:
        """Take in the reference of a stretch, as far as it is new."""
        first = max(message.first_sample, self._settled_to)
        fresh = _uncovered((first, message.end_sample), self._truth)
        if not fresh:
            return
        for r_sample, name in zip(message.r_samples, message.classes, strict=True):
            if any(begin <= r_sample < end for begin, end in fresh):
                insort(
                    self._reference,
                    (r_sample, AAMI_CLASSES.index(name) if name in AAMI_CLASSES else _NO_CLASS),
                )
        self._truth = _union([*self._truth, *fresh])
        del self._truth[:-_PENDING_LIMIT]
        if not message.scored:
            self._unscored = _union([*self._unscored, *fresh])
            del self._unscored[:-_PENDING_LIMIT]
        self._drop_oldest(self._reference)

    def add_trouble(self, first_sample: int, end_sample: int, cause: str) -> None:
        """Take in what happened to a stretch of samples."""
        trouble = (first_sample, end_sample, cause)
        if trouble not in self._troubles:
            insort(self._troubles, trouble)
            del self._troubles[:-_PENDING_LIMIT]

    def add_beat(self, r_sample: int, label: int) -> None:
        """Take in a beat; `label` is its index in `monitor.contract.LABELS`."""
        if r_sample < self._settled_to:
            return
        at = bisect_left(self._beats, (r_sample, -1))
        if at < len(self._beats) and self._beats[at][0] == r_sample:
            return
        self._beats.insert(at, (r_sample, label))
        self._drop_oldest(self._beats)

    def horizon(self, *, settle: int, wait: int) -> int:
        """Return the sample up to which both sides are complete."""
        limit = min(self.known_sample + 1 - settle, self.truth_end)
        position = self._settled_to
        for first, end in self._truth:
            hole_is_young = self.truth_end - first < wait
            # What lies before the first truth is no hole: the scorer came late.
            if first > position and position > 0 and hole_is_young:
                break
            position = max(position, end)
        return min(limit, position)

    def settle(self, horizon: int, *, whole: bool) -> tuple[LiveScore, list[Finding]] | None:
        """Count and forget what lies before `horizon`; unless `whole`, before the last quiet place there."""
        if self.rate_hz is None or horizon <= self._settled_to:
            return None
        window = window_samples(self.rate_hz)
        longest = round(_LONGEST_CHAIN_S * self.rate_hz)
        cut = horizon if whole else self._quiet_place(horizon, window, longest)
        if cut <= self._settled_to:
            return None
        reference, self._reference = _split(self._reference, cut)
        beats, self._beats = _split(self._beats, cut)
        stretches = _union(_clip(self._truth, self._settled_to, cut))
        settled = self._count(reference, beats, stretches, window, self.rate_hz)
        self._truth = _clip(self._truth, cut, None)
        self._unscored = _clip(self._unscored, cut, None)
        beside = round(SETTLING_S * self.rate_hz)
        self._troubles = [trouble for trouble in self._troubles if trouble[1] + beside > cut]
        self._settled_to = cut
        self._dropped = 0
        return settled

    def _count(
        self,
        reference: list[tuple[int, int]],
        beats: list[tuple[int, int]],
        stretches: list[tuple[int, int]],
        window: int,
        rate_hz: float,
    ) -> tuple[LiveScore, list[Finding]]:
        unscored = _array(self._unscored)
        r_samples = np.array([sample for sample, _ in reference], np.int64)
        classes = np.array([name for _, name in reference], np.int8)
        scored = ~inside(r_samples, unscored)
        r_samples, classes = r_samples[scored], classes[scored]
        detections = np.array([sample for sample, _ in beats], np.int64)
        labels = np.array([label for _, label in beats], np.int8)
        matching = match_beats(r_samples, detections, window=window)
        extra = detections[matching.extra]
        judged = inside(extra, _array(stretches)) & ~inside(extra, unscored)
        matching = Matching(matching.reference, matching.detection, matching.missed, matching.extra[judged])
        findings = [
            Finding(
                self._team,
                self._athlete,
                self.boot,
                sample,
                kind,
                name,
                called,
                self._cause(sample, rate_hz, kind),
            )
            for sample, kind, name, called in _differences(matching, r_samples, classes, detections, labels)
        ]
        missed = Counter(finding.cause for finding in findings if finding.kind == "missed")
        settled = LiveScore(
            score=count_beats(matching, classes, labels),
            lost_by_radio=QrsCounts(fn=sum(missed[cause] for cause in RADIO_LOSSES)),
            scored_samples=sum(end - first for first, end in stretches),
            dropped=self._dropped,
            missed_by_cause=missed,
            false_by_cause=Counter(finding.cause for finding in findings if finding.kind == "false"),
        )
        return settled, findings

    def _cause(self, sample: int, rate_hz: float, kind: FindingKind) -> str:
        """Return why a beat at `sample` may have been hard: losses first, then what is near one, then the rest."""
        # Whoever told a beat was there.
        known = [trouble for trouble in self._troubles if kind == "missed" or trouble[2] != NO_MONITOR]
        here = [cause for first, end, cause in known if first <= sample < end]
        lost = next((cause for cause in here if cause in RADIO_LOSSES or cause == NO_MONITOR), None)
        if lost is not None:
            return lost
        before, after = round(_BEFORE_LOSS_S * rate_hz), round(SETTLING_S * rate_hz)
        silent = RADIO_LOSSES | _WITHOUT_SIGNAL
        if any(
            first - before <= sample < end + after
            for first, end, cause in known
            if cause in silent and cause not in here
        ):
            return BESIDE_LOSS
        if here:
            return here[0]
        return AT_START if sample < START_S * rate_hz else UNEXPLAINED

    def _quiet_place(self, horizon: int, window: int, longest: int) -> int:
        """Return the last sample up to `horizon` at which no pair is cut apart."""
        samples = np.unique([sample for sample, _ in (*self._reference, *self._beats)]).astype(np.int64)
        before = samples[samples < horizon]
        if len(before) == 0 or horizon - before[-1] > window:
            return horizon
        wide = np.flatnonzero(np.diff(before) > window)
        quiet = int(before[wide[-1] + 1]) if len(wide) else self._settled_to
        return quiet if horizon - quiet < longest else horizon

    def _drop_oldest(self, pending: list[tuple[int, int]]) -> None:
        too_many = max(len(pending) - _PENDING_LIMIT, 0)
        del pending[:too_many]
        self._dropped += too_many


def _differences(
    matching: Matching,
    r_samples: IntArray,
    classes: NDArray[np.int8],
    detections: IntArray,
    labels: NDArray[np.int8],
) -> list[tuple[int, FindingKind, str, str]]:
    """Return sample, kind, class by the reference and class by the monitor, in order of samples."""
    found: list[tuple[int, FindingKind, str, str]] = [
        (int(r_samples[index]), "missed", _class_name(classes[index]), "") for index in matching.missed
    ]
    found += [(int(detections[index]), "false", "", LABELS[labels[index]]) for index in matching.extra]
    for reference, detection in zip(matching.reference, matching.detection, strict=True):
        if classes[reference] not in (_NO_CLASS, labels[detection]):
            name, called = _class_name(classes[reference]), LABELS[labels[detection]]
            found.append((int(r_samples[reference]), "misnamed", name, called))
    return sorted(found)


def _class_name(index: int) -> str:
    return AAMI_CLASSES[index] if index != _NO_CLASS else "?"


def _split(events: list[tuple[int, int]], cut: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    at = bisect_left(events, (cut, -1))
    return events[:at], events[at:]


def _union(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, end in sorted(intervals):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    return joined


def _uncovered(interval: tuple[int, int], covered: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the parts of a half-open interval that `covered` (in order, apart) leaves."""
    position, stop = interval
    parts = []
    for first, end in covered:
        if first > position:
            parts.append((position, min(first, stop)))
        position = max(position, end)
        if position >= stop:
            break
    if position < stop:
        parts.append((position, stop))
    return [(first, end) for first, end in parts if first < end]


def _clip(intervals: list[tuple[int, int]], first: int, end: int | None) -> list[tuple[int, int]]:
    clipped = [(max(a, first), b if end is None else min(b, end)) for a, b in intervals]
    return [(a, b) for a, b in clipped if a < b]


def _array(intervals: list[tuple[int, int]]) -> IntArray:
    return np.array(intervals, np.int64).reshape(-1, 2)
