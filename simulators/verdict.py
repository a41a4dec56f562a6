"""The verdict on a run: every beat and event of the truth found, missed or explained, every packet accounted for.

A beat is found where the monitor announced one within 150 ms (ANSI/AAMI EC57, `monitor.beat_matching`). What was not
found is explained only by a loss that the ledger holds, by the stated settling time after it, or by the end of the
signal; everything else was missed.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from monitor.beat_matching import inside, match_beats, window_samples
from monitor.contract import AAMI_CLASSES, WINDOW_S, IntArray
from monitor.filters import SETTLING_S
from monitor.rpeaks import LEARNING_S, MAX_DELAY_S
from simulators.ledger import Ledger
from simulators.scenario import Scenario
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life
from simulators.verdict_events import alarm_events
from simulators.verdict_hidden import hidden_stretches
from simulators.verdict_packets import Account, packet_account
from simulators.verdict_raised import Event

SETTLING: Final = "settling"
EDGE: Final = "end of signal"


@dataclass(frozen=True, slots=True)
class BeatVerdict:
    """What became of one life's beats.

    Attributes
    ----------
    life : Life
        Whose.
    truth : ndarray of int64, shape ``[beats]``
        R peaks of the reference that are to be scored.
    missed, extra : ndarray of int64
        R peaks that were missed without a cause, and announced beats where there is none.
    found, wrong_class : int
        How many were found, and how many of these under another name than the reference's.
    explained : Counter
        How many were not found, by cause.
    """

    life: Life
    truth: IntArray
    missed: IntArray
    extra: IntArray
    found: int
    wrong_class: int
    explained: "Counter[str]"


@dataclass(slots=True)
class Verdict:
    """The verdict on one run.

    Attributes
    ----------
    scenario : Scenario
        What was to happen.
    beats : list of BeatVerdict
        One for each life that has a reference.
    events : list of Event
        Episodes, troubles and expected alarms, in order of the session.
    false_alarms : list of Event
        Alarms that nothing in the truth calls for.
    accounts : list of Account
        One for each athlete.
    latency_s : list of float
        From each beat's last sample to its entry.
    alarm_latency_s : list of float
        From each alarm's last sample to its entry.
    failures : list of str
        What goes beyond the file's allowance; empty if the run has passed.
    """

    scenario: Scenario
    beats: list[BeatVerdict] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    false_alarms: list[Event] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)
    alarm_latency_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing goes beyond the allowance."""
        return not self.failures

    def beat_counts(self) -> dict[str, int]:
        """Return how many beats there were, found, missed, explained, extra and of a wrong class."""
        return {
            "truth": sum(len(beats.truth) for beats in self.beats),
            "found": sum(beats.found for beats in self.beats),
            "missed": sum(len(beats.missed) for beats in self.beats),
            "explained": sum(beats.explained.total() for beats in self.beats),
            "extra": sum(len(beats.extra) for beats in self.beats),
            "wrong_class": sum(beats.wrong_class for beats in self.beats),
        }

    def explained_beats(self) -> dict[str, int]:
        """Return how many beats were explained by each cause."""
        total: Counter[str] = Counter()
        for beats in self.beats:
            total += beats.explained
        return dict(total.most_common())


def judge(scenario: Scenario, lives: list[Life], seen: Seen, ledger: Ledger) -> Verdict:
    """Compare what was seen with what happened.

    Parameters
    ----------
    scenario : Scenario
        What was to happen, and what may be missing.
    lives : list of Life
        Who sent what; as many as `Seen.start_at`.
    seen : Seen
        What an outside reader saw.
    ledger : Ledger
        What became of every packet; it must have kept its entries.
    """
    verdict = Verdict(scenario)
    hidden = [hidden_stretches(life, lives, seen, ledger) for life in lives]
    for life, stretches, start_at in zip(lives, hidden, seen.start_at, strict=True):
        entries = [
            entry for entry in seen.beats.get(life.strap.athlete, []) if entry[1].boot == life.strap.boot
        ]
        verdict.latency_s += [
            at - start_at - life.strap.schedule_s(beat.known_sample + 1) for at, beat in entries
        ]
        if life.truth is not None:
            verdict.beats.append(_judge_beats(life, [beat for _, beat in entries], stretches))
    verdict.events, verdict.false_alarms, verdict.alarm_latency_s = alarm_events(
        scenario, lives, hidden, seen
    )
    by_athlete: dict[str, list[Life]] = {}
    for life in lives:
        by_athlete.setdefault(life.strap.athlete, []).append(life)
    verdict.accounts = [
        packet_account(athlete, own, seen.states.get(athlete), ledger, broker_restarts=bool(scenario.outage))
        for athlete, own in by_athlete.items()
    ]
    verdict.failures = _failures(verdict)
    return verdict


def _judge_beats(life: Life, beats: list[Any], stretches: list[tuple[int, int, str]]) -> BeatVerdict:
    truth = life.truth
    assert truth is not None  # noqa: S101 - the caller has looked
    scored = ~inside(truth.r_samples, truth.unscored)
    reference, classes = truth.r_samples[scored], truth.classes[scored]
    # A beat may be told twice; it is one beat all the same.
    told = {beat.r_sample: beat.label for beat in beats}
    detections = np.array(sorted(told), np.int64)
    matching = match_beats(reference, detections, window=window_samples(life.rate_hz))
    explained: Counter[str] = Counter()
    missed = []
    for r_sample in reference[matching.missed].tolist():
        cause = cause_of(life, r_sample, stretches)
        if cause is None:
            missed.append(r_sample)
        else:
            explained[cause] += 1
    extra = detections[matching.extra]
    extra = extra[~inside(extra, truth.unscored)]
    # Where nobody could see a heart, nobody can say that there was none.
    extra = np.array([r for r in extra.tolist() if cause_of(life, r, stretches) in {None, EDGE}], np.int64)
    wrong = sum(
        told[int(detections[detection])] != AAMI_CLASSES[classes[position]]
        for position, detection in zip(matching.reference, matching.detection, strict=True)
    )
    return BeatVerdict(
        life, reference, np.array(missed, np.int64), extra, len(matching.reference), wrong, explained
    )


def cause_of(life: Life, r_sample: int, stretches: list[tuple[int, int, str]]) -> str | None:
    """Return why a beat could not be found, or None if it could.

    Parameters
    ----------
    life : Life
        Whose.
    r_sample : int
        The beat.
    stretches : list of (int, int, str)
        Samples in which nothing could be seen, and why, in order.
    """
    margin, settling = round(MAX_DELAY_S * life.rate_hz), round(SETTLING_S * life.rate_hz)
    for first, end, cause in stretches:
        if first - margin <= r_sample < end:
            return cause
        if end <= r_sample < end + settling:
            return SETTLING
    if r_sample < round((LEARNING_S + MAX_DELAY_S) * life.rate_hz):
        return SETTLING
    if r_sample >= life.end_sample - round(WINDOW_S * life.rate_hz) - 1:
        return EDGE
    return None


def _failures(verdict: Verdict) -> list[str]:
    allow, counts = verdict.scenario.allow, verdict.beat_counts()
    seen = max(counts["found"] + counts["missed"], 1)
    failures = []
    for what, count, of, allowed in (
        ("beats missed", counts["missed"], seen, allow.missed_beats),
        ("beats found where there are none", counts["extra"], seen, allow.extra_beats),
        ("beats under a wrong name", counts["wrong_class"], max(counts["found"], 1), allow.wrong_classes),
    ):
        if count > allowed * of:
            failures.append(f"{count} of {of} {what}; allowed are {allowed:.2%}")
    for what, events, allowed_of in (
        ("missed", [event for event in verdict.events if event.status == "missed"], allow.missed_events),
        ("false", verdict.false_alarms, allow.false_alarms),
    ):
        for kind, count in sorted(Counter(event.kind for event in events).items()):
            if count > allowed_of.get(kind, 0):
                failures.append(f"{count} {kind} {what}; allowed are {allowed_of.get(kind, 0)}")
    adrift = sum(abs(account.difference) for account in verdict.accounts)
    if adrift > allow.unaccounted_packets:
        failures.append(f"{adrift} packets unaccounted for; allowed are {allow.unaccounted_packets}")
    if allow.latency_p99_s is not None and verdict.latency_s:
        p99_s = float(np.quantile(verdict.latency_s, 0.99))
        if p99_s > allow.latency_p99_s:
            failures.append(f"latency p99 of beats is {p99_s:.3f} s; allowed are {allow.latency_p99_s:g} s")
    return failures
