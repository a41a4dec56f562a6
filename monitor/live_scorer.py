"""Score beats against reference annotations while both still arrive, in bounded memory.

Truth comes in stretches of samples, each at least once and perhaps late; beats come one by one, each at least
once. What both sides have covered long enough ago is *settled*: matched, added to the counts, forgotten. A
cut is made only where no beat and no detection lies within the matching window, so that the sum equals a
comparison of everything at once.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.beat_matching import inside, match_beats, window_samples
from monitor.contract import AAMI_CLASSES, LABELS, IntArray
from monitor.scoring import QrsCounts, Score, count_beats
from monitor.wire import TruthMessage

SETTLE_S: Final = 5.0
"""How far behind `LiveScorer.covered` beats are settled: a search back may still find one later."""
TRUTH_WAIT_S: Final = 30.0
"""How long a hole in the truth is waited for before it is passed over, unscored."""
_PENDING_LIMIT: Final = 4_096
"""Beats kept of one athlete while one of the two sides is silent; the oldest go first, counted."""
_LONGEST_CHAIN_S: Final = 60.0
"""A detector that never falls quiet is cut anyway after this long: it must not escape its score."""
_MAX_SAMPLE: Final = 2**53
_NO_CLASS: Final = -1


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
    """

    score: Score = field(default_factory=Score)
    lost_by_radio: QrsCounts = field(default_factory=QrsCounts)
    scored_samples: int = 0
    dropped: int = 0


class LiveScorer:
    """Joins beats with truth, per athlete; a new boot begins anew, and its counts add to the athlete's.

    Parameters
    ----------
    settle_s : float
        How far behind the last covered sample beats are settled, in seconds.
    truth_wait_s : float
        How long to wait for a missing stretch of truth, in seconds of samples.
    """

    def __init__(self, *, settle_s: float = SETTLE_S, truth_wait_s: float = TRUTH_WAIT_S) -> None:
        self._settle_s = settle_s
        self._truth_wait_s = truth_wait_s
        self._boots: dict[tuple[str, str], _Boot] = {}
        self._settled: dict[tuple[str, str], LiveScore] = {}

    def truth(self, team: str, athlete: str, message: TruthMessage) -> None:
        """Take in reference annotations; what is known already or of an earlier boot changes nothing."""
        if not 0 <= message.first_sample < message.end_sample <= _MAX_SAMPLE:
            return
        boot = self._boot(team, athlete, message.boot)
        if boot is not None:
            boot.add_truth(message)

    def beat(self, team: str, athlete: str, boot: int, r_sample: int, label: str, rate_hz: float) -> None:
        """Take in a beat as the monitor announced it.

        Parameters
        ----------
        team, athlete : str
            Whose.
        boot, r_sample : int
            Where.
        label : str
            One of `monitor.contract.LABELS`.
        rate_hz : float
            The strap's sampling rate.
        """
        state = self._boot(team, athlete, boot)
        if state is not None:
            state.rate_hz = rate_hz
            state.add_beat(r_sample, LABELS.index(label))

    def lost(self, team: str, athlete: str, boot: int, first_sample: int, end_sample: int) -> None:
        """Take in that samples, `first_sample` to before `end_sample`, never reached the monitor."""
        state = self._boot(team, athlete, boot)
        if state is not None:
            state.add_lost(first_sample, end_sample)

    def covered(
        self, team: str, athlete: str, boot: int, known_sample: int, rate_hz: float | None = None
    ) -> None:
        """Take in that the monitor has seen the strap up to `known_sample`, and settle what that allows.

        Parameters
        ----------
        team, athlete : str
            Whose.
        boot, known_sample : int
            How far.
        rate_hz : float, optional
            The strap's sampling rate: needed where not a single beat may have been announced.
        """
        state = self._boot(team, athlete, boot)
        if state is None:
            return
        state.rate_hz = rate_hz or state.rate_hz
        state.known_sample = max(state.known_sample, known_sample)
        if state.rate_hz is None:
            return
        horizon = state.horizon(
            settle=round(self._settle_s * state.rate_hz), wait=round(self._truth_wait_s * state.rate_hz)
        )
        self._add(team, athlete, state.settle(horizon, whole=False))

    def finish(self, team: str, athlete: str) -> None:
        """Settle what is left, up to what both sides have covered.

        Only for a recording that has ended: a beat that is still to be announced would count as missed.
        """
        state = self._boots.get((team, athlete))
        if state is not None and state.rate_hz is not None:
            self._add(team, athlete, state.settle(min(state.known_sample + 1, state.truth_end), whole=True))

    def score(self, team: str, athlete: str) -> LiveScore | None:
        """Return what has been settled of an athlete; None while that is nothing."""
        settled = self._settled.get((team, athlete))
        return settled if settled is not None and settled.scored_samples else None

    def athletes(self) -> list[tuple[str, str]]:
        """Return the teams and athletes that have a score."""
        return [key for key, settled in self._settled.items() if settled.scored_samples]

    def _boot(self, team: str, athlete: str, boot: int) -> "_Boot | None":
        """Return the state of this boot; None if it is over."""
        state = self._boots.get((team, athlete))
        if state is not None and state.boot == boot:
            return state
        if state is not None and boot < state.boot:
            return None
        self.finish(team, athlete)
        state = self._boots[team, athlete] = _Boot(boot)
        return state

    def _add(self, team: str, athlete: str, new: LiveScore | None) -> None:
        if new is None:
            return
        old = self._settled.get((team, athlete), LiveScore())
        self._settled[team, athlete] = LiveScore(
            score=old.score + new.score,
            lost_by_radio=old.lost_by_radio + new.lost_by_radio,
            scored_samples=old.scored_samples + new.scored_samples,
            dropped=old.dropped + new.dropped,
        )


class _Boot:
    """What is waiting to be settled of one boot; every list is in order of samples."""

    def __init__(self, boot: int) -> None:
        self.boot = boot
        self.rate_hz: float | None = None
        self.known_sample = -1
        self._lost: list[tuple[int, int]] = []
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

    def add_lost(self, first_sample: int, end_sample: int) -> None:
        self._lost = _union([*self._lost, *_clip([(first_sample, end_sample)], self._settled_to, None)])
        del self._lost[:-_PENDING_LIMIT]

    def add_beat(self, r_sample: int, label: int) -> None:
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

    def settle(self, horizon: int, *, whole: bool) -> LiveScore | None:
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
        settled = self._count(reference, beats, stretches, window)
        self._truth = _clip(self._truth, cut, None)
        self._unscored = _clip(self._unscored, cut, None)
        self._lost = _clip(self._lost, cut, None)
        self._settled_to = cut
        self._dropped = 0
        return settled

    def _count(
        self,
        reference: list[tuple[int, int]],
        beats: list[tuple[int, int]],
        stretches: list[tuple[int, int]],
        window: int,
    ) -> LiveScore:
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
        matching = type(matching)(
            matching.reference, matching.detection, matching.missed, matching.extra[judged]
        )
        lost = int(inside(r_samples[matching.missed], _array(self._lost)).sum())
        return LiveScore(
            score=count_beats(matching, classes, labels),
            lost_by_radio=QrsCounts(fn=lost),
            scored_samples=sum(end - first for first, end in stretches),
            dropped=self._dropped,
        )

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
